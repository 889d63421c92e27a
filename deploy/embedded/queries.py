"""Pull and push queries: a SELECT over the existing rows, or over existing and future rows."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

import duckdb

from opensea_metrics.core.errors import SqlError
from opensea_metrics.core.quoting import column as column_of
from opensea_metrics.deploy.embedded import aggregation, failures, feeds, reply_values
from opensea_metrics.deploy.embedded.engine import Engine
from opensea_metrics.deploy.embedded.engine_state import OpenRead
from opensea_metrics.deploy.embedded.newest_rows import NewestRows
from opensea_metrics.deploy.embedded.numbering import DECODED, Numbered
from opensea_metrics.deploy.embedded.stored_topic import MOST_BYTES
from opensea_metrics.deploy.embedded.topics import ReadPosition
from opensea_metrics.deploy.embedded.unread import Unread
from opensea_metrics.sql.language.catalog.custom_types import with_types
from opensea_metrics.sql.language.catalog.sources import Column
from opensea_metrics.sql.language.lowering import support
from opensea_metrics.sql.language.lowering.duckdb import selects
from opensea_metrics.sql.language.lowering.duckdb.selects import Grouping
from opensea_metrics.sql.language.lowering.refusals import EMBEDDED, Unsupported
from opensea_metrics.sql.language.queries.analysis import Analysis
from opensea_metrics.sql.language.queries.resolution import analyse
from opensea_metrics.sql.language.statements.properties import reset_of
from opensea_metrics.sql.language.statements.statements import Statement

_STATE = "transient_state"
_BATCH = "transient_batch"
_FETCH = 2_000
_FEW_BYTES = 8_000_000
_MORE = (
    " See https://cnfl.io/queries for more info.\n"
    "Add EMIT CHANGES if you intended to issue a push query."
)


class TransientQuery:
    """One client's SELECT. ``columns`` are the columns of the result.

    ``rows()`` yields the rows that exist now. Each further call yields the rows that have arrived since the last
    call. For a table these are the rows of the keys that have changed.
    """

    def __init__(self, engine: Engine, statement: Statement, properties: Mapping[str, str]) -> None:
        """Check the query. Raises SqlError if it is refused."""
        self._engine = engine
        statement = with_types(statement, engine.catalog.types)
        self._analysis = analyse(statement, statement.ast, dict(engine.catalog.sources))
        self.is_push = self._analysis.emit is not None
        self.source = self._analysis.source
        self._is_made = self.source.is_table and bool(engine.catalog.writers(self.source.name))
        if not self.is_push:
            self._check_pull(statement)
        self.columns: tuple[Column, ...] = tuple(p.column for p in self._analysis.projections)
        self._shown = reply_values.row_converter([column.type for column in self.columns])
        self._read = OpenRead(self.source.topic, {})
        engine.follow(self._read)
        self._unread_files: dict[int, Unread] = {}  # of files, by segment
        self._left = self._analysis.limit
        support.check_replaced_rows(engine.catalog, self._analysis, EMBEDDED)
        self._check_supported(statement)
        if self.source.is_table:
            engine.catch_up(self.source.name)
        self._cursor = engine.cursor()
        self._grouping: Grouping | None = None
        self._newest: NewestRows | None = None
        if self._analysis.is_aggregation:
            self._grouping = selects.grouping(self._analysis)
            aggregation.create(self._cursor, self._grouping, _STATE, temporary=True)
            self._times: dict[int, int] = {}
            self._seen = 0
            bound = self._grouping.finish(f"SELECT * FROM {_STATE}")
        else:
            bound = selects.rows(self._analysis, feeds.nothing(self.source))
            if self.source.is_table and not self._is_made:
                self._newest = NewestRows(self._cursor, self.source, _STATE)
        try:
            self._cursor.execute(f"SELECT * FROM ({bound})")
        except duckdb.Error as error:
            raise failures.unreadable(error, statement.place) from error
        if self.is_push and reset_of(properties) == "latest":
            if self._is_made:
                feed = self._changes()
                self._read.positions = {ReadPosition(feed.id): feed.end(self._cursor)}
            else:
                engine.discover(self._cursor, self.source.topic)
                self._read.positions = dict(engine.topic(self.source.topic).ends(self._cursor))

    def _check_supported(self, statement: Statement) -> None:
        """Raise Unsupported for a push query that needs the state of a persistent query over several sources."""
        support.check_query(self._analysis, EMBEDDED)
        feature = None
        if self._analysis.joined:
            feature = "a JOIN in a push query"
        elif self._analysis.is_aggregation and self.source.is_table:
            feature = "GROUP BY over a table in a push query"
        if feature:
            raise Unsupported(feature, EMBEDDED, statement.place)

    def _check_pull(self, statement: Statement) -> None:
        analysis = self._analysis
        clauses = {
            "JOIN": bool(analysis.joined),
            "GROUP BY": analysis.is_aggregation,
            "PARTITION BY": analysis.partition,
            "HAVING": analysis.having is not None,
            "WINDOW": statement.ast.args.get("window"),
        }
        for clause, is_there in clauses.items():
            if is_there:
                raise SqlError(f"Pull queries don't support {clause} clauses.{_MORE}")
        name = self.source.name
        # Of the tables that are only declared, ksqlDB keeps the rows of a CREATE SOURCE TABLE only.
        if self.source.is_table and not self._is_made and not self.source.is_read_only:
            raise SqlError(
                f"The `{name}` table isn't queryable. To derive a queryable table, you can do "
                f"'CREATE TABLE QUERYABLE_{name} AS SELECT * FROM {name}'.{_MORE}"
            )

    @property
    def is_complete(self) -> bool:
        """True when the LIMIT is reached."""
        return self._left == 0

    def close(self) -> None:
        """Close the connection, even while another thread still looks for rows."""
        try:
            self._cursor.close()
        except duckdb.ResourceInUseException:
            threading.Thread(target=self._close_soon, name="close", daemon=True).start()

    def _close_soon(self) -> None:
        while True:
            try:
                self._cursor.interrupt()
                self._cursor.close()
                return
            except duckdb.ResourceInUseException:
                time.sleep(0.01)

    def rows(self) -> Iterator[list[Any]]:
        """The rows that have arrived since the last call, up to the LIMIT."""
        for relation in self._relations():
            if self.is_complete:
                return
            names = ", ".join(column_of(column.name) for column in self.columns)
            limit = f" LIMIT {self._left}" if self._left is not None else ""
            order = self._order()
            result = self._cursor.execute(f"SELECT {names} FROM ({relation}){order}{limit}")
            while batch := result.fetchmany(_FETCH):
                for row in batch:
                    yield self._shown(row)
                if self._left is not None:
                    self._left -= len(batch)

    def _order(self) -> str:
        """The ORDER BY clause: rows of a table by key and window, records of a stream in the order of arrival."""
        if not self.source.is_table or self._grouping:
            return " ORDER BY _off"
        names = {column.name for column in self.columns}
        keys = [column_of(c.name) for c in self.source.columns if c.is_key and c.name in names]
        return f" ORDER BY {', '.join([*keys, *(['WINDOWSTART'] if self.source.window else [])] or ['1'])}"

    def _relations(self) -> Iterator[str]:
        if self._grouping is not None:
            yield from self._changed_groups(self._analysis)
            return
        if self._newest is not None:
            before = self._newest.end
            for relation in self._unread():
                self._newest.take(relation)
            yield selects.rows(self._analysis, self._newest.since(before))
            return
        for relation in self._unread():
            yield selects.rows(self._analysis, relation)

    def _changed_groups(self, analysis: Analysis) -> Iterator[str]:
        assert self._grouping is not None
        for relation in self._unread():
            self._times, _ = aggregation.absorb(
                self._cursor, self._grouping, _STATE, relation, self._times
            )
        end = int(
            self._cursor.execute(f"SELECT coalesce(max(_off) + 1, 0) FROM {_STATE}").fetchone()[0]  # type: ignore[index]
        )
        seen, self._seen = self._seen, end
        if end > seen:
            yield self._grouping.finish(f"SELECT * FROM {_STATE} WHERE _off >= {seen}")

    def _unread(self) -> Iterator[str]:
        if self._is_made:
            feed = self._changes()
            if not self.is_push:
                yield feed.with_open(self.source)
                return
            low, high = self._read.positions.get(ReadPosition(feed.id), 0), feed.end(self._cursor)
            if low < high:
                self._read.positions = {ReadPosition(feed.id): high}
                yield feed.relation(self.source, low, high)
            return
        self._engine.discover(self._cursor, self.source.topic)
        topic = self._engine.topic(self.source.topic)
        # A LIMIT rarely needs much.
        most = _FEW_BYTES if self._left is not None and not self._grouping else MOST_BYTES
        unread = self._unread_files.values()
        again = topic.again(self._cursor, self.source, self._read.positions, unread) if unread else None
        for batch in chain(
            [again] if again else [], topic.read(self._cursor, self.source, self._read.positions, most)
        ):
            numbered = Numbered(self._cursor, _BATCH, self._read.positions.get(DECODED, 0))
            batch.read(self._cursor, numbered.take_rows if batch.is_decoded else numbered.take)
            self._read.positions = {**self._read.positions, **batch.positions, DECODED: numbered.next}
            for number, item in batch.outcome.items():
                self._unread_files.pop(number, None)
                if item:
                    self._unread_files[number] = item
            self._engine.report(self.source.topic, batch.paths, batch.reports)
            yield numbered.relation

    def _changes(self) -> feeds.Changes | feeds.TableRows:
        return feeds.of_table(self._engine.catalog, self.source.name)


def describe(query: TransientQuery) -> str:
    """The columns for a header in the old format. It marks keys only in pull queries over tables."""
    keys: set[str] = set()
    if query.source.is_table and not query.is_push:
        keys = {column.name for column in query.source.columns if column.is_key}
        keys |= {"WINDOWSTART", "WINDOWEND"}
    return ", ".join(
        f"`{column.name}` {column.type}{' KEY' if column.name in keys else ''}"
        for column in query.columns
    )
