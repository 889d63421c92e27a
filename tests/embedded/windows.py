"""Windowed aggregations over rows in batches, and a model of Kafka Streams that takes the rows one at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from opensea_metrics.deploy.embedded.queries import aggregation
from opensea_metrics.deploy.embedded.storage import Storage
from opensea_metrics.sql.language.catalog.catalog import Catalog
from opensea_metrics.sql.language.catalog.changes import applied
from opensea_metrics.sql.language.lowering.duckdb import groupings
from opensea_metrics.sql.language.queries.analysis import Analysis
from opensea_metrics.sql.language.statements.parser import parse_statement

STREAM = "CREATE STREAM s (k VARCHAR KEY, g VARCHAR, v INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=2);"


@dataclass(frozen=True)
class Row:
    """A record of the stream s. ``time`` is in ms."""

    key: str
    time: int
    value: int
    partition: int = 0


def analysed(select: str) -> Analysis:
    catalog = applied(Catalog(), parse_statement(STREAM), 0)
    catalog = applied(catalog, parse_statement(f"CREATE TABLE t AS {select};"), 1)
    (query,) = catalog.queries.values()
    return query.analysis


def database(folder: Path) -> Storage:
    return Storage(folder)


def in_batches(cursor: duckdb.DuckDBPyConnection, analysis: Analysis, batches: Sequence[Sequence[Row]]) -> list[Any]:
    """The rows of the state after some batches, as (number of the last change, row)."""
    absorbed(cursor, analysis, batches)
    grouping = groupings.grouping(analysis)
    rows = cursor.execute(f"SELECT * FROM ({grouping.finish('SELECT * FROM tested')})").fetchall()
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in rows]


def absorbed(cursor: duckdb.DuckDBPyConnection, analysis: Analysis, batches: Sequence[Sequence[Row]]) -> int:
    """Merge batches into a new state, the table ``tested``. Returns the number of late rows."""
    grouping = groupings.grouping(analysis)
    aggregation.create(cursor, grouping, "tested", temporary=True)
    seen: dict[int, int] = {}
    offset = late = 0
    for batch in batches:
        if not batch:
            continue
        values = ", ".join(
            f"('{row.key}', '{row.key}', {row.value}, {row.time}, {offset + n}, {row.partition})"
            for n, row in enumerate(batch)
        )
        offset += len(batch)
        relation = f"SELECT * FROM (VALUES {values}) AS v(K, G, V, ROWTIME, _off, ROWPARTITION)"
        seen, of_batch = aggregation.absorb(cursor, grouping, "tested", relation, seen)
        late += of_batch
    return late


@dataclass
class Session:
    first: int
    last: int
    values: list[int]


@dataclass
class SessionModel:
    """One partition of a session aggregation with COLLECT_LIST, as Kafka Streams 3.9 computes it."""

    gap: int
    grace: int
    kept: int
    is_final: bool = False
    time: int = 0
    store: dict[str, list[Session]] = field(default_factory=dict)
    emitted: list[tuple[str, int, int, tuple[int, ...]]] = field(default_factory=list)
    late: int = 0

    def take(self, row: Row) -> None:
        before, self.time = self.time, max(self.time, row.time)
        closes = self.time - self.grace - self.gap
        known = self.store.setdefault(row.key, [])
        alive = sorted((s for s in known if s.last > before - self.kept), key=lambda s: (s.last, s.first))
        merged = [s for s in alive if s.last >= row.time - self.gap and s.first <= row.time + self.gap]
        new = Session(
            min([row.time, *(s.first for s in merged)]),
            max([row.time, *(s.last for s in merged)]),
            [*(value for s in merged for value in s.values), row.value],
        )
        if new.last < closes:
            self.late += 1
        else:
            known[:] = [s for s in known if s not in merged and (s.first, s.last) != (new.first, new.last)] + [new]
        if self.is_final:
            self._emit(closes)

    def _emit(self, closes: int) -> None:
        known = {(key, first, last) for key, first, last, _ in self.emitted}
        for key, sessions in self.store.items():
            for s in sessions:
                if s.last < closes and (key, s.first, s.last) not in known:
                    self.emitted.append((key, s.first, s.last, tuple(s.values)))

    def rows(self) -> list[tuple[str, int, int, tuple[int, ...]]]:
        return sorted((key, s.first, s.last, tuple(s.values)) for key, all_ in self.store.items() for s in all_)


@dataclass
class WindowModel:
    """One partition of a hopping or tumbling aggregation with EMIT FINAL, as Kafka Streams 3.9 computes it."""

    size: int
    advance: int
    grace: int
    kept: int
    time: int = -1
    newest: int = -1
    last_close: int = -1
    store: dict[tuple[int, str], list[int]] = field(default_factory=dict)
    emitted: list[tuple[str, int, tuple[int, ...]]] = field(default_factory=list)

    def take(self, row: Row) -> None:
        self.time = max(self.time, row.time)
        close = self.time - self.grace
        start = row.time - row.time % self.advance
        while start > row.time - self.size and start >= 0:
            if start + self.size > close:
                self.store.setdefault((start, row.key), []).append(row.value)
                self.newest = max(self.newest, start)
            start -= self.advance
        if close - self.size < 0 or close <= self.last_close:
            return
        low = 0 if self.last_close < 0 else max(0, self.last_close - self.size) + 1
        for (start, key), values in sorted(self.store.items()):
            if low <= start <= close - self.size and start >= self.newest - self.kept:
                self.emitted.append((key, start, tuple(values)))
        self.last_close = close
