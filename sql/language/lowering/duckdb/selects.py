"""Writes whole SELECTs without groups in DuckDB's SQL, and the windows of rows.

Relations are described in :mod:`sql.language.lowering.selects`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache

from sqlglot import exp

from opensea_metrics.core.quoting import column as duckdb_column
from opensea_metrics.core.types import duckdb
from opensea_metrics.sql.language.catalog.sources import Source, Window
from opensea_metrics.sql.language.lowering import selects
from opensea_metrics.sql.language.lowering.duckdb.expressions import Lowering
from opensea_metrics.sql.language.lowering.event_times import event_time
from opensea_metrics.sql.language.lowering.expressions import owner
from opensea_metrics.sql.language.lowering.selects import EngineSyntax
from opensea_metrics.sql.language.queries.analysis import Analysis, table_calls


def _hops(last: str, window: Window) -> str:
    end = f"greatest(ROWTIME - {window.size}, {window.origin - 1})"
    return f"unnest(range({last}, {end}, -{window.advance}))"


SYNTAX = EngineSyntax(duckdb_column, duckdb, event_time, _hops)


def windowed(relation: str, window: Window | None) -> str:
    """:func:`sql.language.lowering.selects.windowed` in DuckDB's SQL."""
    return selects.windowed(SYNTAX, relation, window)


def slices(rows: str, window: Window | None) -> str:
    """Rows of state of a small window. ``_ws`` is the start of the larger window whose slices these rows are.

    A slice is repeated for each of its windows. Their bounds must be among those of the small window.
    """
    return windowed(f"SELECT * EXCLUDE (_ws), _ws AS ROWTIME FROM ({rows})", window)


def tumbled(rows: str) -> str:
    """The rows with the start of their tumbling window as ``_ws``. Its size (ms) is in the column ``_size``."""
    return f"SELECT * EXCLUDE (_size), ROWTIME - ROWTIME % _size AS _ws FROM ({rows})"


def as_source(source: Source, relation: str, available: Sequence[str], carried: Sequence[str] = ()) -> str:
    """:func:`sql.language.lowering.selects.as_source` in DuckDB's SQL."""
    return selects.as_source(SYNTAX, source, relation, available, carried)


def rows(
    analysis: Analysis, relation: str, unreadable: Sequence[str] = (), carried: Sequence[str] = ()
) -> str:
    """A SELECT without groups over a relation: its columns, ROWTIME, ``_off``, and the ``carried`` columns.

    With ``unreadable``, the relation and the result have these columns instead of ``_off``. Rows whose first such
    column is not NULL are kept regardless of the WHERE clause.
    """
    fields, columns, kept = selected(analysis)
    hidden = [*selects.hidden_columns(analysis), *(unreadable or ["_off"]), *carried]
    if unreadable:
        kept = f"({kept}) OR {unreadable[0]} IS NOT NULL"
    if fields:
        relation = f"SELECT *, {', '.join(fields)} FROM ({relation})"
    return f"SELECT {', '.join([*columns, *hidden])} FROM ({relation}) WHERE {kept}"


def condition(analysis: Analysis, part: exp.Expression) -> str:
    """A part of the WHERE clause of a SELECT from one source, as a condition for rows of the source."""
    return Lowering(selects.scope_of(analysis)).whole_condition(part)


@lru_cache(maxsize=1_000)
def selected(analysis: Analysis) -> tuple[list[str], list[str], str]:
    """The values that a SELECT without groups needs first, its columns, and its condition.

    The key of a join's result is ``_key``, because the column that the SELECT names may be NULL when the key is not.
    Fields of structs come first, because DuckDB would select rows of whole structs for each branch of a CASE. So do
    arguments of several equal calls of a table function, such as an array of which each column explodes one field.
    """
    selects.check_supported(analysis, Lowering.engine)
    joined = joined_columns(analysis)
    lowering = Lowering(selects.scope_of(analysis), joined)
    wanted = [projection.expression for projection in analysis.projections]
    wanted += [analysis.where] if analysis.where is not None else []
    given = [argument for item in wanted for call in table_calls(item) for argument in call.expressions]
    repeated = [part for part, count in Counter(given).items() if count > 1 and not isinstance(part, exp.Column)]
    named: dict[exp.Expression, str] = {
        field: f"_f{number}" for number, field in enumerate(dict.fromkeys([*_fields(wanted), *repeated]))
    }
    fields = [f"{lowering.whole(field)} AS {name}" for field, name in named.items()]
    lowering = Lowering(selects.scope_of(analysis), joined | named)
    # PARTITION BY of a windowed source names its key, and ksqlDB then does nothing.
    is_kept = not analysis.partition or analysis.source.window is not None
    key = key_of_join(analysis) if analysis.joined and is_kept and not analysis.joins[-1].is_foreign else None
    columns = [
        f"{key if key and projection.column.is_key else lowering.whole(projection.expression)}"
        f" AS {duckdb_column(projection.column.name)}"
        for projection in analysis.projections
    ]
    kept = lowering.whole_condition(analysis.where) if analysis.where is not None else "true"
    return fields, columns, kept


def key_of_join(analysis: Analysis) -> str:
    """The key of a join's result, without its window."""
    return "_key.k" if analysis.source.window else "_key"


def joined_columns(analysis: Analysis) -> dict[exp.Expression, str]:
    """The columns of a join's sources in DuckDB's SQL: see :func:`sql.language.lowering.selects.joined_columns`."""
    return {column: duckdb_column(name) for column, name in selects.joined_columns(analysis).items()}


def _fields(expressions: Sequence[exp.Expression]) -> Iterator[exp.Dot]:
    """The fields of a column's structs that expressions read, down to the level that they read."""
    for expression in expressions:
        for part in expression.walk(prune=lambda node: isinstance(node, exp.Lambda)):
            if not isinstance(part, exp.Dot) or isinstance(part.parent, exp.Dot):
                continue
            if isinstance(owner(part), exp.Column):
                yield part
