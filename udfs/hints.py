"""Reads what a function's hints and docstring say: the parameters, the result and the description."""

from __future__ import annotations

import inspect
import re
import typing
from typing import Any

from opensea_metrics.core.definition import PLACEHOLDERS, Parameter, UdfError
from opensea_metrics.core.types import BIGINT, BOOLEAN, INTEGER, STRING, KsqlType
from opensea_metrics.udfs.types import optional, sql_type

_DESCRIPTION = re.compile(r"^(\w+): (.+)$")


def hints_of(function: Any, where: str) -> dict[str, Any]:
    """The hints of a function. ``where`` is its place, for errors. Raises UdfError for a name that does not exist."""
    try:
        return typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError) as error:
        raise UdfError(f"{where}: {error}") from error


def parameters_of(function: Any, where: str) -> list[tuple[str, Any]]:
    """Names and hints of parameters, without a method's ``self``. Raises UdfError for others than positional ones."""
    hints = hints_of(function, where)
    parameters = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name == "self":
            continue
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.KEYWORD_ONLY):
            raise UdfError(f"{where}: parameter {parameter.name}: SQL's arguments are positional")
        parameters.append((parameter.name, hints.get(parameter.name)))
    return parameters


def described(parameters: list[tuple[str, Any]], doc: str, where: str) -> tuple[Parameter, ...]:
    """Parameters with their SQL types, and their descriptions in a docstring. Raises UdfError for a wrong hint."""
    matches = (_DESCRIPTION.match(line.strip()) for line in doc.splitlines())
    texts = {match[1]: match[2] for match in matches if match}
    described = []
    for name, hint in parameters:
        if hint is None:
            raise UdfError(f"{where}: parameter {name} has no type hint")
        try:
            kind = sql_type(hint)
        except TypeError as error:
            raise UdfError(f"{where}: parameter {name}: {error}") from None
        inner, nullable = optional(hint)
        described.append(Parameter(name, inner, kind, nullable, texts.get(name, "")))
    return tuple(described)


def constants_of(cls: type, doc: str, where: str) -> tuple[Parameter, ...]:
    """The parameters of an aggregate's constructor. Raises UdfError for one that no literal fits."""
    if cls.__init__ is object.__init__:  # type: ignore[misc]
        return ()
    constants = []
    for parameter in described(parameters_of(cls.__init__, where), doc, where):  # type: ignore[misc]
        if parameter.type not in (BIGINT, INTEGER, STRING, BOOLEAN) or parameter.nullable:
            raise UdfError(
                f"{where}: parameter {parameter.name} of the constructor: a literal argument is an"
                " int, str or bool (a literal such as 0.5 is a DECIMAL in ksqlDB)"
            )
        if parameter.name in PLACEHOLDERS:
            raise UdfError(f"{where}: parameter {parameter.name} of the constructor: choose another name")
        kind = INTEGER if parameter.type == BIGINT else parameter.type
        constants.append(Parameter(parameter.name, parameter.hint, kind, False, parameter.description))
    return tuple(constants)


def result_of(hint: Any, where: str) -> KsqlType:
    """The SQL type of a result. Raises UdfError if there is none."""
    if hint is None or hint is type(None):
        raise UdfError(f"{where}: the result has no type hint")
    try:
        return sql_type(hint)
    except TypeError as error:
        raise UdfError(f"{where}: result: {error}") from None


def description_of(doc: str) -> str:
    """The docstring's text before the descriptions of parameters and the examples, as one line."""
    lines = []
    for line in doc.splitlines():
        if line.startswith(">>>") or _DESCRIPTION.match(line):
            break
        lines.append(line.strip())
    return " ".join(" ".join(lines).split())
