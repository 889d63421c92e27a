"""Runs test cases on the engine of the embedded server, within this process."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from contextlib import closing
from dataclasses import dataclass, field

from opensea_metrics.core.errors import Place, SqlError
from opensea_metrics.deploy.embedded.topics.processing_log import STREAM as PROCESSING_LOG
from opensea_metrics.deploy.embedded.trial import Trial, TrialReader
from opensea_metrics.deploy.sqltests.comparison import Row, TableState, row_of
from opensea_metrics.deploy.sqltests.targets import (
    EARLIEST,
    creating_topic,
    keys_of,
    undeclared_topic,
)
from opensea_metrics.sql.language.catalog.catalog import Catalog
from opensea_metrics.sql.language.catalog.changes import applied
from opensea_metrics.sql.language.catalog.sources import Source
from opensea_metrics.sql.language.statements.statements import Statement, dropping, terminating

_POSITION = re.compile(r"\nat line (\d+), column (\d+)(?:\n(.*))?\Z", re.DOTALL)
"""The end of a message of the server: the place within the statement, and the hint."""
_UNUSED = 10**12
"""The number of a query whose id does not matter."""


@dataclass
class _WatchedTable:
    """A table whose changes are recorded. Changes up to ``asserted`` have been compared."""

    source: Source
    reader: TrialReader
    changes: list[Row] = field(default_factory=list)
    asserted: int = 0


class EmbeddedTarget:
    """The engine of the embedded server. After each INSERT it moves the record through all queries at once."""

    engine = "embedded"
    patience = 0.0
    is_ordered = True

    def __init__(self) -> None:
        self._trial = Trial(EARLIEST)
        self._asserted: Collection[str] = ()
        self._watched: dict[str, _WatchedTable] = {}

    @property
    def catalog(self) -> Catalog:
        return self._trial.engine.catalog

    def begin(self, asserted: Collection[str]) -> None:
        self._asserted = asserted
        self.reset_properties()

    def reset_properties(self) -> None:
        self._trial.properties = dict(EARLIEST)

    def execute(self, statement: Statement) -> None:
        engine, before = self._trial.engine, self.catalog
        # The server's reply does not have the place in the file. So the statement is checked here first.
        engine.check(statement, before, applied(before, statement, _UNUSED))
        topic = undeclared_topic(statement)
        if topic is not None and topic not in engine.topics():
            for text in creating_topic(topic):
                self._carry_out(text, statement)
        self._carry_out(statement.text, statement)
        self._watch()

    def _carry_out(self, text: str, statement: Statement) -> None:
        if (refusal := self._trial.execute(text)) is not None:
            raise _in_file(refusal.message, statement.place)

    def _watch(self) -> None:
        """Record the changes of the asserted tables."""
        for name in self._asserted:
            source = self.catalog.sources.get(name)
            watched = self._watched.get(name)
            if watched is not None and watched.source is not source:
                self._watched.pop(name).reader.close()
                watched = None
            if watched is None and source is not None and source.is_table:
                self._watched[name] = _WatchedTable(source, self._trial.reader(name))
        if self._watched:
            self._settle()
        for watched in self._watched.values():
            watched.changes += _rows(watched.source, watched.reader)

    def _settle(self) -> None:
        self._trial.settle()
        for query_id, message in self._trial.engine.failures.items():
            raise SqlError(f"the query {query_id} failed: {message}")

    def stream(self, source: Source) -> Sequence[Row]:
        self._settle()
        with closing(self._trial.reader(source.name)) as reader:
            return _rows(source, reader)

    def table(self, source: Source) -> TableState:
        watched = self._watched[source.name]
        changes = watched.changes[watched.asserted :]
        return TableState(keys_of(source), self.stream(source), changes, watched.changes)

    def asserted(self, source: Source) -> None:
        watched = self._watched[source.name]
        watched.asserted = len(watched.changes)

    def end(self) -> None:
        for watched in self._watched.values():
            watched.reader.close()
        self._watched.clear()
        self.reset_properties()
        if not self._drop_all():
            self._trial.close()
            self._trial = Trial(EARLIEST)

    def _drop_all(self) -> bool:
        """Drop everything that the case has created. Returns False if something remains."""
        execute = self._trial.execute
        for query_id in [id_ for id_ in self.catalog.queries if id_.startswith("INSERT")]:
            execute(terminating(query_id).text)
        for name, source in reversed(list(self.catalog.sources.items())):
            if name != PROCESSING_LOG:
                execute(dropping(source.kind, name, delete_topic=True).text)
        topics = self._trial.engine.topics().keys() - {self.catalog.sources[PROCESSING_LOG].topic}
        return len(self.catalog.sources) == 1 and not self.catalog.types and not topics

    def close(self) -> None:
        self._trial.close()


def _rows(source: Source, reader: TrialReader) -> list[Row]:
    kinds = {column.name: column.type for column in source.columns}
    return [row_of(kinds, row) for row in reader.rows()]


def _in_file(message: str, begin: Place) -> SqlError:
    """The server's message on a statement as an error in the file, where the statement has the place ``begin``."""
    position = _POSITION.search(message)
    if position is None:
        return SqlError(message, begin)
    line, column = int(position[1]), int(position[2])
    place = Place(begin.file, begin.line + line - 1, column + (begin.column - 1 if line == 1 else 0))
    return SqlError(message[: position.start()], place, position[3])
