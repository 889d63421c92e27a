"""Writes whole SELECTs in DuckDB's SQL: row by row, and grouped in parts.

Relations are described in :mod:`sql.language.lowering.selects`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from sqlglot import exp

from opensea_metrics.core.quoting import column as duckdb_column
from opensea_metrics.core.types import duckdb
from opensea_metrics.sql.language.catalog.sources import Source, Window
from opensea_metrics.sql.language.lowering import selects
from opensea_metrics.sql.language.lowering.duckdb.aggregates import (
    Accumulator,
    Aggregate,
    aggregate,
)
from opensea_metrics.sql.language.lowering.duckdb.expressions import Lowering
from opensea_metrics.sql.language.lowering.duckdb.reversible import reversible
from opensea_metrics.sql.language.lowering.duckdb.stream_time import StreamTime
from opensea_metrics.sql.language.lowering.event_times import event_time
from opensea_metrics.sql.language.lowering.expressions import owner
from opensea_metrics.sql.language.lowering.selects import EngineSyntax
from opensea_metrics.sql.language.queries.analysis import Analysis, table_calls


def _hops(last: str, window: Window) -> str:
    end = f"greatest(ROWTIME - {window.size}, {window.origin - 1})"
    return f"unnest(range({last}, {end}, -{window.advance}))"


SYNTAX = EngineSyntax(duckdb_column, duckdb, event_time, _hops)


@dataclass(frozen=True)
class Grouping:
    """A grouped SELECT, in parts.

    ``partial(relation, …)`` returns rows of state. They have the group keys ``_k0 …``, the accumulators ``_a0 …`` and
    the newest ROWTIME ``_ts``. With a window they also have its start ``_ws``, and sessions have an end ``_we``.
    ``merge(rows)`` returns one row per key and window from rows of state with the additional column ``_src`` (0 older,
    1 newer). ``finish(rows)`` returns the SELECT's columns, WINDOWSTART, WINDOWEND, ROWTIME and ``_off``. ``carried``
    are columns of the relation that rows of state also have.
    """

    analysis: Analysis
    key_sql: tuple[str, ...]
    aggregates: tuple[Aggregate, ...]
    columns_sql: tuple[tuple[str, str], ...]
    where_sql: str
    having_sql: str
    carried: tuple[str, ...] = ()

    @property
    def group(self) -> list[str]:
        """The columns of the group keys in a row of state."""
        return [f"_k{index}" for index in range(len(self.key_sql))]

    @property
    def keys(self) -> list[str]:
        """The columns that identify a row of state."""
        return [*self.group, *selects.window_columns(self.analysis.window)]

    @property
    def is_ordered(self) -> bool:
        """True if an accumulator depends on the order in which rows of state are merged."""
        return any("{src}" in part.merge for part in self.accumulators)

    @property
    def is_in_parts(self) -> bool:
        """True if a state may have several rows for a key and window: its parts.

        A list can grow with the window. So new rows become a part of their own, and older rows stay as they are.
        """
        window = self.analysis.window
        if window is None or window.is_session or self.analysis.emit == "FINAL" or self.analysis.is_ordered:
            return False
        return any("list(" in part.merge for part in self.accumulators)

    @property
    def accumulators(self) -> tuple[Accumulator, ...]:
        """The accumulators of all aggregates, in the order of their columns."""
        return tuple(part for aggregated in self.aggregates for part in aggregated.accumulators)

    def partial(self, relation: str, time: StreamTime | None) -> str:
        """Rows of state, computed from the rows of a relation.

        With a stream time, rows that arrive after their window has closed are omitted.
        """
        window = self.analysis.window
        rows = f"SELECT * FROM ({windowed(relation, window)}) WHERE {self._kept()}"
        if time is not None:
            rows = f"SELECT * FROM ({self._timed(rows, time)}) WHERE NOT _late"
        if window is not None and window.is_session:
            rows = selects.sessions(f"SELECT *, {', '.join(self._named_keys())} FROM ({rows})", self.group, window.size)
            return self._partial(rows, [*self.group, "_session"])
        return self._partial(rows, [*self._named_keys(), *selects.window_columns(window)])

    def of_windowed(self, rows: str) -> str:
        """Rows of state, computed from the rows of a relation that have the start of their window, ``_ws``."""
        rows = f"SELECT * FROM ({rows}) WHERE {self._kept()}"
        return self._partial(rows, [*self._named_keys(), *selects.window_columns(self.analysis.window)])

    def one_by_one(self, relation: str) -> str:
        """Rows of state, one for each row of a relation, with its ``_off``. Each row is a session of its own."""
        rows = f"SELECT *, {', '.join(self._named_keys())}, _off AS _session FROM ({relation})"
        return self._partial(rows, [*self.group, "_session"], kept=["_session AS _off"])

    def timed(self, relation: str, time: StreamTime) -> str:
        """The rows to group, with their group keys and three more columns.

        ``_place`` is the row's place in the order of stream time, ``_before`` and ``_now`` the stream time before
        and after the row.
        """
        rows = f"SELECT *, {', '.join(self._named_keys())} FROM ({relation}) WHERE {self._kept()}"
        before = f"greatest(coalesce(max(ROWTIME) OVER ({time.earlier}), 0), {time.before})"
        rows = f"SELECT *, {before} AS _before, {time.place} AS _place FROM ({time.merged(rows)})"
        return f"SELECT *, greatest(_before, ROWTIME) AS _now FROM ({rows})"

    def newest(self, relation: str, time: StreamTime) -> str:
        """The greatest ROWTIME (epoch ms) in each partition, among the rows to group."""
        rows = f"SELECT * FROM ({relation}) WHERE {self._kept()}"
        return f"SELECT {time.partition}, max(ROWTIME) FROM ({rows}) GROUP BY 1"

    def count_late(self, relation: str, time: StreamTime) -> str:
        """The number of rows that arrive after their window has closed."""
        rows = f"SELECT * FROM ({windowed(relation, self.analysis.window)}) WHERE {self._kept()}"
        return f"SELECT count(*) FROM ({self._timed(rows, time)}) WHERE _late"

    def _kept(self) -> str:
        return " AND ".join([self.where_sql, *(f"{sql} IS NOT NULL" for sql in self.key_sql)])

    def _timed(self, rows: str, time: StreamTime) -> str:
        """Rows with ``_late``, which is true if the size and grace period of their window have passed in stream time.
        Stream time is the greatest ROWTIME up to and including the row, as in Kafka Streams."""
        window = self.analysis.window
        assert window is not None
        closes = f"_ws + {window.size + window.grace}"
        late = f"{closes} <= greatest(max(ROWTIME) OVER ({time.order}), {time.before})"
        return f"SELECT *, {late} AS _late FROM ({time.merged(rows)})"

    def merge(self, rows: str) -> str:
        """One row of state for each key, merged from rows of state."""
        window = self.analysis.window
        if window is not None and window.is_session:
            return self.combine(selects.sessions(rows, self.group, window.size, ("_ws", "_we")))
        return self._merged(rows, self.keys, self.keys)

    def combine(self, rows: str) -> str:
        """One row of state for each session, merged from rows of state that have ``_src`` and ``_session``."""
        return self._merged(rows, [*self.group, "min(_ws) AS _ws", "max(_we) AS _we"], [*self.group, "_session"])

    def of_parts(self, parts: str) -> str:
        """One row of state for each key, with the ``_off`` of its newest part. The parts have ``_off`` too."""
        return replace(self, carried=("_off",)).merge(f"SELECT *, _off AS _src FROM ({parts})")

    def with_end(self, rows: str, added: Sequence[str] = ()) -> str:
        """Rows of state with the end of their window, ``_we``, and the ``added`` columns."""
        window = self.analysis.window
        if window is not None and not window.is_session:
            added = [f"{selects.window_end(window)} AS _we", *added]
        return f"SELECT *, {', '.join(added)} FROM ({rows})" if added else rows

    def finish(self, rows: str) -> str:
        """The SELECT's columns, computed from rows of state that have ``_off``."""
        return self.finish_with_end(self.with_end(rows))

    def finish_with_end(self, rows: str, carried: Sequence[str] = ()) -> str:
        """:meth:`finish` for the rows of :meth:`with_end`. The result also has their ``carried`` columns."""
        columns = [f"{sql} AS {duckdb_column(name)}" for name, sql in self.columns_sql]
        bounds = ["_ws AS WINDOWSTART", "_we AS WINDOWEND"] if self.analysis.window else []
        selected = ", ".join([*columns, *bounds, "_ts AS ROWTIME", "_off", *carried])
        return f"SELECT {selected} FROM ({rows}) WHERE {self.having_sql}"

    def changes(self, rows: str) -> str:
        """Like :meth:`finish`, but with the rows that HAVING excludes. ``_tombstone`` is true for these rows."""
        columns = ", ".join(f"{sql} AS {duckdb_column(name)}" for name, sql in self.columns_sql)
        left_out = f"({self.having_sql}) IS NOT TRUE AS _tombstone"
        return f"SELECT {columns}, _ts AS ROWTIME, _off, {left_out} FROM ({self.with_end(rows)})"

    def _named_keys(self) -> list[str]:
        return [f"{sql} AS _k{index}" for index, sql in enumerate(self.key_sql)]

    def _partial(self, rows: str, by: list[str], kept: Sequence[str] = ()) -> str:
        """Rows of state from rows that have ``_session`` if the window is a session. ``kept`` are further columns."""
        window = self.analysis.window
        # DuckDB plans repeated expressions once if they are columns.
        repeated = dict.fromkeys(sql for part in self.accumulators for sql in part.repeated)
        named = {sql: f"_x{i}" for i, sql in enumerate(repeated)}
        if named:
            rows = f"SELECT *, {', '.join(f'{sql} AS {name}' for sql, name in named.items())} FROM ({rows})"
        states = []
        for i, part in enumerate(self.accumulators):
            partial = part.partial
            for sql in part.repeated:
                partial = partial.replace(sql, named[sql])
            states.append(f"{partial} AS _a{i}")
        is_session = window is not None and window.is_session
        bounds = ["min(ROWTIME) AS _ws", "max(ROWTIME) AS _we"] if is_session else []
        columns = [column for column in by if column != "_session"]
        carried = [f"max({name}) AS {name}" for name in self.carried]
        selected = ", ".join([*columns, *bounds, *states, "max(ROWTIME) AS _ts", *carried, *kept])
        groups = [*(str(i + 1) for i in range(len(columns))), *(["_session"] if is_session else [])]
        return self._tidied(f"SELECT {selected} FROM ({rows}) GROUP BY {', '.join(groups)}", kept)

    def _merged(self, rows: str, columns: Sequence[str], by: Sequence[str]) -> str:
        states = [
            f"{part.merge.format(a=f'_a{i}', b=f'_a{i + 1}', src='_src')} AS _a{i}"
            for i, part in enumerate(self.accumulators)
        ]
        carried = [f"max({name}) AS {name}" for name in self.carried]
        selected = ", ".join([*columns, *states, "max(_ts) AS _ts", *carried])
        return self._tidied(f"SELECT {selected} FROM ({rows}) GROUP BY {', '.join(by)}")

    def _tidied(self, grouped: str, kept: Sequence[str] = ()) -> str:
        if all(part.tidy == "{a}" for part in self.accumulators):
            return grouped
        tidied = [
            f"{part.tidy.format(a=f'_a{i}')} AS _a{i}"
            for i, part in enumerate(self.accumulators)
        ]
        more = [*self.carried, *(column.rpartition(" ")[2] for column in kept)]
        return f"SELECT {', '.join([*self.keys, *tidied, '_ts', *more])} FROM ({grouped})"


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


