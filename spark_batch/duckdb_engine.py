"""The DuckDB engine: one pass over the files, a chunk of records at a time.

Of each chunk only the columns that are needed are kept, as long as the groupings take their parts of it;
so memory holds a chunk and the groups, whatever the archive's size (and groups go to disk beyond
``_MEMORY``).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import duckdb
import pyarrow as pa

from spark_batch import chunks
from spark_batch.chunks import Attempts, Chunk
from spark_batch.job import Counts, Job, Progress, Table, counted
from spark_batch.narrowing import columns_read
from sql.catalog import Query
from sql.lowering import selects
from sql.lowering.duckdb import quoted
from sql.sources import Source
from udfs import duckdb as duckdb_udfs

_MEMORY = "300MB"
_PIECE = 200_000
"""Rows of results that later groupings take at a time."""
_UNREADABLE = ("_failed", "_off")


@contextmanager
def computed(job: Job, progress: Progress) -> Iterator[DuckDbResults]:
    """Compute a job's tables. Raises SqlError for statements that DuckDB cannot give exactly."""
    # Arrow's own allocator keeps a hundred MB that it needs no more.
    pa.set_memory_pool(pa.system_memory_pool())
    with (
        tempfile.TemporaryDirectory(prefix="opensea-metrics-") as folder,
        duckdb.connect(config={"memory_limit": _MEMORY, "temp_directory": folder}) as database,
    ):
        chunks.prepare(database)
        duckdb_udfs.register(database)
        results = DuckDbResults(database, job)
        results.compute(progress)
        yield results


@dataclass
class _State:
    """The parts of a grouping made so far: in table ``name``, merged when there are many."""

    database: duckdb.DuckDBPyConnection
    query: Query
    name: str
    rows: int = 0
    merged: int = 0
    part: int = 0

    def absorb(self, relation: str) -> None:
        partial = selects.grouping(self.query.analysis).partial(relation, None)
        self.part += 1
        made = f"SELECT *, {self.part} AS _src FROM ({partial})"
        if self.part == 1:
            self.database.execute(f"CREATE TABLE {self.name} AS {made}")
            count = f"SELECT count(*) FROM {self.name}"
        else:
            count = f"INSERT INTO {self.name} {made}"
        self.rows += _number(self.database, count)
        if self.rows > max(500_000, 2 * self.merged):
            self._merge()

    def finish(self, name: str, kept: str) -> None:
        """The rows that the SELECT gives, into a table, in order of windows."""
        grouping = selects.grouping(self.query.analysis)
        order = "ORDER BY _ws" if self.query.analysis.window else ""
        rows = self.name
        if self.part > 1 and self.rows != self.merged:
            rows = f"({grouping.merge(f'SELECT * FROM {self.name}')})"
        numbered = f"SELECT *, row_number() OVER ({order}) AS _off FROM {rows}"
        self.database.execute(
            f"CREATE TABLE {name} AS SELECT * FROM ({grouping.finish(numbered)}) {kept} ORDER BY _off"
        )
        self.database.execute(f"DROP TABLE {self.name}")

    def _merge(self) -> None:
        merged = selects.grouping(self.query.analysis).merge(f"SELECT * FROM {self.name}")
        self.database.execute(f"CREATE TABLE merging AS SELECT *, 0 AS _src FROM ({merged})")
        self.database.execute(f"DROP TABLE {self.name}")
        self.database.execute(f"ALTER TABLE merging RENAME TO {self.name}")
        self.rows = self.merged = _number(self.database, f"SELECT count(*) FROM {self.name}")


