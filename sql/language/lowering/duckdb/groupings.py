"""Writes grouped SELECTs in DuckDB's SQL, in parts.

Relations are described in :mod:`sql.language.lowering.selects`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from sqlglot import exp

from opensea_metrics.core.quoting import column as duckdb_column
from opensea_metrics.sql.language.lowering import selects
from opensea_metrics.sql.language.lowering.duckdb.aggregates import (
    Accumulator,
    Aggregate,
    aggregate,
)
from opensea_metrics.sql.language.lowering.duckdb.expressions import Lowering
from opensea_metrics.sql.language.lowering.duckdb.reversible import reversible
from opensea_metrics.sql.language.lowering.duckdb.selects import joined_columns, windowed
from opensea_metrics.sql.language.lowering.duckdb.stream_time import StreamTime
from opensea_metrics.sql.language.queries.analysis import Analysis


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
