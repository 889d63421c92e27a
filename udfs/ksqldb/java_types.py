"""ksqlDB's types and texts in Java's source."""

from __future__ import annotations

import json

from opensea_metrics.core.types import (
    BIGINT,
    BOOLEAN,
    BYTES,
    DATE,
    DOUBLE,
    INTEGER,
    STRING,
    TIME,
    TIMESTAMP,
    ArrayType,
    DecimalType,
    KsqlType,
    MapType,
    StructType,
)
from opensea_metrics.udfs.types import declaration

_SCALARS: dict[KsqlType, tuple[str, str]] = {
    BOOLEAN: ("Boolean", "Schema.OPTIONAL_BOOLEAN_SCHEMA"),
    INTEGER: ("Integer", "Schema.OPTIONAL_INT32_SCHEMA"),
    BIGINT: ("Long", "Schema.OPTIONAL_INT64_SCHEMA"),
    DOUBLE: ("Double", "Schema.OPTIONAL_FLOAT64_SCHEMA"),
    STRING: ("String", "Schema.OPTIONAL_STRING_SCHEMA"),
    BYTES: ("java.nio.ByteBuffer", "Schema.OPTIONAL_BYTES_SCHEMA"),
    DATE: ("java.sql.Date", "org.apache.kafka.connect.data.Date.builder().optional().build()"),
    TIME: ("java.sql.Time", "org.apache.kafka.connect.data.Time.builder().optional().build()"),
    TIMESTAMP: ("java.sql.Timestamp", "org.apache.kafka.connect.data.Timestamp.builder().optional().build()"),
}
"""The class of a scalar type's values, and the expression of its Kafka Connect schema."""


def literal(text: str) -> str:
    """A Java string literal. Java reads \\u escapes first, so a backslash before a u must be part of an
    escape. JSON doubles backslashes, which ensures this.
    """
    return json.dumps(text)


def java_type(kind: KsqlType) -> str:
    """The Java class of a type's values."""
    match kind:
        case DecimalType():
            return "java.math.BigDecimal"
        case ArrayType():
            return f"java.util.List<{java_type(kind.element)}>"
        case MapType():
            return f"java.util.Map<String, {java_type(kind.value)}>"
        case StructType():
            return "org.apache.kafka.connect.data.Struct"
    return _SCALARS[kind][0]


def schema_of(kind: KsqlType) -> str:
    """The expression of a type's Kafka Connect schema."""
    match kind:
        case DecimalType():
            return f"Values.decimal({kind.precision}, {kind.scale})"
        case ArrayType():
            return _built(f"array({schema_of(kind.element)})")
        case MapType():
            return _built(f"map(Schema.OPTIONAL_STRING_SCHEMA, {schema_of(kind.value)})")
        case StructType():
            fields = (f"{literal(name)}, {schema_of(inner)}" for name, inner in kind.fields)
            return f"Values.struct({', '.join(fields)})"
    return _SCALARS[kind][1]


def _built(call: str) -> str:
    return f"org.apache.kafka.connect.data.SchemaBuilder.{call}.optional().build()"


def annotated_schema(kind: KsqlType) -> str:
    """The schema that an annotation must contain because Java's type does not determine it."""
    return "" if kind in _SCALARS else declaration(kind)