class DuckDbResults:
    """The results in a database that lives as long as they do."""

    def __init__(self, database: duckdb.DuckDBPyConnection, job: Job) -> None:
        self._database = database
        self._job = job
        self._pipeline = job.pipeline
        self._names = {
            query.id: quoted(f"result {query.id}")
            for query in (*job.pipeline.first, *job.pipeline.later)
        }
        self._counts = Counts()

    @property
    def counts(self) -> Counts:
        return self._counts

    def compute(self, progress: Progress) -> None:
        """Everything; called once."""
        states = [
            _State(self._database, query, quoted(f"state {query.id}"))
            for query in self._pipeline.first
        ]
        found: list[tuple[str | None, int, int]] = []
        damaged: dict[str, str] = {}
        attempts = Attempts()
        for chunk in chunks.read(self._job, progress):
            attempts.at(chunk, partial(self._decode, chunk))
            found += self._absorb(states)
            damaged |= chunk.damaged
        self._counts = counted(found, damaged)
        for state in states:
            self._finish(state)
        for query in self._pipeline.later:
            state = _State(self._database, query, quoted(f"state {query.id}"))
            relation = self._relation(query.analysis.source)
            end = _number(self._database, f"SELECT coalesce(max(_off), 0) + 1 FROM ({relation})")
            for low in range(0, end, _PIECE):
                state.absorb(
                    f"SELECT * FROM ({relation}) WHERE _off >= {low} AND _off < {low + _PIECE}"
                )
            self._finish(state)

    def table(self, name: str) -> Table:
        source = self._pipeline.catalog.sources[name]
        found = self._database.sql(selects.listed(source, self._relation(source)))
        if order := selects.order(source):
            found = found.order(", ".join(map(quoted, order)))
        rows = found.to_arrow_reader(50_000)
        return Table(name, rows.schema, iter(rows))

    def _finish(self, state: _State) -> None:
        period, kept = self._job.period, ""
        if state.query.analysis.window and state.query in self._pipeline.first:
            kept = f"WHERE WINDOWSTART >= {period.first} AND WINDOWEND <= {period.end}"
        state.finish(self._names[state.query.id], kept)

    def _decode(self, chunk: Chunk, all_json: bool) -> None:
        for source in self._pipeline.raw_sources():
            relation = chunk.relation(self._database, source, all_json)
            selections = self._pipeline.reading(source, self._pipeline.selections)
            if self._pipeline.is_kept(source):
                # Decoded only once.
                groupings = self._pipeline.reading(source, self._pipeline.first)
                names = set().union(*(columns_read(q.analysis) for q in selections + groupings))
                self._keep(_decoded(source), relation, names & set(source.readable()))
                relation = f"SELECT * FROM {_decoded(source)}"
            for query in selections:
                names = {column.name for column in query.analysis.columns}
                self._keep(_staged(query), selects.rows(query.analysis, relation, _UNREADABLE), names)

    def _keep(self, table: str, relation: str, names: set[str]) -> None:
        """Make a table of columns of a relation. As a new one: DuckDB writes what is inserted into one
        twice, until it fills a row group."""
        columns = ", ".join([*map(quoted, sorted(names - {"ROWTIME"})), "ROWTIME", "_off", "_failed"])
        self._database.execute(
            f"CREATE OR REPLACE TEMP TABLE {table} AS SELECT {columns} FROM ({relation})"
        )

    def _absorb(self, states: list[_State]) -> list[tuple[str | None, int, int]]:
        """Have the groupings take what is staged. Gives what it is, for ``counted``."""
        for state in states:
            state.absorb(self._relation(state.query.analysis.source))
        # All records are in one that is not filtered.
        kept = [source for source in self._pipeline.raw_sources() if self._pipeline.is_kept(source)]
        whole = _decoded(kept[0]) if kept else _staged(self._pipeline.selections[0])
        return self._database.execute(
            f"SELECT _failed, count(*), count(*) FILTER ({self._job.readable}) FROM {whole}"
            " GROUP BY 1"
        ).fetchall()

    def _relation(self, source: Source) -> str:
        """A source's rows, of what is staged or of results.

        Which records are used is asked here: DuckDB would decode them a second time to ask it before.
        """
        parts = []
        if source.topic == self._pipeline.raw_topic:
            parts.append(f"SELECT * FROM {_decoded(source)} WHERE {self._job.readable}")
        for query in self._pipeline.writers(source.topic):
            names = [column.name for column in query.analysis.columns]
            if query.id in self._names:
                rows = f"SELECT * FROM {self._names[query.id]}"
                names += ["WINDOWSTART", "WINDOWEND"] if query.analysis.window else []
            elif query in self._pipeline.selections:
                rows = f"SELECT * FROM {_staged(query)} WHERE {self._job.readable}"
            else:
                rows = selects.rows(query.analysis, self._relation(query.analysis.source))
            parts.append(selects.as_source(source, rows, names))
        return " UNION ALL ".join(parts)


def _decoded(source: Source) -> str:
    """The table of a source's records."""
    return quoted(f"decoded {source.name}")


def _staged(query: Query) -> str:
    """The table of what a selection makes of the records."""
    return quoted(f"stage {query.id}")


def _number(database: duckdb.DuckDBPyConnection, query: str) -> int:
    return int(database.execute(query).fetchall()[0][0])
