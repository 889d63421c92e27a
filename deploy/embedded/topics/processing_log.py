"""ksqlDB's processing log: a stream of the records and files that queries could not read, and why.

It has the same columns as on a real server (docs/ksqldb-facts.md, Records and times), so one query shows the
unreadable records on both:
``SELECT message->deserializationError->errorMessage FROM KSQL_PROCESSING_LOG;``
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from opensea_metrics.core.quoting import text
from opensea_metrics.deploy.embedded.topics import record_store
from opensea_metrics.deploy.embedded.topics.record_topic import UNREADABLE, TopicRecord
from opensea_metrics.sql.language.lowering.records.rows import NO_VALUE

STREAM = "KSQL_PROCESSING_LOG"
TOPIC = "embedded_ksql_processing_log"
STATEMENT = (
    f"CREATE STREAM {STREAM} (logger VARCHAR, level VARCHAR, time BIGINT, message STRUCT<"
    "type INTEGER, deserializationError STRUCT<target VARCHAR, errorMessage VARCHAR,"
    " recordB64 VARCHAR, cause ARRAY<VARCHAR>, `topic` VARCHAR>,"
    " recordProcessingError STRUCT<errorMessage VARCHAR, record VARCHAR, cause ARRAY<VARCHAR>>,"
    " productionError STRUCT<errorMessage VARCHAR>,"
    " serializationError STRUCT<target VARCHAR, errorMessage VARCHAR, record VARCHAR,"
    " cause ARRAY<VARCHAR>, `topic` VARCHAR>,"
    " kafkaStreamsThreadError STRUCT<errorMessage VARCHAR, threadName VARCHAR,"
    f" cause ARRAY<VARCHAR>>>) WITH (KAFKA_TOPIC='{TOPIC}', VALUE_FORMAT='JSON', PARTITIONS=1, RETENTION_MS=604800000);"
)


_READER = "processing.{}.KsqlTopic.Source.deserializer"
FILES = "processing.files"
"""The logger for files and directories that are refused before any query could read them."""


@dataclass(frozen=True)
class Report:
    """A file that could not be read completely.

    If the problem is in one line, ``line`` is the beginning of that line.
    """

    reason: str
    path: str
    line: bytes | None = None


def reader(query_id: str) -> str:
    """The logger for records and files that a query could not read."""
    return _READER.format(query_id)


def report(
    cursor: duckdb.DuckDBPyConnection, logger: str, topic: str, reports: Sequence[Report]
) -> None:
    """Write reports about files of a topic to the log. The topic is empty for paths outside all topics' directories."""
    if not reports:
        return
    now = int(time.time() * 1000)
    values = []
    for item in reports:
        line = None if item.line is None else base64.b64encode(item.line).decode()
        failed = f"Failed to deserialize value from topic: {topic}" if line else f"Skipped a file of topic: {topic}"
        if not topic:
            failed = "Skipped a path that belongs to no topic"
        error = {
            "TARGET": "value",
            "ERRORMESSAGE": f"{failed}. {item.reason} ({item.path})",
            "RECORDB64": line,
            "CAUSE": [item.reason],
            "topic": topic,
        }
        message = {"TYPE": 0, "DESERIALIZATIONERROR": error}
        row = {"LOGGER": logger, "LEVEL": "ERROR", "TIME": now, "MESSAGE": message}
        values.append(json.dumps(row))
    record_store.append(cursor, TOPIC, [TopicRecord(now, None, value) for value in values], {})


def record(
    cursor: duckdb.DuckDBPyConnection, query_id: str, topic: str, unreadable: str
) -> None:
    """Write the unreadable records of a relation with the columns :data:`UNREADABLE` to the log."""
    reason, line, path = UNREADABLE
    counted = f"{reason} <> {text(NO_VALUE)}"
    if not cursor.execute(f"SELECT 1 FROM ({unreadable}) WHERE {counted} LIMIT 1").fetchall():
        return
    following = record_store.ends(cursor, TOPIC).get(0, 0)
    cursor.execute(
        f"""INSERT INTO meta.records
        SELECT {text(TOPIC)}, nextval('meta.record_numbers'), 0, {following} + row_number() OVER () - 1,
        epoch_ms(now()), NULL, to_json({{
          'LOGGER': {text(reader(query_id))},
          'LEVEL': 'ERROR',
          'TIME': epoch_ms(now()),
          'MESSAGE': {{
            'TYPE': 0,
            'DESERIALIZATIONERROR': {{
              'TARGET': 'value',
              'ERRORMESSAGE': {text(f"Failed to deserialize value from topic: {topic}. ")}
                || {reason} || ' (' || {path} || ')',
              'RECORDB64': to_base64(encode({line})),
              'CAUSE': [{reason}],
              'topic': {text(topic)}}}}}}})
        FROM ({unreadable}) WHERE {counted}"""
    )
