"""The types that ksqlDB converts to one another: implicitly, or by a CAST."""

from __future__ import annotations

from opensea_metrics.core.types import (
    BYTES,
    DATE,
    INTEGER,
    NULL,
    STRING,
    TIME,
    TIMESTAMP,
    ArrayType,
    DecimalType,
    KsqlType,
    MapType,
    StructType,
)

NUMERIC = ("INTEGER", "BIGINT", "DECIMAL", "DOUBLE")
"""The names of numeric types. ksqlDB widens a number to any later type in this order."""
_TIMES = ((DATE, TIMESTAMP), (TIMESTAMP, DATE), (TIMESTAMP, TIME))
"""Casts between types of dates and times."""


def is_numeric(kind: KsqlType) -> bool:
    """True for INTEGER, BIGINT, DECIMAL and DOUBLE."""
    return kind.name in NUMERIC


def common(left: KsqlType, right: KsqlType) -> KsqlType | None:
    """The type that holds both without a cast, or None. NULL fits any type. INTEGER < BIGINT < DOUBLE."""
    if left == right or right == NULL:
        return left
    if left == NULL:
        return right
    if is_numeric(left) and is_numeric(right):
        names = {left.name, right.name}
        if "DECIMAL" in names and "DOUBLE" not in names:
            return _wider_decimal(as_decimal(left), as_decimal(right))
        return max(left, right, key=lambda kind: NUMERIC.index(kind.name))
    return None


def castable(source: KsqlType, target: KsqlType) -> bool:
    """True if ksqlDB can CAST one type to the other, as observed on 7.9.1."""
    if NULL in (source, target) or source == target or (is_numeric(source) and is_numeric(target)):
        return True
    match source, target:
        case ArrayType(), ArrayType():
            return castable(source.element, target.element)
        case MapType(), MapType():
            return castable(source.key, target.key) and castable(source.value, target.value)
        case StructType(), StructType():
            pairs = ((source.field(name), kind) for name, kind in target.fields)
            return all(given is None or castable(given, kind) for given, kind in pairs)
        case _, ArrayType() | MapType() | StructType():
            return False
    if target == STRING:
        return source != BYTES
    return source == STRING or (source, target) in _TIMES


def as_decimal(kind: KsqlType) -> DecimalType:
    """The DECIMAL that stands for a number other than a DOUBLE: (10,0) for INTEGER, (19,0) for BIGINT."""
    if isinstance(kind, DecimalType):
        return kind
    return DecimalType("DECIMAL", 10 if kind == INTEGER else 19, 0)


def same(left: KsqlType, right: KsqlType) -> bool:
    """True if values of both types may appear together where ksqlDB widens nothing (CASE, COALESCE …)."""
    return left == right or NULL in (left, right)


def _wider_decimal(left: DecimalType, right: DecimalType) -> DecimalType:
    scale = max(left.scale, right.scale)
    whole = max(left.precision - left.scale, right.precision - right.scale)
    return DecimalType("DECIMAL", whole + scale, scale)
