"""Reads the WITH clause of a CREATE: topic, formats, timestamp, and the window of the keys."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from opensea_metrics.core.errors import Place, SqlError, Stage
from opensea_metrics.core.types import BIGINT, STRING, TIMESTAMP
from opensea_metrics.core.wording import nearest
from opensea_metrics.sql.language.catalog.sources import Column, Window
from opensea_metrics.sql.language.dialect.naming import TOPIC_RULE, is_topic
from opensea_metrics.sql.language.statements.parser import where
from opensea_metrics.sql.language.statements.statements import Statement

_PROPERTIES = {
    "KAFKA_TOPIC", "VALUE_FORMAT", "KEY_FORMAT", "FORMAT", "PARTITIONS", "REPLICAS", "TIMESTAMP",
    "TIMESTAMP_FORMAT", "RETENTION_MS", "WINDOW_TYPE", "WINDOW_SIZE",
    "WRAP_SINGLE_VALUE", "KEY_DELIMITER", "VALUE_DELIMITER", "KEY_SCHEMA_ID", "VALUE_SCHEMA_ID",
    "VALUE_SCHEMA_FULL_NAME", "KEY_SCHEMA_FULL_NAME", "VALUE_AVRO_SCHEMA_FULL_NAME",
    "SOURCED_BY_CONNECTOR", "KEY_PROTOBUF_NULLABLE_REPRESENTATION", "VALUE_PROTOBUF_NULLABLE_REPRESENTATION",
}  # fmt: skip
FORMATS = {
    "JSON", "JSON_SR", "KAFKA", "AVRO", "PROTOBUF", "PROTOBUF_NOSR", "DELIMITED", "NONE",
}  # fmt: skip
_WINDOWS = ("SESSION", "HOPPING", "TUMBLING")
_INTEGER = re.compile(r"-?[0-9]{1,19}")
_AMOUNT = re.compile(r"[0-9]{1,18}")
_MILLISECONDS = {"MILLISECOND": 1, "SECOND": 1_000, "MINUTE": 60_000, "HOUR": 3_600_000, "DAY": 86_400_000}


def timestamp_of(
    statement: Statement, properties: Mapping[str, str], columns: Iterable[Column]
) -> str | None:
    """The column that the TIMESTAMP property names."""
    written = properties.get("TIMESTAMP")
    if written is None:
        return None
    if "->" in written:
        raise SqlError(
            f"Cannot parse text that is not column reference: {written}",
            statement.place,
            "only a top-level column of the value can be the timestamp",
        )
    known = {column.name: column for column in columns}
    column = known.get(written, known.get(written.upper()))
    if column is None:
        raise SqlError(
            "The TIMESTAMP column set in the WITH clause does not exist in the schema: "
            f"'{written.upper()}'",
            statement.place,
        )
    has_format = "TIMESTAMP_FORMAT" in properties
    if column.type == STRING and not has_format:
        raise SqlError(
            "A String timestamp field has been specified without also specifying the timestamp_format",
            statement.place,
            "add TIMESTAMP_FORMAT='…' to the WITH clause",
        )
    if column.type != STRING and has_format:
        raise SqlError(
            "'TIMESTAMP_FORMAT' set in the WITH clause can only be used when the timestamp column is of type"
            " STRING.",
            statement.place,
        )
    if column.type not in (BIGINT, TIMESTAMP, STRING):
        raise SqlError(
            f"Timestamp column, `{column.name}`, should be LONG(INT64), TIMESTAMP, or a String with a "
            "timestamp_format specified.",
            statement.place,
        )
    return column.name


def window_of(
    statement: Statement, properties: Mapping[str, str], columns: Iterable[Column]
) -> Window | None:
    """The window that WINDOW_TYPE and WINDOW_SIZE declare for a source's keys."""
    kind = properties.get("WINDOW_TYPE")
    if kind is not None and kind.upper() not in _WINDOWS:
        raise SqlError(
            f"Invalid value {kind} for property WINDOW_TYPE: String must be one of: {', '.join(_WINDOWS)}",
            _place_of(statement, "WINDOW_TYPE"),
            stage=Stage.PREPARE,
        )
    if (kind or "SESSION").upper() == "SESSION" and "WINDOW_SIZE" in properties:
        raise SqlError(
            "'WINDOW_SIZE' should not be set for SESSION windows.",
            _place_of(statement, "WINDOW_SIZE"),
            "only WINDOW_TYPE='TUMBLING' and 'HOPPING' have a WINDOW_SIZE",
            stage=Stage.PREPARE,
        )
    if kind is None:
        return None
    if not any(column.is_key for column in columns):
        raise SqlError("Windowed sources require a key column.", statement.place)
    size = 0
    if kind.upper() != "SESSION":
        given = properties.get("WINDOW_SIZE", "")
        amount, _, unit = given.partition(" ")
        scale = _MILLISECONDS.get(unit.strip().upper().removesuffix("S"))
        if given and (not _AMOUNT.fullmatch(amount) or scale is None):
            raise SqlError(
                f"Configuration WINDOW_SIZE is invalid: Invalid duration: '{given}'",
                _place_of(statement, "WINDOW_SIZE"),
                "write at most 18 digits and a unit, such as 10 SECONDS",
                stage=Stage.PREPARE,
            )
        if scale is None:
            raise SqlError(
                f"{kind.upper()} windows require 'WINDOW_SIZE' to be provided in the WITH clause. "
                "For example: 'WINDOW_SIZE'='10 SECONDS'",
                statement.place,
                stage=Stage.PREPARE,
            )
        size = int(amount) * scale
        if size == 0:
            raise SqlError("Size must be positive", _place_of(statement, "WINDOW_SIZE"))
    return Window(kind.upper(), size, size, 0)


