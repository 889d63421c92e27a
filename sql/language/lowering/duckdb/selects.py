"""Whole SELECTs in DuckDB's SQL: row by row, and grouped in parts.

A source is given as a relation: SQL of a SELECT with the source's columns under the names that
``core.quoting.column`` gives them, ``ROWTIME`` (epoch ms) and ``_off`` (the offset, growing along the topic).
Of a windowed source it has WINDOWSTART and WINDOWEND too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from sqlglot import exp

from opensea_metrics.core.quoting import column as duckdb_column
from opensea_metrics.core.types import BIGINT, KsqlType, duckdb
from opensea_metrics.sql.language.catalog.sources import Source, Window
from opensea_metrics.sql.language.lowering.duckdb.aggregates import (
    Accumulator,
    Aggregate,
    aggregate,
)
from opensea_metrics.sql.language.lowering.duckdb.expressions import Lowering
from opensea_metrics.sql.language.lowering.expressions import owner
from opensea_metrics.sql.language.lowering.refusals import Unsupported
from opensea_metrics.sql.language.lowering.times import event_time
from opensea_metrics.sql.language.queries.analysis import Analysis, aggregates
from opensea_metrics.sql.language.queries.scope import Scope


@dataclass(frozen=True)
class Grouping:
    """A grouped SELECT, in parts.

    ``partial(relation, …)`` gives rows of state: ``_k0 …`` the group keys, ``_ws`` the window's start
    (windowed only), ``_a0 …`` the accumulators, ``_ts`` the newest ROWTIME. ``merge(rows)`` makes one
    row a key of rows of state that have ``_src`` (0 older, 1 newer) besides. ``finish(rows)`` gives
    the SELECT's columns, WINDOWSTART, WINDOWEND, ROWTIME and ``_off``.
    """

    analysis: Analysis
    key_sql: tuple[str, ...]
    found: tuple[Aggregate, ...]
    columns_sql: tuple[tuple[str, str], ...]
    where_sql: str
    having_sql: str

    @property
    def keys(self) -> list[str]:
        """The columns that tell rows of state apart."""
        keys = [f"_k{index}" for index in range(len(self.key_sql))]
        return [*keys, "_ws"] if self.analysis.window else keys

    def partial(self, relation: str, stream_time: int | None) -> str:
        """Rows of state made of the rows of a relation.

        With a stream time (epoch ms) rows are left out whose window has closed when they come.
        """
        keys = [f"{sql} AS _k{index}" for index, sql in enumerate(self.key_sql)]
        made = [f"{part.partial} AS _a{i}" for i, part in enumerate(self._accumulators())]
        rows = f"SELECT * FROM ({windowed(relation, self.analysis.window)}) WHERE {self._kept()}"
        if stream_time is not None:
            rows = f"SELECT * FROM ({self._timed(rows, stream_time)}) WHERE NOT _late"
        selected = ", ".join([*keys, *self._window_key(), *made, "max(ROWTIME) AS _ts"])
        groups = ", ".join(str(i + 1) for i in range(len(self.keys)))
        return self._tidied(f"SELECT {selected} FROM ({rows}) GROUP BY {groups}")

    def count_late(self, relation: str, stream_time: int) -> str:
        """The number of rows that come after their window has closed."""
        rows = f"SELECT * FROM ({windowed(relation, self.analysis.window)}) WHERE {self._kept()}"
        return f"SELECT count(*) FROM ({self._timed(rows, stream_time)}) WHERE _late"

    def _kept(self) -> str:
        return " AND ".join([self.where_sql, *(f"{sql} IS NOT NULL" for sql in self.key_sql)])

    def _timed(self, rows: str, stream_time: int) -> str:
        """Rows with ``_late``: whether size and grace of their window have passed in stream time,
        which is the greatest ROWTIME up to and including the row (as Kafka Streams has it)."""
        window = self.analysis.window
        assert window is not None
        now = "max(ROWTIME) OVER (ORDER BY _off ROWS UNBOUNDED PRECEDING)"
        closes = f"_ws + {window.size + window.grace}"
        return f"SELECT *, {closes} <= greatest({now}, {stream_time}) AS _late FROM ({rows})"

    def merge(self, rows: str) -> str:
        """One row for each key, of rows of state."""
        made = [
            f"{part.merge.format(a=f'_a{i}', b=f'_a{i + 1}', src='_src')} AS _a{i}"
            for i, part in enumerate(self._accumulators())
        ]
        keys = ", ".join(self.keys)
        selected = ", ".join([keys, *made, "max(_ts) AS _ts"])
        return self._tidied(f"SELECT {selected} FROM ({rows}) GROUP BY {keys}")

    def finish(self, rows: str) -> str:
        """The SELECT's columns from rows of state that have ``_off``."""
        columns = ", ".join(f"{sql} AS {duckdb_column(name)}" for name, sql in self.columns_sql)
        window = ""
        if self.analysis.window:
            window = f", _ws AS WINDOWSTART, _ws + {self.analysis.window.size} AS WINDOWEND"
        return (
            f"SELECT {columns}{window}, _ts AS ROWTIME, _off FROM ({rows}) WHERE {self.having_sql}"
        )

    def _accumulators(self) -> Iterator[Accumulator]:
        for found in self.found:
            yield from found.accumulators

    def _window_key(self) -> list[str]:
        return ["_ws"] if self.analysis.window else []

    def _tidied(self, grouped: str) -> str:
        tidied = [
            f"{part.tidy.format(a=f'_a{i}')} AS _a{i}"
            for i, part in enumerate(self._accumulators())
        ]
        return f"SELECT {', '.join([*self.keys, *tidied, '_ts'])} FROM ({grouped})"


