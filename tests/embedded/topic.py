"""A topic of an engine without a web server, for tests that change its files.

Two queries read the files: a stream (``flat``, with a table over it) and a table. Their counts must agree.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from opensea_metrics.deploy.embedded.engine import Engine
from opensea_metrics.deploy.embedded.queries.client_queries import TransientQuery
from opensea_metrics.deploy.embedded.storage import Storage
from opensea_metrics.sql.language.statements.parser import parse_statement

STATEMENTS = (
    "CREATE STREAM {n}_raw (t BIGINT, k VARCHAR, a BIGINT) WITH (KAFKA_TOPIC='{n}', VALUE_FORMAT='JSON',"
    " PARTITIONS=2, TIMESTAMP='t');",
    "CREATE STREAM {n}_flat AS SELECT k, a FROM {n}_raw EMIT CHANGES;",
    "CREATE TABLE {n}_sums AS SELECT k, COUNT(*) AS n FROM {n}_flat GROUP BY k EMIT CHANGES;",
    "CREATE TABLE {n}_direct AS SELECT k, COUNT(*) AS n FROM {n}_raw GROUP BY k EMIT CHANGES;",
)
TIME = 1_789_467_000_000


def lines(key: str, count: int = 1) -> bytes:
    """Records with a key, one on each line."""
    return b"".join(b'{"t":%d,"k":"%s","a":%d}\n' % (TIME, key.encode(), n) for n in range(count))


@contextmanager
def running(data: Path) -> Iterator[Engine]:
    """An engine whose thread does not run: :meth:`CountedTopic.work` does its work."""
    engine = Engine(Storage(data))
    try:
        yield engine
    finally:
        engine.stop()


def rows(engine: Engine, select: str) -> list[list[Any]]:
    """The rows of a pull query."""
    query = TransientQuery(engine, parse_statement(select), {})
    try:
        return list(query.rows())
    finally:
        query.close()


class CountedTopic:
    """A topic, the folder of its files, and the queries over it."""

    def __init__(self, engine: Engine, name: str) -> None:
        self.engine = engine
        self.name = name
        self.folder = engine.root / name
        self.folder.mkdir(parents=True, exist_ok=True)
        for statement in STATEMENTS:
            text = statement.format(n=name)
            if parse_statement(text).name not in engine.catalog.sources:
                engine.execute(parse_statement(text), {})

    def write(self, name: str, content: bytes) -> Path:
        """Write a file that appears completely."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        hidden = path.with_name(".hidden")
        hidden.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        hidden.rename(path)
        return path

    def register(self) -> None:
        """Register the files without reading them."""
        with self.engine.turn():
            readers = self.engine._readers(self.name)
            self.engine.register.discover(self.engine._cursor, self.name, readers)

    def work(self) -> None:
        """Read all data that can be read."""
        for _ in range(100):
            if not self.engine.work():
                return
        raise AssertionError("there is always something to read")

    def counts(self) -> dict[str, int]:
        """The number of records that were counted for each key."""
        self.work()
        sums = dict(rows(self.engine, f"SELECT k, n FROM {self.name}_sums;"))
        direct = dict(rows(self.engine, f"SELECT k, n FROM {self.name}_direct;"))
        assert sums == direct
        return sums

    def reports(self) -> list[tuple[str, str]]:
        """The entries of the processing log about the topic: loggers and messages."""
        records = rows(
            self.engine,
            "SELECT logger, message->deserializationError->errorMessage AS m,"
            " message->deserializationError->`topic` AS t FROM KSQL_PROCESSING_LOG;",
        )
        return [(logger, message) for logger, message, topic in records if topic == self.name]

    def drop(self) -> None:
        """End the queries."""
        for statement in reversed(STATEMENTS):
            kind, name = statement.format(n=self.name).split()[1:3]
            self.engine.execute(parse_statement(f"DROP {kind} {name} DELETE TOPIC;"), {})

    def reasons(self) -> list[str]:
        """The distinct messages on the processing log about the topic, sorted."""
        return sorted({message for _, message in self.reports()})
