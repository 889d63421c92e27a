"""PRINT: the records of a topic as text, whether or not a stream is declared over it.

The lines and the names of the formats are those of ksqlDB 7.9.1 (observed), whose clients show them as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
import orjson

from opensea_metrics.core.errors import SqlError, Stage
from opensea_metrics.core.quoting import column as column_of
from opensea_metrics.core.quoting import text
from opensea_metrics.core.types import BIGINT, DOUBLE, INTEGER, KsqlType
from opensea_metrics.deploy.embedded.engine import Engine
from opensea_metrics.deploy.embedded.engine_state import OpenRead
from opensea_metrics.deploy.embedded.topics.batches import FileBatch, JsonBatch
from opensea_metrics.deploy.embedded.topics.json_records import MOST_BYTES
from opensea_metrics.deploy.embedded.topics.record_topic import Batch
from opensea_metrics.sql.language.catalog.catalog import Catalog
from opensea_metrics.sql.language.catalog.changes import applied
from opensea_metrics.sql.language.catalog.sources import Source
from opensea_metrics.sql.language.statements.parser import parse_statement
from opensea_metrics.sql.language.statements.properties import reset_of
from opensea_metrics.sql.language.statements.statements import Statement
from opensea_metrics.sql.language.values.topic_json import dump

_PRINT = re.compile(
    r"""PRINT\s+(?P<topic>'(?:[^']|'')*'|"(?:[^"]|"")*"|`(?:[^`]|``)*`|[\w.-]+)
    (?P<all>\s+FROM\s+BEGINNING)?
    (?:\s+(?:INTERVAL|SAMPLE)\s+(?P<interval>-?\d+))?
    (?:\s+LIMIT\s+(?P<limit>-?\d+))?\s*;?\s*""",
    re.IGNORECASE | re.VERBOSE,
)
_FEW_BYTES = 1_000_000
_NO_DATA = r"¯\_(ツ)_/¯ - no data processed"
_BINARY = {INTEGER: "KAFKA_INT", BIGINT: "KAFKA_BIGINT or KAFKA_DOUBLE", DOUBLE: "KAFKA_BIGINT or KAFKA_DOUBLE"}


@dataclass(frozen=True)
class PrintStatement:
    """A PRINT statement. It shows every ``interval``-th record, and ends after ``limit`` of them."""

    topic: str
    from_beginning: bool
    interval: int
    limit: int | None


def print_statement(statement: Statement) -> PrintStatement:
    """The parts of a PRINT statement. Raises SqlError for a syntax error or a wrong interval."""
    match = _PRINT.fullmatch(statement.text)
    if match is None:
        raise SqlError("a PRINT statement is expected: PRINT topic [FROM BEGINNING] [INTERVAL n] [LIMIT n]",
                       statement.place, stage=Stage.SYNTAX)  # fmt: skip
    interval = int(match["interval"] or 1)
    if interval < 1:
        raise SqlError(f"INTERVAL must be greater than one, but was: {interval}", code=50000)
    written = match["topic"]
    quote = written[0]
    topic = written[1:-1].replace(quote * 2, quote) if quote in "'\"`" else written
    limit = None if match["limit"] is None else int(match["limit"])
    return PrintStatement(topic, bool(match["all"]), interval, limit)


class NoSuchTopic(SqlError):
    """The topic of a PRINT does not exist. ``did_you_mean`` is the message of /query, which knows similar names."""

    def __init__(self, topic: str, similar: Sequence[str]) -> None:
        super().__init__(f"Topic does not exist, or KSQL does not have permission to list the topic: {topic}")
        self.topic = topic
        hint = f"\nDid you mean:\n\tprint {similar[0]};" if similar else ""
        self.did_you_mean = (
            f"Could not find topic '{topic}', or the KSQL user does not have permissions to list the topic."
            f" Topic names are case-sensitive.{hint}"
        )


def check_topic(engine: Engine, topic: str) -> None:
    """Raises NoSuchTopic."""
    names = engine.topics().keys()
    if topic not in names:
        raise NoSuchTopic(topic, [name for name in names if name.lower() == topic.lower()])


class PrintedTopic:
    """The records of a topic for one client. It answers as :class:`TransientQuery` does."""

    is_push = True

    def __init__(self, engine: Engine, statement: PrintStatement, properties: Mapping[str, str]) -> None:
        self._engine = engine
        self._statement = statement
        self.topic = statement.topic
        self.topics = {statement.topic}
        self._source = _source_of(engine.catalog, statement.topic)
        self._is_declared = self._source in engine.catalog.sources.values()
        self._left = statement.limit
        self._seen = 0
        self._keys = _Formats()
        self._values = _Formats()
        self._cursor = engine.cursor()
        self._read = OpenRead(self.topic, {})
        engine.follow(self._read)
        if not statement.from_beginning and reset_of(properties) == "latest":
            engine.discover(self._cursor, self.topic)
            self._read.positions = dict(engine.topic(self.topic).ends(self._cursor))

    @property
    def is_complete(self) -> bool:
        """True when the LIMIT is reached."""
        return self._left is not None and self._left <= 0

    @property
    def formats(self) -> tuple[str, str]:
        """The possible formats of the keys and of the values so far, as ksqlDB names them."""
        window = self._source.window
        columns = [column.type for column in self._source.columns if column.is_key] if self._is_declared else []
        return self._keys.text(columns, window.kind if window else None), self._values.text([], None)

    def close(self) -> None:
        """Close the connection."""
        self._cursor.close()

    def rows(self) -> Iterator[str]:
        """The records that have arrived since the last call, one line for each, up to the LIMIT."""
        if self.is_complete:
            return
        self._engine.discover(self._cursor, self.topic)
        topic = self._engine.topic(self.topic)
        most = MOST_BYTES if self._left is None else _FEW_BYTES
        for batch in topic.read(self._cursor, self._source, self._read.positions, most):
            for time, key, value, partition in self._records(batch):
                number, self._seen = self._seen, self._seen + 1
                if number % self._statement.interval:
                    continue
                self._keys.add(key)
                self._values.add(value)
                yield f"rowtime: {_time(time)}, key: {_shown(key)}, value: {_shown(value)}, partition: {partition}"
                if self._left is not None:
                    self._left -= 1
                if self.is_complete:
                    return
            self._read.positions = {**self._read.positions, **batch.positions}

    def _records(self, batch: Batch) -> Iterator[tuple[int | None, str | None, str | None, int]]:
        """Time (epoch ms, None if it is unknown), key, value and partition of each record of a batch."""
        if isinstance(batch, JsonBatch):
            time = "NULL" if isinstance(batch, FileBatch) else "ts"
            relation = f"SELECT {time}, key, line, ROWPARTITION FROM ({batch.undecoded(self._cursor)})"
            for time_, key, line, partition in self._fetched(relation):
                yield time_, self._key_text(key), self._value_text(line), partition
            return
        rows: list[tuple[Any, ...]] = []
        names = self._source.key_fields
        values = [column for column in self._source.columns if column.role is None]
        listed = ", ".join(column_of(column.name) for column in (*names, *values))

        def take(relation: str) -> None:
            rows.extend(self._cursor.execute(
                f"SELECT {listed}, ROWTIME, ROWPARTITION FROM ({relation}) ORDER BY _off"
            ).fetchall())  # fmt: skip

        batch.read(self._cursor, take)
        for row in rows:
            key = {column.name: value for column, value in zip(names, row, strict=False)}
            value = {column.name: item for column, item in zip(values, row[len(names) :], strict=False)}
            written = self._value_text(dump(value).decode())
            yield row[-2], self._key_text(dump(key).decode() if key else None), written, row[-1]

    def _fetched(self, relation: str) -> Iterator[tuple[Any, ...]]:
        result = self._cursor.execute(relation)
        while rows := result.fetchmany(1_000):
            yield from rows

    def _key_text(self, key: str | None) -> str | None:
        if key is None:
            return None
        fields = orjson.loads(key)
        if not isinstance(fields, dict) or not self._is_declared:
            return fields if isinstance(fields, str) else key
        columns = [column for column in self._source.columns if column.is_key]
        if len(columns) > 1:
            return orjson.dumps({column.name: fields.get(column.name) for column in columns}).decode()
        base = next(iter(fields.values()), None)
        if base is None:
            return None
        shown = base if isinstance(base, str) else orjson.dumps(base).decode()
        if self._source.window is None:
            return str(shown)
        return f"[{shown}@{fields.get('WINDOWSTART')}/{fields.get('WINDOWEND') or '-'}]"

    def _value_text(self, value: str | None) -> str | None:
        if value is None or self._source.value_format not in ("KAFKA", "DELIMITED") or not self._is_declared:
            return value
        try:
            fields = orjson.loads(value)
        except orjson.JSONDecodeError:
            return value
        if not isinstance(fields, dict):
            return value
        return ",".join("" if item is None else str(item) for item in fields.values())


class _Formats:
    """The formats that all keys, or all values, so far can have."""

    def __init__(self) -> None:
        self._is_empty = True
        self._is_json = True

    def add(self, value: str | None) -> None:
        if value is None:
            return
        self._is_empty = False
        if self._is_json:
            try:
                msgspec.json.decode(value)
            except msgspec.DecodeError:
                self._is_json = False

    def text(self, columns: Sequence[KsqlType], window: str | None) -> str:
        """The names of the formats. ``columns`` are the types of the key's columns, if these are known."""
        if self._is_empty:
            return _NO_DATA
        if window is not None:
            return f"{window}(KAFKA_STRING)"
        binary = _BINARY.get(columns[0]) if len(columns) == 1 else None
        if binary is not None:
            return f"{binary} or KAFKA_STRING"
        return "JSON or KAFKA_STRING" if self._is_json else "KAFKA_STRING"


def _source_of(catalog: Catalog, topic: str) -> Source:
    """The source that knows the keys of a topic: the one that a query writes, or else the one declared first.

    If there is none, it is a stream that has no key.
    """
    over = [source for source in catalog.sources.values() if source.topic == topic]
    written = [source for source in over if catalog.writers(source.name)]
    if over:
        return (written or over)[0]
    declared = "CREATE STREAM undeclared (`value` VARCHAR) WITH (KAFKA_TOPIC={}, VALUE_FORMAT='JSON', PARTITIONS=1);"
    catalog = applied(Catalog(), parse_statement(declared.format(text(topic))), 0)
    return next(iter(catalog.sources.values()))


def _shown(value: str | None) -> str:
    return "<null>" if value is None else value


def _time(epoch_ms: int | None) -> str:
    if epoch_ms is None:
        return "N/A"
    moment = datetime.fromtimestamp(epoch_ms / 1000, UTC)
    return f"{moment:%Y/%m/%d %H:%M:%S}.{epoch_ms % 1000:03} Z"
