"""Values of options and arguments, for the classes of commands.

typer converts every value with pydantic, which takes a fifth of a command's start to import. The values of most
parameters need no more than a look at their type.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any


def converted_here(parameters: Iterable[Any]) -> None:
    """Let parameters of a command convert values of simple types themselves. typer converts all other values.

    Versions of typer whose parameters do not name their type in this way convert all values.
    """
    for parameter in parameters:
        descriptor = getattr(parameter, "type_descriptor", None)
        if descriptor is not None and not parameter.required and not isinstance(parameter.process_value, partial):
            parameter.process_value = partial(_processed, parameter, descriptor, parameter.process_value)


def _processed(parameter: Any, descriptor: Any, by_typer: Callable[[Any, Any], Any], context: Any, value: Any) -> Any:
    """What typer's ``process_value`` returns for a parameter that may be left out."""
    try:
        value = _converted(parameter, descriptor, value)
    except ValueError:
        return by_typer(context, value)
    return parameter.callback(context, parameter, value) if parameter.callback else value


def _converted(parameter: Any, descriptor: Any, value: Any) -> Any:
    """A value in the type of its parameter. Raises ValueError if typer must convert it."""
    kind, details = descriptor.annotation, descriptor.parameter_info
    if value is None:
        return () if parameter.multiple or parameter.nargs == -1 else None
    if details.parser is not None:
        raise ValueError
    match value:
        case str() if kind is str:
            return value
        case bool() if kind is bool:
            return value
        case list() | tuple() if kind == list[str] and all(isinstance(item, str) for item in value):
            return list(value)
        case str() if isinstance(kind, type) and issubclass(kind, Enum):
            return kind(value)
        case str() if kind is Path and _is_any(details) and os.access(value, os.R_OK):
            return Path(value)
    raise ValueError


def _is_any(details: Any) -> bool:
    """Whether a parameter takes every path that can be read, as it is."""
    takes_all = details.file_okay and details.dir_okay
    return takes_all and not (details.writable or details.resolve_path or details.path_type)
