"""The known functions: ksqlDB's (:mod:`sql.language.functions.builtin`), the Python functions of ``udfs``, and those
that only a server has, such as somebody's Java functions. A project's settings list these, or the server describes
them (:func:`declare`).

Any other name is refused before a statement is sent. :mod:`sql.language.lowering` decides which of ksqlDB's
functions the embedded server and recompute support.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

from opensea_metrics.core.definition import Definition, UdfError
from opensea_metrics.core.wording import nearest
from opensea_metrics.sql.language.functions import builtin
from opensea_metrics.sql.language.functions.notation import Variation, is_type, read
from opensea_metrics.udfs import registry


@dataclass(frozen=True)
class Function:
    """A function's name and properties.

    ``text`` has its variations as :mod:`sql.language.functions.builtin` writes them. A Python function has
    ``definition`` instead, and its ``text`` is ''. ``changelog_safe`` marks an aggregate whose result stays the same
    if it reads a key's older values before the newest, or never reads them. Only such aggregates may read a
    stream over a table's topic. ``is_of_server`` marks a function that only a server has.
    """

    name: str
    text: str
    kind: str = "scalar"
    changelog_safe: bool = False
    definition: Definition | None = None
    is_of_server: bool = False

    @cached_property
    def variations(self) -> tuple[Variation, ...]:
        """The ways to call the function."""
        return read(self.text)

    @property
    def calls(self) -> str:
        """The ways to call the function, in words: ``LEN(VARCHAR) or LEN(BYTES)``."""
        return " or ".join(f"{self.name}({', '.join(v.text.split())})" for v in self.variations)


def _read(text: str, kind: str) -> dict[str, Function]:
    lines = text.strip().replace("|\n ", "|").splitlines()
    entries = (line.split(": ", 1) for line in lines)
    return {
        name: Function(name, variations, kind, changelog_safe=name in builtin.CHANGELOG_SAFE)
        for name, variations in entries
    }


BUILT_IN: dict[str, Function] = {
    **_read(builtin.SCALAR, "scalar"),
    **_read(builtin.AGGREGATE, "aggregate"),
    **_read(builtin.TABLE, "table"),
}


_NOTHING: Mapping[str, Function] = MappingProxyType({})
_OF_SERVER: ContextVar[Mapping[str, Function]] = ContextVar("functions of a server", default=_NOTHING)


def declare(functions: Mapping[str, Function]) -> None:
    """Register functions that only a server has. They replace the functions of the previous call."""
    _OF_SERVER.set(functions)


def declared() -> Mapping[str, Function]:
    """The functions of the last :func:`declare`."""
    return _OF_SERVER.get()


def of_server(name: str, text: str, kind: str = "scalar") -> Function:
    """A function that only a server has. ``text`` is as in :class:`Function`.

    Raises ValueError if it cannot be read.
    """
    form = f"write the function {name} as 'VARCHAR INT -> DOUBLE': its parameters, -> and its result"
    function = Function(name.upper(), text, kind, is_of_server=True)
    if "->" not in text:
        raise ValueError(form)
    for variation in function.variations:
        for part in (*(parameter.type for parameter in variation.parameters), variation.result):
            if not is_type(part):
                raise ValueError(f"{part} is not a type; {form}")
    return function


def known() -> dict[str, Function]:
    """All functions by name: functions of ksqlDB, of ``udfs``, and of a server. Raises UdfError."""
    return {**_OF_SERVER.get(), **BUILT_IN, **_registered()}


def find(name: str) -> Function | None:
    """The function with that name, regardless of case, or None."""
    name = name.upper()
    return BUILT_IN.get(name) or _registered().get(name) or _OF_SERVER.get().get(name)


def current() -> tuple[Mapping[str, Function], ...]:
    """All functions that are not ksqlDB's.

    As long as the objects are the same, :func:`find` returns the same results.
    """
    return _registered(), _OF_SERVER.get()


def suggestion(name: str) -> str | None:
    """The known function with the most similar name, for the hint in an error."""
    return nearest(name.upper(), known())


def _registered() -> Mapping[str, Function]:
    global _last
    definitions = registry.functions()  # the same object as before, unless the functions have changed
    if _last[0] is not definitions:
        _last = definitions, _as_functions(definitions.values())
    return _last[1]


_last: tuple[Mapping[str, Definition], Mapping[str, Function]] = {}, {}
"""The definitions of ``udfs`` at the last call, and the functions made from them."""


def _as_functions(definitions: Iterable[Definition]) -> dict[str, Function]:
    functions = {}
    for definition in definitions:
        if definition.name in BUILT_IN:
            raise UdfError(f"{definition.place}: ksqlDB has its own function {definition.name}")
        functions[definition.name] = Function(
            definition.name, "", definition.kind, definition.changelog_safe, definition
        )
    return functions
