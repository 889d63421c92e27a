"""Pull and push queries: a SELECT over what there is, or over that and all that comes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import chain
from typing import Any

import duckdb

from opensea_metrics.core.errors import SqlError
from opensea_metrics.core.quoting import column as column_of
from opensea_metrics.deploy.embedded import aggregation, failures, shown, topics
from opensea_metrics.deploy.embedded.engine import Engine
from opensea_metrics.deploy.embedded.lines import Unread
from opensea_metrics.deploy.embedded.reader import DECODED, Json, numbered
from opensea_metrics.sql.language.catalog.sources import Column
from opensea_metrics.sql.language.lowering import support
from opensea_metrics.sql.language.lowering.duckdb import selects
from opensea_metrics.sql.language.lowering.refusals import EMBEDDED
from opensea_metrics.sql.language.queries.analysis import Analysis
from opensea_metrics.sql.language.queries.resolution import analyse
from opensea_metrics.sql.language.statements.properties import reset_of
from opensea_metrics.sql.language.statements.statements import Statement

_STATE = "transient_state"
_BATCH = "transient_batch"
_FETCH = 2_000
_MORE = (
    " See https://cnfl.io/queries for more info.\n"
    "Add EMIT CHANGES if you intended to issue a push query."
)


class TransientQuery:
    """One client's SELECT. ``columns`` are the result's; ``rows()`` gives what there is by now, and
    called again what has come since (of a table: the keys whose row has changed)."""

    def __init__(self, engine: Engine, statement: Statement, properties: Mapping[str, str]) -> None:
        """Check the query. Raises SqlError if it is refused."""
        self._engine = engine
        self._analysis = analyse(statement, statement.ast, dict(engine.catalog.sources))
        self.is_push = self._analysis.emit is not None
        self.source = self._analysis.source
        if not self.is_push:
            self._check_pull(statement)
        if self.source.is_table:
            engine.catch_up(self.source.name)
        self.columns: tuple[Column, ...] = tuple(p.column for p in self._analysis.projections)
        self._shown = shown.row_converter([column.type for column in self.columns])
        self._positions: dict[str, int] = {}
        self._unread_files: dict[int, Unread] = {}  # of files, by segment
        self._left = self._analysis.limit
        support.check_query(self._analysis, EMBEDDED)
        self._cursor = engine.cursor()
        self._grouping = None
        if self._analysis.is_aggregation:
            self._grouping = selects.grouping(self._analysis)
            aggregation.create(self._cursor, self._grouping, _STATE, temporary=True)
            self._time = self._seen = 0
            bound = self._grouping.finish(f"SELECT * FROM {_STATE}")
        else:
            bound = selects.rows(self._analysis, topics.nothing(self.source))
        try:
            self._cursor.execute(f"SELECT * FROM ({bound})")
        except duckdb.Error as error:
            raise failures.unreadable(error, statement.place) from error
        if self.is_push and reset_of(properties) == "latest":
            if self.source.is_table:
                part = self._changes()
                self._positions = {part.id: part.end(self._cursor)}
            else:
                engine.discover(self._cursor, self.source.topic)
                self._positions = engine.reader().ends(self._cursor, self.source)

    def _check_pull(self, statement: Statement) -> None:
        analysis = self._analysis
        clauses = {
            "GROUP BY": analysis.is_aggregation,
            "PARTITION BY": analysis.partition,
            "HAVING": analysis.having is not None,
            "WINDOW": statement.ast.args.get("window"),
        }
        for clause, is_there in clauses.items():
            if is_there:
                raise SqlError(f"Pull queries don't support {clause} clauses.{_MORE}")
        name = self.source.name
        if self.source.is_table and not self._engine.catalog.writers(name):
            raise SqlError(
                f"The `{name}` table isn't queryable. To derive a queryable table, you can do "
                f"'CREATE TABLE QUERYABLE_{name} AS SELECT * FROM {name}'.{_MORE}"
            )

    @property
    def is_complete(self) -> bool:
        """True when the LIMIT is reached."""
        return self._left == 0

    def close(self) -> None:
        """Let go of the connection, also while another thread still looks for rows."""
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
        """Rows that are there and have not been given yet, up to the LIMIT."""
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
        """Rows of a table by key and window, records of a stream as they came."""
        if not self.source.is_table or self._grouping:
            return " ORDER BY _off"
        names = {column.name for column in self.columns}
        keys = [column_of(c.name) for c in self.source.columns if c.is_key and c.name in names]
        return f" ORDER BY {', '.join([*keys, *(['WINDOWSTART'] if self.source.window else [])] or ['1'])}"

    def _relations(self) -> Iterator[str]:
        if self._grouping is not None:
            yield from self._changed_groups(self._analysis)
            return
        for relation in self._unread():
            yield selects.rows(self._analysis, relation)

    def _changed_groups(self, analysis: Analysis) -> Iterator[str]:
        assert self._grouping is not None
        for relation in self._unread():
            self._time, _ = aggregation.absorb(
                self._cursor, self._grouping, _STATE, relation, self._time
            )
        end = int(
            self._cursor.execute(f"SELECT coalesce(max(_off) + 1, 0) FROM {_STATE}").fetchone()[0]  # type: ignore[index]
        )
        seen, self._seen = self._seen, end
        if end > seen:
            yield self._grouping.finish(f"SELECT * FROM {_STATE} WHERE _off >= {seen}")

    def _unread(self) -> Iterator[str]:
        if self.source.is_table:
            part = self._changes()
            low, high = self._positions.get(part.id, 0), part.end(self._cursor)
            if low < high:
                self._positions[part.id] = high
                yield part.relation(self.source, low, high)
            return
        self._engine.discover(self._cursor, self.source.topic)
        reader = self._engine.reader()
        if self._left is not None and not self._grouping:
            reader = replace(reader, most_bytes=8_000_000)  # a LIMIT rarely needs much
        unread = self._unread_files.values()
        again = reader.again(self._cursor, self.source, self._positions, unread) if unread else None
        for piece in chain(
            [again] if again else [], reader.pieces(self._cursor, self.source, self._positions)
        ):
            if isinstance(piece, Json):
                before = self._positions.get(DECODED, 0)
                decoded = numbered(self._cursor, piece, _BATCH, before)
                self._positions[DECODED] = decoded.next
                relation = decoded.relation
            else:
                relation = piece.relation
            self._positions[piece.part] = piece.position
            if isinstance(piece, Json) and piece.files:
                for number, item in piece.files.outcome.items():
                    self._unread_files.pop(number, None)
                    if item:
                        self._unread_files[number] = item
                self._engine.report(self.source.topic, piece.files.paths, piece.files.reports)
            yield relation

    def _changes(self) -> topics.Changes:
        return topics.Changes(self._engine.catalog.writers(self.source.name)[0])


def describe(query: TransientQuery) -> str:
    """The columns as a header in the old format has them: keys are told of pulled tables only."""
    keys: set[str] = set()
    if query.source.is_table and not query.is_push:
        keys = {column.name for column in query.source.columns if column.is_key}
        keys |= {"WINDOWSTART", "WINDOWEND"}
    return ", ".join(
        f"`{column.name}` {column.type}{' KEY' if column.name in keys else ''}"
        for column in query.columns
    )
