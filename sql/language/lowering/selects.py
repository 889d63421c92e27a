"""Writes whole SELECTs. This part is the same in DuckDB's and Spark's SQL.

A source is passed as a relation, which is the SQL of a SELECT. The relation has the source's columns under the engine's
names, ``ROWTIME`` (epoch ms), and ``_off``, a number that grows along the topic. The relation of a windowed source also
has WINDOWSTART and WINDOWEND.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlglot import exp

from opensea_metrics.core.types import BIGINT, KsqlType
from opensea_metrics.sql.language.catalog.sources import Source, Window
from opensea_metrics.sql.language.lowering.refusals import Unsupported
from opensea_metrics.sql.language.queries.analysis import Analysis, aggregates
from opensea_metrics.sql.language.queries.scope import Scope


@dataclass(frozen=True)
class EngineSyntax:
    """An engine's SQL for a column's name, a type, and a record's event time from its column's value.

    ``hops`` writes one row for the start of each hopping window of a record, from the last start to the first.
    """

    column: Callable[[str], str]
    type_name: Callable[[KsqlType], str]
    event_time: Callable[[Source, str], str]
    hops: Callable[[str, Window], str]


def as_source(
    engine: EngineSyntax, source: Source, relation: str, available: Sequence[str], carried: Sequence[str] = ()
) -> str:
    """A relation with the columns of a source. Names are matched in any case, and missing columns are NULL.

    Rows without an event time, or with one before 1970, are omitted. ``available`` are the relation's columns, named
    as in statements. The result keeps the ``carried`` columns.
    """
    known = {column.upper(): column for column in available}
    columns = {}
    for column in source.columns:
        match = column.name if column.name in available else known.get(column.name.upper())
        value = engine.column(match) if match else "NULL"
        kind = engine.type_name(column.type)
        # A rounded DECIMAL may have one digit too many, and readers of its topic could not hold such a value.
        columns[column.name] = f"{'TRY_CAST' if 'DECIMAL' in kind else 'CAST'}({value} AS {kind})"
    bounds = ["WINDOWSTART", "WINDOWEND"] if source.window and "WINDOWSTART" in known else []
    rowtime = engine.event_time(source, columns[source.timestamp]) if source.timestamp else "ROWTIME"
    named = (f"{value} AS {engine.column(name)}" for name, value in columns.items())
    hidden = [*bounds, f"{rowtime} AS ROWTIME", "_off", *carried]
    rows = f"SELECT {', '.join([*named, *hidden])} FROM ({relation})"
    return f"SELECT * FROM ({rows}) WHERE ROWTIME >= 0" if source.timestamp else rows


def listed(engine: EngineSyntax, source: Source, relation: str) -> str:
    """A source's rows as results: its columns and the window's bounds."""
    columns = [engine.column(column.name) for column in source.columns]
    bounds = ["WINDOWSTART", "WINDOWEND"] if source.window else []
    return f"SELECT {', '.join([*columns, *bounds])} FROM ({relation})"


def order(source: Source) -> list[str]:
    """The columns by which results are sorted: the window's start and the key. Empty without a window."""
    if not source.window:
        return []
    return ["WINDOWSTART", *(column.name for column in source.columns if column.is_key)]


def scope_of(analysis: Analysis) -> Scope:
    """The names of a SELECT's source, to lower its expressions."""
    columns = {
        alias: source.readable() for alias, source in zip(analysis.aliases, analysis.sources, strict=True)
    }
    if analysis.window:
        columns[analysis.aliases[0]] |= {"WINDOWSTART": BIGINT, "WINDOWEND": BIGINT}
    if analysis.synthetic:
        columns[""] = dict([analysis.synthetic])
    return Scope(analysis.statement, columns)


def joined_columns(analysis: Analysis) -> dict[exp.Expression, str]:
    """The columns of a join's sources as a SELECT names them, and their names in a relation of joined rows."""
    return {
        exp.Column(this=exp.Identifier(this=name, quoted=True), table=exp.Identifier(this=alias, quoted=True)): (
            f"{alias}.{name}"
        )
        for alias, source in zip(analysis.aliases, analysis.sources, strict=True)
        for name in (source.readable() if analysis.joined else ())
    }


def hidden_columns(analysis: Analysis) -> list[str]:
    """The additional columns of each row of a SELECT without groups: the window's bounds and ROWTIME."""
    taken = {projection.column.name for projection in analysis.projections}
    window = ["WINDOWSTART", "WINDOWEND"] if analysis.source.window else []
    return [name for name in [*window, "ROWTIME"] if name not in taken]


def check_supported(analysis: Analysis, engine: str) -> None:
    """Raise Unsupported for a clause that the engines do not support."""
    if analysis.limit is not None and analysis.limit < 0:
        raise Unsupported("a negative LIMIT", engine, analysis.statement.place)


def windowed(engine: EngineSyntax, relation: str, window: Window | None) -> str:
    """The relation with the window's start as ``_ws``. A row is repeated for each of its windows.

    A session depends on the other rows of its key, so :func:`sessions` finds the bounds of sessions.
    """
    if window is None or window.is_session:
        return relation
    since = f"(ROWTIME - {window.origin})" if window.origin else "ROWTIME"
    start = f"(ROWTIME - ({since} % {window.advance}))"
    if window.advance != window.size:
        start = engine.hops(start, window)
    return f"SELECT *, {start} AS _ws FROM ({relation})"


def sessions(rows: str, keys: Sequence[str], gap: int, bounds: tuple[str, str] = ("ROWTIME", "ROWTIME")) -> str:
    """The rows with ``_session``, the number of their session among those with the same keys.

    Rows are in one session if no gap between them is longer than ``gap`` (ms). ``bounds`` are the first and the last
    time of a row, which may be a session itself.
    """
    first, last = bounds
    over = f"OVER (PARTITION BY {', '.join(keys)} ORDER BY {first}, {last} ROWS BETWEEN UNBOUNDED PRECEDING AND"
    starts = f"CASE WHEN {first} <= max({last}) {over} 1 PRECEDING) + {gap} THEN 0 ELSE 1 END"
    return f"SELECT *, sum(_starts) {over} CURRENT ROW) AS _session FROM (SELECT *, {starts} AS _starts FROM ({rows}))"


def window_columns(window: Window | None) -> list[str]:
    """The columns that identify the window of a row of state."""
    if window is None:
        return []
    return ["_ws", "_we"] if window.is_session else ["_ws"]


def window_end(window: Window) -> str:
    """The end of the window of a row of state. The end of a session is the time of its last row, as in ksqlDB."""
    return "_we" if window.is_session else f"_ws + {window.size}"


def aggregate_calls(analysis: Analysis) -> list[exp.Anonymous]:
    """The distinct aggregate calls of a grouped SELECT, in order."""
    expressions = [projection.expression for projection in analysis.projections]
    if analysis.having is not None:
        expressions.append(analysis.having)
    return list(dict.fromkeys(call for expression in expressions for call in aggregates(expression)))


def state_columns(analysis: Analysis, end: str | None = None) -> dict[exp.Expression, str]:
    """The group keys and the window's bounds as columns of a state: ``_k0`` …, and :func:`window_columns`.

    ``end`` is the column with the window's end, if there is one.
    """
    columns: dict[exp.Expression, str] = {key: f"_k{index}" for index, key in enumerate(analysis.group)}
    if analysis.window:
        bounds = {"WINDOWSTART": "_ws", "WINDOWEND": end or f"({window_end(analysis.window)})"}
        for name, sql in bounds.items():
            columns[exp.Column(this=exp.Identifier(this=name, quoted=True))] = sql
    return columns
