"""Checks whether the columns of a stream or table accept the values of INSERT … VALUES.

The rules were observed on ksqlDB 7.9.1. tests/sql/test_inserts.py has them as examples.
"""

from __future__ import annotations

from typing import Any

from sqlglot import exp

from opensea_metrics.core.conversions import common
from opensea_metrics.core.errors import Place, SqlError, Stage
from opensea_metrics.core.types import (
    BYTES,
    DATE,
    DOUBLE,
    STRING,
    TIME,
    TIMESTAMP,
    ArrayType,
    DecimalType,
    KsqlType,
    MapType,
    StructType,
    name_of,
)
from opensea_metrics.sql.language.catalog.constants import UNKNOWN, Compute, Failing, constant
from opensea_metrics.sql.language.catalog.sources import Column
from opensea_metrics.sql.language.queries.inference import infer
from opensea_metrics.sql.language.queries.scope import Scope, shown
from opensea_metrics.sql.language.statements.parser import where
from opensea_metrics.sql.language.values import coercion

_FORMS = {
    "DATE": "Date format must be yyyy-mm-dd",
    "TIME": "Time format must be hh:mm:ss[.S]",
    "TIMESTAMP": "Timestamp format must be yyyy-mm-ddThh:mm:ss[.S]",
}
_EXAMPLES = {
    "BOOLEAN": "write true or false",
    "INTEGER": "write a whole number from -2147483648 to 2147483647, or declare the column as BIGINT",
    "BIGINT": "write a whole number from -9223372036854775808 to 9223372036854775807",
    "STRING": "write a text in quotes, such as 'otter'",
    "BYTES": "write base64, such as 'aGVsbG8='",
    "DATE": "write a date that exists, such as '2020-05-26'",
    "TIME": "write a time of day, such as '23:59:58' or '23:59:58.123'",
    "TIMESTAMP": "write a time such as '2020-05-26T23:59:58' or '2020-05-26T23:59:58.123+0200'",
}


def check_value(
    name: str, column: Column, value: exp.Expression, scope: Scope, compute: Compute = lambda _: UNKNOWN
) -> None:
    """Raise SqlError if ksqlDB refuses an expression for a column of the stream or table ``name``.

    If only ``compute`` can compute a value, such as a function's result, only the type is checked.
    """
    if column.type == STRING and isinstance(value, exp.Literal) and value.is_string:
        return
    if _is_condition(value):
        raise SqlError(
            "a condition cannot stand alone among the values",
            where(scope.statement, value),
            "put the condition in parentheses",
            stage=Stage.SYNTAX,
        )
    kind = infer(value, scope)
    if not _takes(column.type, kind):
        raise _mismatch(name, column, kind, value, where(scope.statement, value))
    given = _constant(name, value, scope, compute)
    if given is not UNKNOWN:
        stored(name, column, given, value, scope)
    _check_parts(name, column, column.type, value, scope, compute)


def stored(
    name: str, column: Column, value: Any, expression: exp.Expression, scope: Scope
) -> Any:
    """The JSON value that an expression has in a topic, for a column of the stream or table ``name``.

    Raises SqlError if the column does not accept the value.
    """
    failed = f"Failed to insert values into '{name}'."
    if column.name == "ROWTIME" and (value is None or value < 0):
        written = "NULL" if value is None else value
        raise SqlError(
            f"{failed} Invalid timestamp: {written}. Timestamp should always be non-negative.",
            where(scope.statement, expression),
            "write milliseconds since 1970, or omit ROWTIME to use the current time",
        )
    if column.role == "PRIMARY KEY" and value is None:
        place = where(scope.statement, expression)
        raise SqlError(
            f"{failed} The primary key column {column.name} is NULL.", place, "write a key that is not NULL"
        )
    try:
        return coercion.stored(column.type, value)
    except coercion.Mismatch:
        place = where(scope.statement, expression)
        raise _mismatch(name, column, infer(expression, scope), expression, place) from None


