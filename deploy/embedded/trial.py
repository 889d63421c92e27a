"""Runs statements over records within this process, and returns the rows that an embedded server would hold.

The conformance tests use it, and users can test their own statements with it. It starts no web server, and it uses a
temporary data directory.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from opensea_metrics.core.errors import SqlError
from opensea_metrics.deploy.embedded.engine import Engine
from opensea_metrics.deploy.embedded.queries import TransientQuery
from opensea_metrics.deploy.embedded.statements import Statements, StatementsRequest
from opensea_metrics.deploy.embedded.storage import Storage
from opensea_metrics.deploy.embedded.topics import TopicRecord
from opensea_metrics.sql.language.catalog.catalog import Catalog
from opensea_metrics.sql.language.catalog.sources import Source
from opensea_metrics.sql.language.statements.parser import parse_statement


@dataclass(frozen=True)
class TrialRecord:
    """A record for a topic. ``key`` and ``value`` are JSON objects with a field for each column.

    ``timestamp`` is in epoch ms. A ``key`` of None means that the record has no key, a ``value`` of None that it is a
    tombstone. ``headers`` are pairs of a name and bytes.
    """

    topic: str
    value: str | None
    key: str | None = None
    timestamp: int = 0
    headers: tuple[tuple[str, bytes], ...] = ()
    partition: int = 0


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
    with tempfile.TemporaryDirectory(prefix="trial") as directory:
        engine = Engine(Storage(Path(directory)))
        try:
            for name, partitions in (topics or {}).items():
                _make_topic(engine.root / name, partitions)
            refusal = _refusal(Statements(engine), statements, dict(properties or {}))
            if refusal is not None:
                return TrialResult(engine.catalog, refusal=refusal)
            _feed(engine, records)
            catalog = engine.catalog
            sinks = {query.sink: catalog.sources[query.sink] for query in catalog.queries.values()}
            rows = {name: _rows(engine, source) for name, source in sinks.items()}
            return TrialResult(catalog, rows, dict(engine.failures))
        finally:
            engine.stop()


def _make_topic(folder: Path, partitions: int) -> None:
    """Create a topic's folder, with a file whose name gives the topic ``partitions`` partitions."""
    folder.mkdir(parents=True)
    (folder / f"{folder.name}+{partitions - 1}+0000000000.json").touch()


def _refusal(
    server: Statements, statements: Iterable[str], properties: dict[str, str]
) -> StatementRefusal | None:
    """Carry out the statements, each in a separate request, until one is refused."""
    for statement in statements:
        reply, status = server.run(StatementsRequest(statement, properties, {}))
        if status != 200:
            return StatementRefusal(statement, str(reply["message"]), status)
    return None


def _feed(engine: Engine, records: Iterable[TrialRecord]) -> None:
    """Insert records, and let the queries process them.

    The records arrive in their order. This order matters to a query over several sources only, so the queries process
    records of one topic together unless there is such a query.
    """
    is_ordered = any(query.analysis.joined for query in engine.catalog.queries.values())
    for _, arriving in groupby(records, lambda record: record.topic if is_ordered else ""):
        for record in arriving:
            _insert(engine, record)
        if is_ordered:
            _settle(engine)
    _settle(engine)


def _settle(engine: Engine) -> None:
    while engine.work():
        pass


def _insert(engine: Engine, record: TrialRecord) -> None:
    catalog = engine.catalog
    source = next((s for s in catalog.sources.values() if s.topic == record.topic), None)
    if source is None:
        raise SqlError(f"no stream or table reads the topic {record.topic}; declare one")
    if record.headers:
        raise SqlError(f"the embedded server does not store headers of inserted records: {record.topic}")
    engine.insert(source, [TopicRecord(record.timestamp, record.key, record.value, record.partition)])


def _rows(engine: Engine, source: Source) -> list[dict[str, Any]]:
    statement = parse_statement(f"SELECT *, ROWTIME AS `:time` FROM `{source.name}` EMIT CHANGES;")
    with closing(TransientQuery(engine, statement, {})) as query:
        names = [*(column.name for column in query.columns[:-1]), "ROWTIME"]
        return [dict(zip(names, row, strict=True)) for row in query.rows()]
