"""Runs statements over records within this process, and returns the rows that an embedded server would hold.

The conformance tests use it, and users can test their own statements with it. It starts no web server, and it uses a
temporary data directory.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

from opensea_metrics.core.errors import SqlError
from opensea_metrics.core.quoting import column as column_of
from opensea_metrics.core.quoting import ksqldb_quoted
from opensea_metrics.core.types import BIGINT
from opensea_metrics.deploy.embedded.engine import Engine
from opensea_metrics.deploy.embedded.queries import reply_values
from opensea_metrics.deploy.embedded.queries.client_queries import TransientQuery
from opensea_metrics.deploy.embedded.statements.statement_runner import (
    Statements,
    StatementsRequest,
)
from opensea_metrics.deploy.embedded.storage import Storage
from opensea_metrics.deploy.embedded.topics import table_feeds
from opensea_metrics.deploy.embedded.topics.json_records import MOST_BYTES
from opensea_metrics.deploy.embedded.topics.numbering import Numbered
from opensea_metrics.deploy.embedded.topics.record_topic import TOMBSTONE, Positions, TopicRecord
from opensea_metrics.sql.language.catalog.catalog import Catalog
from opensea_metrics.sql.language.catalog.sources import Source
from opensea_metrics.sql.language.statements.parser import parse_statement


@dataclass(frozen=True)
class TrialRecord:
    """A record for a topic. ``key`` and ``value`` are JSON objects with a field for each column.

    ``timestamp`` is in epoch ms. A ``key`` of None means that the record has no key, a ``value`` of None that it is a
    tombstone. ``window`` has the start and the end (epoch ms) of the window of the key, if it has one.
    ``headers`` are pairs of a name and bytes.
    """

    topic: str
    value: str | None
    key: str | None = None
    timestamp: int = 0
    headers: tuple[tuple[str, bytes], ...] = ()
    partition: int = 0
    window: tuple[int, int] | None = None


@dataclass(frozen=True)
class StatementRefusal:
    """The statement that was refused, the server's message, and the HTTP status of its reply."""

    statement: str
    message: str
    status: int


@dataclass(frozen=True)
class TrialResult:
    """The rows that statements have computed from records.

    ``rows`` has the rows of each sink by its name: all rows of a stream, the newest row of each key of a table.
    A row maps columns to values, as in a reply of the server. It always has ROWTIME (epoch ms), and also WINDOWSTART
    and WINDOWEND if the sink has a window. ``failures`` has the error messages of failed queries, by query id. After
    a ``refusal`` no later statement runs, and no record is read.
    """

    catalog: Catalog
    rows: Mapping[str, list[dict[str, Any]]] = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)
    refusal: StatementRefusal | None = None


class Trial:
    """An engine in a temporary directory, without a web server. Records move only in :meth:`settle`.

    ``properties`` are the properties of all statements. A SET adds to them.
    """

    def __init__(self, properties: Mapping[str, str] | None = None) -> None:
        self.properties = dict(properties or {})
        self._folder = tempfile.TemporaryDirectory(prefix="trial")
        self.engine = Engine(Storage(Path(self._folder.name)))
        self._statements = Statements(self.engine)

    def close(self) -> None:
        """Stop the engine, and delete its data."""
        self.engine.stop()
        self._folder.cleanup()

    def create_topic(self, name: str, partitions: int) -> None:
        """Create a topic's folder, with a file whose name gives the topic ``partitions`` partitions."""
        folder = self.engine.root / name
        folder.mkdir(parents=True)
        (folder / f"{name}+{partitions - 1}+0000000000.json").touch()

    def execute(self, statement: str) -> StatementRefusal | None:
        """Carry out a statement in a request of its own. Returns the refusal, if there is one."""
        reply, status = self._statements.run(StatementsRequest(statement, self.properties, {}))
        return None if status == 200 else StatementRefusal(statement, str(reply["message"]), status)

    def settle(self) -> None:
        """Move all records through all queries."""
        while self.engine.work():
            pass

    def reader(self, name: str) -> TrialReader:
        """A reader of the rows of a stream or table, from its first row on."""
        source = self.engine.catalog.sources[name]
        return ChangeReader(self.engine, name) if source.is_table else RecordReader(self.engine, source)


class TrialReader(Protocol):
    """Reads the rows of a stream or table in the form of the server's replies, always with ROWTIME (epoch ms).

    Each call of :meth:`rows` returns the rows that are new since the previous call.
    """

    def rows(self) -> list[dict[str, Any]]: ...

    def close(self) -> None: ...


class ChangeReader:
    """Reads the newest rows of the keys of a table that have changed."""

    def __init__(self, engine: Engine, name: str) -> None:
        statement = parse_statement(f"SELECT *, ROWTIME AS `:time` FROM {ksqldb_quoted(name)} EMIT CHANGES;")
        self._query = TransientQuery(engine, statement, {})
        self._names = [*(column.name for column in self._query.columns[:-1]), "ROWTIME"]

    def rows(self) -> list[dict[str, Any]]:
        return [dict(zip(self._names, row, strict=True)) for row in self._query.rows()]

    def close(self) -> None:
        self._query.close()


