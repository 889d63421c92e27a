"""The tables of an ordered query's state, and the way of its items through the joins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from opensea_metrics.deploy.embedded.queries.ordered import foreign, stream_table, table_table
from opensea_metrics.deploy.embedded.queries.ordered.side import Side, create_rows
from opensea_metrics.deploy.embedded.queries.ordered.stream_stream import StreamJoin
from opensea_metrics.deploy.embedded.topics.log_tables import state_table
from opensea_metrics.sql.language.catalog.catalog import Query
from opensea_metrics.sql.language.lowering.duckdb import ordered
from opensea_metrics.sql.language.lowering.duckdb.ordered import ORDER
from opensea_metrics.sql.language.lowering.ordered.plan import joins_within_partitions


@dataclass(frozen=True)
class JoinPlan:
    """One join of a query: the sides, and the tables that it remembers."""

    query: Query
    number: int
    left: Side
    right: Side
    is_own_key: bool
    """True if the two sides are joined on the keys that their records have."""

    @property
    def rows(self) -> tuple[str, str]:
        name = f"{self.query.id} join {self.number}"
        return state_table(f"{name} left"), state_table(f"{name} right")

    @property
    def result(self) -> Side:
        names = tuple(name for name in self.left.names if name != foreign.FOREIGN) + self.right.names
        return Side(f"SELECT * FROM joined_{self.number}", names, self.left.is_table)

    def create(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """Create the empty tables, and an empty result."""
        if self._streams:
            self._streams.create(cursor)
        else:
            for side, table in zip((self.left, self.right), self.rows, strict=True):
                create_rows(cursor, table, side)
        self.run(cursor)

    def run(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """Create the temporary table of the result's items."""
        step = self.query.analysis.joins[self.number]
        result = f"joined_{self.number}"
        if self._streams:
            self._streams.join(cursor, result)
        elif not self.left.is_table:
            stream_table.join(cursor, self.left, self.right, self.rows[1], step.side == "LEFT", result)
        elif step.is_foreign:
            foreign.join(cursor, self.left, self.right, self.rows, step.side == "LEFT", result)
        else:
            table_table.join(cursor, self.left, self.right, self.rows, step.side, result)

    @property
    def _streams(self) -> StreamJoin | None:
        step = self.query.analysis.joins[self.number]
        if step.window is None:
            return None
        return StreamJoin(self.left, self.right, self.rows, step.window, step.side, self.is_own_key)


def first_side(query: Query) -> Side:
    """The items of a query's first source."""
    source = ordered.inputs(query.analysis)[0]
    return Side("SELECT * FROM items_0", tuple(source.names), source.source.is_table)


def joins(query: Query) -> list[JoinPlan]:
    """The joins of a query, from left to right. The items of source number N are in the table ``items_N``."""
    analysis = query.analysis
    result: list[JoinPlan] = []
    left, first = first_side(query), ordered.inputs(analysis)[0]
    for number, (step, keys) in enumerate(zip(analysis.joins, ordered.step_keys(analysis), strict=True)):
        source = ordered.inputs(analysis)[number + 1]
        if not left.is_table:
            if not step.keeps_key:
                left = _keyed(left, keys.left, first.bounds)
        elif step.is_foreign:
            items = f"SELECT *, {keys.left} AS {foreign.FOREIGN} FROM ({left.items})"
            left = Side(items, (*left.names, foreign.FOREIGN), is_table=True)
        right = Side(f"SELECT * FROM items_{number + 1}", tuple(source.names), source.source.is_table)
        if not right.is_table:
            right = _keyed(right, keys.right, source.bounds)
        plan = JoinPlan(query, number, left, right, joins_within_partitions(analysis, number))
        result.append(plan)
        left = plan.result
    return result


def _keyed(side: Side, key: str, bounds: Sequence[str]) -> Side:
    """Items of a stream with the key of a join. ``bounds`` are the columns of its window, if it has one."""
    if bounds:
        key = ordered.windowed_key(key, bounds)
    columns = ", ".join([*side.names, *ORDER])
    return Side(f"SELECT {columns}, {key} AS _key FROM ({side.items})", side.names, side.is_table)
