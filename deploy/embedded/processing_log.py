"""ksqlDB's processing log: a stream of the records that queries could not read, and why.

Its columns are a real server's (shared/ksqldb-replies/describe_processing_log.json), so that one query
finds the dead letters on both:
``SELECT message->deserializationError->errorMessage FROM KSQL_PROCESSING_LOG;``
"""

from __future__ import annotations

import duckdb

from deploy.embedded.topics import UNREADABLE
from sql.quoting import text

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
    f" cause ARRAY<VARCHAR>>>) WITH (KAFKA_TOPIC='{TOPIC}', VALUE_FORMAT='JSON', PARTITIONS=1);"
)


def record(
    cursor: duckdb.DuckDBPyConnection, query_id: str, topic: str, unreadable: str
) -> None:
    """Put the records of the relation ``unreadable`` (its columns: :data:`UNREADABLE`) on the log."""
    reason, line, path = UNREADABLE
    cursor.execute(
        f"""INSERT INTO meta.inserted
        SELECT {text(TOPIC)}, nextval('meta.inserted_offset'), epoch_ms(now()), NULL, to_json({{
          'LOGGER': {text(f"processing.{query_id}.KsqlTopic.Source.deserializer")},
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
        FROM ({unreadable}) WHERE {reason} IS NOT NULL"""
    )