def _mismatch(
    name: str,
    column: Column,
    kind: KsqlType,
    value: exp.Expression,
    place: Place | None,
    wanted: KsqlType | None = None,
) -> SqlError:
    """The error for a value that does not fit into a column of the stream or table ``name``.

    ``wanted`` is the type of the part that does not fit. It is None if the whole value does not fit.
    """
    written = value.this if isinstance(value, exp.Literal) else value.sql("ksqldb")
    form = _FORMS.get((wanted or column.type).name) if kind == STRING else None
    expected = f"{wanted} for a part of field" if wanted else f"{column.type} for field"
    return SqlError(
        f"Failed to insert values into '{name}'. Expected type {expected} `{column.name}` but got"
        f" {kind.name}({written}){f'. {form}' if form else ''}",
        place,
        _example(wanted or column.type),
    )


def _example(kind: KsqlType) -> str:
    if isinstance(kind, DecimalType):
        digits = f"{kind.precision - kind.scale} digits before the point and {kind.scale} after it"
        return f"write a number with at most {digits}"
    return _EXAMPLES.get(kind.name, f"write a value of the type {kind}")


def _constant(name: str, value: exp.Expression, scope: Scope, compute: Compute) -> Any:
    """The value of an expression, or UNKNOWN. Raises SqlError if ksqlDB cannot compute the value."""
    try:
        return constant(value, scope, compute)
    except Failing as error:
        raise SqlError(
            f"Failed to insert values into '{name}'. ksqlDB cannot compute {shown(error.part)}: {error}",
            where(scope.statement, error.part),
            "write a value that can be computed, or NULL",
        ) from None


def _check_parts(
    name: str, column: Column, kind: KsqlType, value: exp.Expression, scope: Scope, compute: Compute
) -> None:
    """Check the elements of an ARRAY, MAP or STRUCT literal for the type ``kind``. Raises SqlError."""
    parts: list[tuple[KsqlType, exp.Expression]] = []
    match kind, value:
        case _, exp.Paren():
            parts = [(kind, value.this)]
        case ArrayType(), exp.Array():
            parts = [(kind.element, element) for element in value.expressions]
        case MapType(), exp.Anonymous() if str(value.this).upper() == "MAP":
            parts = [(kind.key, item.this) for item in value.expressions]
            parts += [(kind.value, item.expression) for item in value.expressions]
        case StructType(), exp.Anonymous() if str(value.this).upper() == "STRUCT":
            given = ((kind.field(name_of(item.this)), item.expression) for item in value.expressions)
            parts = [(field, item) for field, item in given if field is not None]
    for wanted, part in parts:
        if (constant := _constant(name, part, scope, compute)) is not UNKNOWN:
            try:
                coercion.stored(wanted, constant)
            except coercion.Mismatch:
                inner = infer(part, scope)
                is_whole = wanted == column.type
                place = where(scope.statement, part)
                raise _mismatch(name, column, inner, part, place, None if is_whole else wanted) from None
        _check_parts(name, column, wanted, part, scope, compute)


def _is_condition(value: exp.Expression) -> bool:
    return isinstance(value, exp.Predicate | exp.Connector | exp.Not)


def _takes(column: KsqlType, value: KsqlType) -> bool:
    """True if a column can hold a value: the value's type is not wider, or it is a text for a time or BYTES."""
    match column, value:
        case ArrayType(), ArrayType():
            return _takes(column.element, value.element)
        case MapType(), MapType():
            return _takes(column.key, value.key) and _takes(column.value, value.value)
        case StructType(), StructType():
            pairs = ((kind, value.field(name)) for name, kind in column.fields)
            return all(given is None or _takes(kind, given) for kind, given in pairs)
    if value == STRING and column in (DATE, TIME, TIMESTAMP, BYTES):
        return True
    wider = common(column, value)
    return wider == column or (column.name == "DECIMAL" and wider not in (None, DOUBLE))