def scope_of(analysis: Analysis) -> Scope:
    """The names of a SELECT's source, for lowering its expressions."""
    columns = analysis.source.readable()
    if analysis.window:
        columns |= {"WINDOWSTART": BIGINT, "WINDOWEND": BIGINT}
    return Scope(analysis.statement, {analysis.source.name: columns})


def as_source(
    source: Source,
    relation: str,
    available: Sequence[str],
    name: Callable[[str], str] = duckdb_column,
    type_name: Callable[[KsqlType], str] = duckdb,
    time: Callable[[Source, str], str] = event_time,
) -> str:
    """A relation in the columns of a source that reads it: by name in any case, NULL where missing. Rows
    without an event time, or with one before 1970, are left out.

    ``available`` are the relation's columns as statements name them; ``name``, ``type_name`` and ``time`` write
    columns, types and event times as the engine does.
    """
    known = {each.upper(): each for each in available}
    columns = {}
    for column in source.columns:
        found = column.name if column.name in available else known.get(column.name.upper())
        value = name(found) if found else "NULL"
        columns[column.name] = f"CAST({value} AS {type_name(column.type)})"
    bounds = ["WINDOWSTART", "WINDOWEND"] if source.window and "WINDOWSTART" in known else []
    rowtime = time(source, columns[source.timestamp]) if source.timestamp else "ROWTIME"
    named = (f"{value} AS {name(each)}" for each, value in columns.items())
    rows = f"SELECT {', '.join([*named, *bounds, f'{rowtime} AS ROWTIME', '_off'])} FROM ({relation})"
    return f"SELECT * FROM ({rows}) WHERE ROWTIME >= 0" if source.timestamp else rows


def listed(
    source: Source, relation: str, name: Callable[[str], str] = duckdb_column
) -> str:
    """A source's rows as results: its columns and the window's bounds."""
    columns = [name(column.name) for column in source.columns]
    bounds = ["WINDOWSTART", "WINDOWEND"] if source.window else []
    return f"SELECT {', '.join([*columns, *bounds])} FROM ({relation})"


def order(source: Source) -> list[str]:
    """The columns by which results are sorted: those of a window by its start and by key."""
    if not source.window:
        return []
    return ["WINDOWSTART", *(column.name for column in source.columns if column.is_key)]


def rows(analysis: Analysis, relation: str, unreadable: Sequence[str] = ()) -> str:
    """A SELECT without groups over a relation: its columns, ROWTIME and ``_off``.

    With ``unreadable`` the relation has those columns in place of ``_off``; they are passed on, and
    so are the rows in which the first of them is not NULL, whatever the WHERE clause says.
    """
    fields, columns, kept = _selected(analysis)
    hidden = [*hidden_columns(analysis), *(unreadable or ["_off"])]
    if unreadable:
        kept = f"({kept}) OR {unreadable[0]} IS NOT NULL"
    if fields:
        relation = f"SELECT *, {', '.join(fields)} FROM ({relation})"
    return f"SELECT {', '.join([*columns, *hidden])} FROM ({relation}) WHERE {kept}"


