"""The functions that the engines run, of all that ksqlDB has."""

from __future__ import annotations

from opensea_metrics.sql.language.functions import library as functions
from opensea_metrics.sql.language.functions.library import Function
from opensea_metrics.sql.language.functions.notation import Variation
from opensea_metrics.sql.language.lowering import scalars
from opensea_metrics.sql.language.lowering.rare import table

_PARTLY: dict[str, tuple[str, ...]] = {
    "CHR": ("INT",),
    "CONCAT": ("VARCHAR...",),
    "CONCAT_WS": ("VARCHAR...",),
    "FORMAT_TIMESTAMP": ("TIMESTAMP VARCHAR",),
    "INSTR": ("VARCHAR VARCHAR",),
    "LEN": ("VARCHAR", "BYTES"),
    "LPAD": ("VARCHAR INT VARCHAR",),
    "ROUND": ("DECIMAL", "DOUBLE", "DECIMAL INT", "INT", "BIGINT"),
    "RPAD": ("VARCHAR INT VARCHAR",),
    "SPLIT": ("VARCHAR VARCHAR",),
    "SUBSTRING": ("VARCHAR INT", "VARCHAR INT INT"),
    "TRUNC": ("DECIMAL", "DOUBLE", "DECIMAL INT", "INT", "BIGINT"),
    "UUID": ("",),
}
"""The supported variations of each function whose SQL supports only some of them."""
_OWN_WAY = frozenset(
    (
        "ABS", "ARRAY_JOIN", "ARRAY_MAX", "ARRAY_MIN", "ARRAY_SORT", "CEIL", "CUBE_EXPLODE", "DATEADD", "DATESUB",
        "ENTRIES", "EXPLODE", "EXTRACTJSONFIELD", "FILTER", "FLOOR", "FORMAT_TIMESTAMP", "JSON_ARRAY_CONTAINS",
        "MAP_KEYS", "MAP_VALUES", "REDUCE", "REGEXP_EXTRACT", "ROUND", "TIMEADD", "TIMESTAMPADD", "TIMESTAMPSUB",
        "TIMESUB", "TO_JSON_STRING", "TRANSFORM", "TRUNC",
    )
)  # fmt: skip
"""Functions without a template; :meth:`.calls.Calls.call` writes them."""


def runs(name: str, variation: str) -> bool:
    """Whether the engines run a variation (as :mod:`sql.language.functions.builtin` writes it)."""
    if variation in table.FORMS.get(name, {}):
        return True
    is_written = name in _OWN_WAY or not {name, f"{name}()"}.isdisjoint(scalars.TEMPLATES)
    function = functions.BUILT_IN.get(name)
    is_aggregate = function is not None and function.kind == "aggregate"
    return (is_written or is_aggregate) and variation in _PARTLY.get(name, (variation,))


def runnable_variations(function: Function) -> tuple[Variation, ...]:
    """The ways to call one of ksqlDB's functions that the embedded server runs."""
    return tuple(v for v in function.variations if runs(function.name, v.text))


def runnable() -> dict[str, Function]:
    """The functions that the embedded server runs, by name: ksqlDB's and those of ``udfs``."""
    known = functions.known().items()
    return {name: function for name, function in known if function.definition or runnable_variations(function)}