def properties_of(statement: Statement) -> dict[str, str]:
    """The properties of the WITH clause, checked. Raises SqlError for a property that ksqlDB does not have."""
    properties = statement.properties
    for name in properties:
        if name == "CLEANUP_POLICY":
            hint = "delete it: ksqlDB compacts the topics of tables, and no others"
            raise SqlError(f"Invalid config variable in the WITH clause: {name}.", _place_of(statement, name), hint)
        if name not in _PROPERTIES:
            raise SqlError(
                f"Invalid config variable(s) in the WITH clause: {name}",
                _place_of(statement, name),
                f"did you mean {near}?" if (near := nearest(name, sorted(_PROPERTIES))) else None,
                stage=Stage.PREPARE,
            )
    for name in ("KEY_FORMAT", "VALUE_FORMAT"):
        if name in properties and "FORMAT" in properties:
            raise SqlError(
                f"Cannot supply both '{name}' and 'FORMAT' properties, as 'FORMAT' sets both key and value formats."
                " Either use just 'FORMAT', or use 'KEY_FORMAT' and 'VALUE_FORMAT'.",
                _place_of(statement, name),
                stage=Stage.PREPARE,
            )
    wrap = properties.get("WRAP_SINGLE_VALUE", "true")
    if wrap.lower() not in ("true", "false"):
        raise SqlError(
            f"Invalid value {wrap} for property WRAP_SINGLE_VALUE: Expected value to be either true or false",
            _place_of(statement, "WRAP_SINGLE_VALUE"),
            stage=Stage.PREPARE,
        )
    for name in ("PARTITIONS", "REPLICAS", "RETENTION_MS"):
        value = properties.get(name, "0")
        bits = 63 if name == "RETENTION_MS" else 31
        if not _INTEGER.fullmatch(value) or not -(2**bits) <= int(value) < 2**bits:
            raise SqlError(
                f"Invalid value {value} for property {name}: Not a number of type INT",
                _place_of(statement, name),
                stage=Stage.PREPARE,
            )
    return properties


def topic_of(statement: Statement, properties: Mapping[str, str], default: str | None = None) -> str:
    """The topic in the WITH clause, or the default. Raises SqlError if a topic cannot have that name."""
    topic = properties.get("KAFKA_TOPIC", default)
    if topic is None:
        raise SqlError(
            'Missing required property "KAFKA_TOPIC" which has no default value.',
            statement.place,
            stage=Stage.PREPARE,
        )
    place = _place_of(statement, "KAFKA_TOPIC")
    if not topic:
        raise SqlError(
            "Invalid value  for property KAFKA_TOPIC: String must be non-empty",
            place,
            TOPIC_RULE,
            stage=Stage.PREPARE,
        )
    if not is_topic(topic):
        raise SqlError(
            f"Failed to check if exists for topic: {topic}\n"
            "Caused by: The request attempted to perform an operation on an invalid topic.",
            place,
            TOPIC_RULE,
            code=50000,
        )
    return topic


def count_of(
    statement: Statement, properties: Mapping[str, str], name: str, topic: str, default: int
) -> int:
    """PARTITIONS or REPLICAS from the WITH clause, or the default. -1 means Kafka's own default, which is 1.
    Raises SqlError for any other number below 1."""
    count = int(properties.get(name, default))
    if count >= 1:
        return count
    if count == -1:
        return 1
    raise SqlError(
        f"Failed to guarantee existence of topic {topic}\n"
        f"Caused by: {name} is {count}, but must be larger than 0, or -1 for the default value.",
        _place_of(statement, name),
        f"write {name}=1 or more",
        code=50000,
    )


def _place_of(statement: Statement, name: str) -> Place:
    """The place of a property in the WITH clause, or the statement's place."""
    for item in statement.ast.args.get("properties") or ():
        if str(item.this.this).upper() == name:
            return where(statement, item)
    return statement.place


def format_of(
    properties: Mapping[str, str], name: str, default: str | None, statement: Statement
) -> str:
    """The format of keys or values: the declared format, or the default."""
    written = properties.get(name) or properties.get("FORMAT") or default
    if written is None:
        raise SqlError(
            f"Statement is missing the '{name}' property from the WITH clause. Either provide one or "
            f"set a default via the 'ksql.persistence.default.format.{name.split('_')[0].lower()}' "
            "config.",
            statement.place,
        )
    if written.upper() not in FORMATS:
        raise SqlError(f"Unknown format: {written.upper()}", statement.place)
    return written.upper()