@lru_cache(maxsize=1_000)
def _selected(analysis: Analysis) -> tuple[list[str], list[str], str]:
    """The fields of structs that a SELECT without groups reads, its columns, and its condition.

    The fields are taken out first: for each branch of a CASE DuckDB picks the rows out of whole structs.
    """
    check_supported(analysis, Lowering.engine)
    lowering = Lowering(scope_of(analysis))
    wanted = [projection.expression for projection in analysis.projections]
    wanted += [analysis.where] if analysis.where is not None else []
    named: dict[exp.Expression, str] = {
        field: f"_f{number}" for number, field in enumerate(dict.fromkeys(_fields(wanted)))
    }
    fields = [f"{lowering.whole(field)} AS {name}" for field, name in named.items()]
    lowering = Lowering(scope_of(analysis), named)
    columns = [
        f"{lowering.whole(projection.expression)} AS {duckdb_column(projection.column.name)}"
        for projection in analysis.projections
    ]
    kept = lowering.whole_condition(analysis.where) if analysis.where is not None else "true"
    return fields, columns, kept


def _fields(expressions: Sequence[exp.Expression]) -> Iterator[exp.Dot]:
    """The fields of a column's structs that expressions read, each as deep as they read it."""
    for expression in expressions:
        for part in expression.walk(prune=lambda each: isinstance(each, exp.Lambda)):
            if not isinstance(part, exp.Dot) or isinstance(part.parent, exp.Dot):
                continue
            if isinstance(owner(part), exp.Column):
                yield part


def hidden_columns(analysis: Analysis) -> list[str]:
    """What a row of a SELECT without groups has beside its columns: the window's bounds and ROWTIME."""
    taken = {projection.column.name for projection in analysis.projections}
    window = ["WINDOWSTART", "WINDOWEND"] if analysis.source.window else []
    return [name for name in [*window, "ROWTIME"] if name not in taken]


@lru_cache(maxsize=1_000)
def grouping(analysis: Analysis) -> Grouping:
    """The parts of a grouped SELECT. Raises SqlError for what cannot be given exactly."""
    check_supported(analysis, Lowering.engine)
    lowering = Lowering(scope_of(analysis))
    calls: dict[exp.Expression, Aggregate] = {}
    wanted = [projection.expression for projection in analysis.projections]
    if analysis.having is not None:
        wanted.append(analysis.having)
    for expression in wanted:
        for call in aggregates(expression):
            if call not in calls:
                calls[call] = aggregate(call, lowering)
    substitutes: dict[exp.Expression, str] = {}
    position = 0
    for aggregated, found in calls.items():
        substitutes[aggregated] = found.finish.format(a=f"_a{position}", b=f"_a{position + 1}")
        position += len(found.accumulators)
    for index, key in enumerate(analysis.group):
        substitutes[key] = f"_k{index}"
    if analysis.window:
        bounds = {"WINDOWSTART": "_ws", "WINDOWEND": f"(_ws + {analysis.window.size})"}
        for name, sql in bounds.items():
            substitutes[exp.Column(this=exp.Identifier(this=name, quoted=True))] = sql
    after = Lowering(scope_of(analysis), substitutes)
    return Grouping(
        analysis=analysis,
        key_sql=tuple(lowering.whole(key) for key in analysis.group),
        found=tuple(calls.values()),
        columns_sql=tuple(
            (projection.column.name, after.whole(projection.expression))
            for projection in analysis.projections
        ),
        where_sql=lowering.whole_condition(analysis.where) if analysis.where is not None else "true",
        having_sql=after.whole_condition(analysis.having) if analysis.having is not None else "true",
    )


def check_supported(analysis: Analysis, engine: str) -> None:
    """Raises Unsupported for a clause that the engines do not have."""
    feature = None
    if analysis.joined:
        feature = "JOIN"
    elif analysis.emit == "FINAL":
        feature = "EMIT FINAL"
    elif analysis.window and analysis.window.kind == "SESSION":
        feature = "a SESSION window"
    if feature:
        raise Unsupported(feature, engine, analysis.statement.place)


def _hops(last: str, window: Window) -> str:
    end = f"greatest(ROWTIME - {window.size}, {window.origin - 1})"
    return f"unnest(range({last}, {end}, -{window.advance}))"


def windowed(
    relation: str, window: Window | None, hops: Callable[[str, Window], str] = _hops
) -> str:
    """The relation with ``_ws``, a row once for each window that it falls into.

    ``hops`` writes, as the engine does, the rows of starts from the last one back.
    """
    if window is None:
        return relation
    since = f"(ROWTIME - {window.origin})" if window.origin else "ROWTIME"
    start = f"(ROWTIME - ({since} % {window.advance}))"
    if window.advance != window.size:
        start = hops(start, window)
    return f"SELECT *, {start} AS _ws FROM ({relation})"