@lru_cache(maxsize=1_000)
def grouping(analysis: Analysis) -> Grouping:
    """The parts of a grouped SELECT. Raises SqlError if DuckDB cannot compute the SELECT exactly."""
    selects.check_supported(analysis, Lowering.engine)
    lowering = Lowering(selects.scope_of(analysis), joined_columns(analysis))
    over_tables = all(source.is_table for source in analysis.sources)
    chosen = reversible if over_tables else aggregate
    calls = {call: chosen(call, lowering) for call in selects.aggregate_calls(analysis)}
    substitutes: dict[exp.Expression, str] = {}
    position = 0
    for call, aggregated in calls.items():
        substitutes[call] = aggregated.finish.format(a=f"_a{position}", b=f"_a{position + 1}")
        position += len(aggregated.accumulators)
    substitutes |= selects.state_columns(analysis, end="_we")
    after = Lowering(selects.scope_of(analysis), substitutes)
    return Grouping(
        analysis=analysis,
        key_sql=tuple(lowering.whole(key) for key in analysis.group),
        aggregates=tuple(calls.values()),
        columns_sql=tuple(
            (projection.column.name, after.whole(projection.expression))
            for projection in analysis.projections
        ),
        where_sql=lowering.whole_condition(analysis.where) if analysis.where is not None else "true",
        having_sql=after.whole_condition(analysis.having) if analysis.having is not None else "true",
    )


