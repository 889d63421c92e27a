"""Functions with OVER, which ksqlDB does not have: their types, and their form in DuckDB's SQL."""

from __future__ import annotations

from opensea_metrics.core.types import BIGINT, DOUBLE, KsqlType
from opensea_metrics.core.wording import counted
from opensea_metrics.deploy.query.grammar import Over
from opensea_metrics.sql.language.lowering.duckdb.aggregates import aggregate
from opensea_metrics.sql.language.lowering.duckdb.expressions import Lowering
from opensea_metrics.sql.language.queries.inference import infer
from opensea_metrics.sql.language.queries.scope import Scope

_NUMBERS = {
    "ROW_NUMBER": BIGINT, "RANK": BIGINT, "DENSE_RANK": BIGINT, "NTILE": BIGINT,
    "PERCENT_RANK": DOUBLE, "CUME_DIST": DOUBLE,
}  # fmt: skip
_OF_ROWS = ("LAG", "LEAD", "FIRST_VALUE", "LAST_VALUE")
_AGGREGATES = ("SUM", "COUNT", "AVG", "MIN", "MAX")
NAMES = (*_NUMBERS, *_OF_ROWS, *_AGGREGATES)
"""The functions that can have an OVER clause."""
_MOST_ARGUMENTS = {"NTILE": 1, "LAG": 3, "LEAD": 3, "FIRST_VALUE": 1, "LAST_VALUE": 1}


def over_type(over: Over, scope: Scope) -> KsqlType:
    """The type of the result. Raises SqlError for another function, or for too many arguments."""
    call = over.this
    name, arguments = str(call.this).upper(), call.expressions
    if name in _AGGREGATES:
        return infer(call, scope)
    most = _MOST_ARGUMENTS.get(name, 0)
    least = 1 if most else 0
    if name not in NAMES:
        raise scope.error(call, f"{name} cannot have an OVER clause", f"use one of {', '.join(NAMES)}")
    if not least <= len(arguments) <= most:
        expected = f"{least} to {counted(most, 'argument')}" if most > 1 else counted(most, "argument")
        raise scope.error(call, f"{name} takes {expected}, not {len(arguments)}")
    return _NUMBERS[name] if name in _NUMBERS else infer(arguments[0], scope)


def over_sql(over: Over, lowering: Lowering, order: str) -> str:
    """The call in DuckDB's SQL, with ``order`` for its ORDER BY clause. Raises SqlError."""
    over_type(over, lowering.scope)
    call = over.this
    name = str(call.this).upper()
    keys = ", ".join(lowering.whole(key) for key in over.args["partition"])
    window = " ".join(filter(None, [f"PARTITION BY {keys}" if keys else "", order, over.args["frame"]]))
    if name not in _AGGREGATES:
        arguments = ", ".join(lowering.whole(argument) for argument in call.expressions)
        return f"{name.lower()}({arguments}) OVER ({window})"
    written = aggregate(call, lowering)
    values = []
    for part in written.accumulators:
        # A partial is one call, perhaps with a cast behind it: sum(x)::HUGEINT.
        called, _, cast = part.partial.rpartition(")")
        values.append(f"(({called}) OVER ({window})){cast})")
    return written.finish.format(a=values[0], b=values[-1])