class RecordReader:
    """Reads all records of a stream's topic. In a record without a value, all columns but the key's are NULL.

    Replies of the server do not have such records.
    """

    def __init__(self, engine: Engine, source: Source) -> None:
        self._engine = engine
        # Only readers of a table get the records without a value.
        self._source = replace(source, kind="TABLE")
        self._cursor = engine.cursor()
        self._positions: Positions = {}
        columns = [(column.name, column.type, column.is_key) for column in source.columns]
        columns += [(name, BIGINT, True) for name in ("WINDOWSTART", "WINDOWEND") if source.window]
        columns.append(("ROWTIME", BIGINT, True))
        self._names = [name for name, _, _ in columns]
        self._selected = ", ".join(
            column_of(name) if is_kept else f"CASE WHEN NOT {TOMBSTONE} THEN {column_of(name)} END"
            for name, _, is_kept in columns
        )
        self._shown = reply_values.row_converter([kind for _, kind, _ in columns])

    def rows(self) -> list[dict[str, Any]]:
        topic = self._engine.topic(self._source.topic)
        self._engine.discover(self._cursor, self._source.topic)
        rows: list[dict[str, Any]] = []
        for batch in topic.read(self._cursor, self._source, self._positions, MOST_BYTES):
            numbered = Numbered(self._cursor, "read_records", 0)
            batch.read(self._cursor, numbered.take_rows if batch.is_decoded else numbered.take)
            self._positions = {**self._positions, **batch.positions}
            result = self._cursor.execute(f"SELECT {self._selected} FROM ({numbered.relation}) ORDER BY _off")
            rows += [dict(zip(self._names, self._shown(row), strict=True)) for row in result.fetchall()]
        return rows

    def close(self) -> None:
        self._cursor.close()


def run(
    statements: Iterable[str],
    records: Iterable[TrialRecord] = (),
    topics: Mapping[str, int] | None = None,
    properties: Mapping[str, str] | None = None,
) -> TrialResult:
    """Run statements, insert records into their topics, and read all sinks once all queries are idle.

    ``topics`` are topics that exist before the statements, with their numbers of partitions. ``properties`` are the
    properties of a request, and a SET among the statements adds to them. Raises SqlError for a record that the
    embedded server cannot store.
    """
    with closing(Trial(properties)) as trial:
        for name, partitions in (topics or {}).items():
            trial.create_topic(name, partitions)
        for statement in statements:
            if (refusal := trial.execute(statement)) is not None:
                return TrialResult(trial.engine.catalog, refusal=refusal)
        _feed(trial, records)
        catalog = trial.engine.catalog
        rows = {name: _rows(trial, name) for name in dict.fromkeys(q.sink for q in catalog.queries.values())}
        return TrialResult(catalog, rows, dict(trial.engine.failures))


def _feed(trial: Trial, records: Iterable[TrialRecord]) -> None:
    """Insert records, and let the queries process them.

    The records arrive in their order. This order matters to a query over several sources only, so the queries process
    all records together unless there is such a query. Then they process the records of one topic together. A stream
    over the topic of a table with sessions has each change, so then each record is processed alone.
    """
    catalog = trial.engine.catalog
    is_ordered = any(query.analysis.joined for query in catalog.queries.values())
    is_one_by_one = any(table_feeds.keeps_replaced(catalog, query) for query in catalog.queries.values())
    numbered = enumerate(records)

    def piece(item: tuple[int, TrialRecord]) -> object:
        number, record = item
        return number if is_one_by_one else record.topic if is_ordered else None

    for _, arriving in groupby(numbered, piece):
        for _, record in arriving:
            _insert(trial.engine, record)
        if is_ordered or is_one_by_one:
            trial.settle()
    trial.settle()


def _insert(engine: Engine, record: TrialRecord) -> None:
    catalog = engine.catalog
    source = next((s for s in catalog.sources.values() if s.topic == record.topic), None)
    if source is None:
        raise SqlError(f"no stream or table reads the topic {record.topic}; declare one")
    if record.headers:
        raise SqlError(f"the embedded server does not store headers of inserted records: {record.topic}")
    key = record.key
    if record.window is not None and key is not None:
        start, end = record.window
        key = f'{key.rstrip().removesuffix("}")}, "WINDOWSTART": {start}, "WINDOWEND": {end}}}'
    engine.insert(source, [TopicRecord(record.timestamp, key, record.value, record.partition)])


def _rows(trial: Trial, name: str) -> list[dict[str, Any]]:
    with closing(trial.reader(name)) as reader:
        return reader.rows()
