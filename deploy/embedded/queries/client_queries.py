"""Pull and push queries: a SELECT over the existing rows, or over existing and future rows."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

import duckdb

from opensea_metrics.core.errors import SqlError
from opensea_metrics.core.quoting import column as column_of
from opensea_metrics.deploy.embedded import failures
from opensea_metrics.deploy.embedded.engine import Engine
from opensea_metrics.deploy.embedded.queries import aggregation, reply_values
from opensea_metrics.deploy.embedded.queries.newest_rows import NewestRows
from opensea_metrics.deploy.embedded.queries.ordered.transient import OrderedRows
from opensea_metrics.deploy.embedded.queries.source_read import SourceRead
from opensea_metrics.deploy.embedded.topics import feeds
from opensea_metrics.deploy.embedded.topics.json_records import MOST_BYTES
from opensea_metrics.sql.language.catalog.catalog import Query
from opensea_metrics.sql.language.catalog.custom_types import with_types
from opensea_metrics.sql.language.catalog.sources import Column, Source
from opensea_metrics.sql.language.lowering import support
from opensea_metrics.sql.language.lowering.duckdb import groupings, selects
from opensea_metrics.sql.language.lowering.duckdb.groupings import Grouping
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
        self.is_push: bool = self._analysis.emit is not None
        self.source: Source = self._analysis.source
        self._is_made = self.source.is_table and bool(engine.catalog.writers(self.source.name))
        if not self.is_push:
            self._check_pull(statement)
        self.columns: tuple[Column, ...] = tuple(p.column for p in self._analysis.projections)
        self._shown = reply_values.row_converter([column.type for column in self.columns])
        self._left = self._analysis.limit
        query = Query("push", "", self._analysis)
        support.check_selected(engine.catalog, query, statement.place)
        for source in self._analysis.sources:
            if source.is_table:
                engine.catch_up(source.name)
        self._cursor = engine.cursor()
        self._reads = [
            SourceRead(engine, self._cursor, source, f"{_BATCH}_{number}")
            for number, source in enumerate(self._analysis.sources)
        ]
        self._read = self._reads[0]
        self._ordered: OrderedRows | None = None
        self._grouping: Grouping | None = None
        self._newest: NewestRows | None = None
        bound: str | None = None
        if self._analysis.joined or (self._analysis.is_aggregation and self.source.is_table):
            try:
                self._ordered = OrderedRows(query, self._reads)
            except duckdb.Error as error:
                raise failures.unreadable(error, statement.place) from error
        elif self._analysis.is_aggregation:
            self._grouping = groupings.grouping(self._analysis)
            aggregation.create(self._cursor, self._grouping, _STATE, temporary=True)
            self._times: dict[int, int] = {}
            self._seen = 0
            bound = self._grouping.finish(f"SELECT * FROM {_STATE}")
        else:
            bound = selects.rows(self._analysis, feeds.nothing(self.source))
            if self.source.is_table and not self._is_made:
                self._newest = NewestRows(self._cursor, self.source, _STATE)
        if bound is not None:
            try:
                self._cursor.execute(f"SELECT * FROM ({bound})")
            except duckdb.Error as error:
                raise failures.unreadable(error, statement.place) from error
        if self.is_push and reset_of(properties) == "latest":
            for read in self._reads:
                # ksqlDB reads the tables of a join from their beginning.
                if not (self._ordered and read.source.is_table):
                    read.skip()

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
    def analysis(self) -> Analysis:
        """The resolved SELECT."""
        return self._analysis

    @property
    def topics(self) -> set[str]:
        """The topics whose new records can give new rows."""
        return {source.topic for source in self._analysis.sources}

    @property
    def is_complete(self) -> bool:
        """True when the LIMIT is reached."""
        return self._left == 0

    def close(self) -> None:
        """Close the connections, even while another thread still looks for rows."""
        if not self._closed():
            threading.Thread(target=self._close_soon, name="close", daemon=True).start()

    def _closed(self) -> bool:
        """Close the connections. False if another thread uses one of them."""
        try:
            self._cursor.close()
            if self._ordered is not None:
                self._ordered.close()
        except duckdb.ResourceInUseException:
            return False
        return True

    def _close_soon(self) -> None:
        while not self._closed():
            for cursor in (self._cursor, *([self._ordered.cursor] if self._ordered else [])):
                with suppress(duckdb.Error):
                    cursor.interrupt()
            time.sleep(0.01)

    def rows(self) -> Iterator[list[Any]]:
        """The rows that have arrived since the last call, up to the LIMIT."""
        for relation in self._relations():
            if self.is_complete:
                return
            names = ", ".join(column_of(column.name) for column in self.columns)
            limit = f" LIMIT {self._left}" if self._left is not None else ""
            order = self._order()
            cursor = self._ordered.cursor if self._ordered else self._cursor
            result = cursor.execute(f"SELECT {names} FROM ({relation}){order}{limit}")
            while batch := result.fetchmany(_FETCH):
                for row in batch:
                    yield self._shown(row)
                if self._left is not None:
                    self._left -= len(batch)

    def _order(self) -> str:
        """The ORDER BY clause: rows of a table by key and window, records of a stream in the order of arrival."""
        if not self.source.is_table or self._grouping or self._ordered:
            return " ORDER BY _off"
        names = {column.name for column in self.columns}
        keys = [column_of(c.name) for c in self.source.columns if c.is_key and c.name in names]
        return f" ORDER BY {', '.join([*keys, *(['WINDOWSTART'] if self.source.window else [])] or ['1'])}"

    def _relations(self) -> Iterator[str]:
        if self._ordered is not None:
            if (arrived := self._ordered.arrived(self._cursor)) is not None:
                yield arrived
            return
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
        if self._is_made and not self.is_push:
            yield self._read.changes().with_open(self.source)
            return
        # A LIMIT rarely needs much.
        most = _FEW_BYTES if self._left is not None and not self._grouping else MOST_BYTES
        yield from self._read.unread(most)


class ShownQuery(Protocol):
    """What the header of an answer says about a query."""

    @property
    def is_push(self) -> bool: ...

    @property
    def source(self) -> Source: ...

    @property
    def columns(self) -> Sequence[Column]: ...


def describe(query: ShownQuery) -> str:
    """The columns for a header in the old format."""
    keys = keys_of(query)
    return ", ".join(
        f"`{column.name}` {column.type}{' KEY' if column.name in keys else ''}"
        for column in query.columns
    )


def keys_of(query: ShownQuery) -> set[str]:
    """The names of the columns that headers mark as keys. Only pull queries over tables have any."""
    if query.is_push or not query.source.is_table:
        return set()
    keys = {column.name for column in query.source.columns if column.is_key}
    return keys | {"WINDOWSTART", "WINDOWEND"}
