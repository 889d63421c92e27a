"""The known functions: ksqlDB's (:mod:`sql.language.functions.builtin`) and the Python functions of ``udfs``.

Any other name is refused before a statement is sent. :mod:`sql.language.lowering` decides which of ksqlDB's
functions the embedded server and recompute support.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

from opensea_metrics.core.definition import Definition, UdfError
from opensea_metrics.core.suggestions import nearest
from opensea_metrics.sql.language.functions import builtin
from opensea_metrics.sql.language.functions.variations import Variation, read
from opensea_metrics.udfs import registry


@dataclass(frozen=True)
class Function:
    """A function's name and properties.

    ``text`` has its variations as :mod:`sql.language.functions.builtin` writes them. A Python function has
    ``definition`` instead, and its ``text`` is ''. ``changelog_safe`` marks an aggregate whose result stays the same
    if it reads a key's older values before the newest, or never reads them. Only such aggregates may read a
    stream over a table's topic.
    """

    name: str
    text: str
    kind: str = "scalar"
    changelog_safe: bool = False
    definition: Definition | None = None

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


def known() -> dict[str, Function]:
    """All functions by name, ksqlDB's and those of ``udfs``. Raises UdfError."""
    return BUILT_IN | _registered()


def find(name: str) -> Function | None:
    """The function with that name, in any case, or None."""
    return BUILT_IN.get(name.upper()) or _registered().get(name.upper())


def suggestion(name: str) -> str | None:
    """The known function with the most similar name, for the hint of an error."""
    return nearest(name.upper(), known())


def _registered() -> dict[str, Function]:
    return _as_functions(tuple(registry.functions().values()))


@cache
def _as_functions(definitions: tuple[Definition, ...]) -> dict[str, Function]:
    functions = {}
    for definition in definitions:
        if definition.name in BUILT_IN:
            raise UdfError(f"{definition.place}: ksqlDB has its own function {definition.name}")
        functions[definition.name] = Function(
            definition.name, "", definition.kind, definition.changelog_safe, definition
        )
    return functions
