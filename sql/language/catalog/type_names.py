"""Types as statements write them, with the checks that ksqlDB makes when it prepares a statement."""

from __future__ import annotations

from sqlglot import exp

from opensea_metrics.core.errors import SqlError, Stage
from opensea_metrics.core.types import (
    ArrayType,
    DecimalType,
    KsqlType,
    MapType,
    StructType,
    duplicate_field,
    from_ast,
    unknown_type,
)
from opensea_metrics.sql.language.statements.parser import where
from opensea_metrics.sql.language.statements.statements import Statement


def written_type(statement: Statement, written: exp.Expression, at: exp.Expression, of: str) -> KsqlType:
    """The type that a column definition or a CAST names. ``of`` says whose type it is.

    Raises SqlError, placed at ``at``, for a type that ksqlDB does not have. Examples are an unknown name, a STRUCT
    with two fields of one name, and a DECIMAL with precision or scale out of range. Observed on 7.9.1.
    """
    kind = from_ast(written)
    if kind is None:
        message = f"Cannot resolve unknown type: {unknown_type(written)}"
        hint = (
            f"type of {of}; ksqlDB's types: BOOLEAN INTEGER BIGINT DOUBLE"
            " DECIMAL(p,s) VARCHAR BYTES DATE TIME TIMESTAMP ARRAY<> MAP<,> STRUCT<…>"
        )
    elif decimal := _bad_decimal(kind):
        message = decimal
        hint = f"type of {of}; in DECIMAL(p,s), p counts all digits and s the digits after the point"
    elif twice := duplicate_field(kind):
        message = twice
        hint = f"type of {of}; give each field its own name"
    else:
        return kind
    raise SqlError(message, where(statement, at), hint, stage=Stage.PREPARE)


def _bad_decimal(kind: KsqlType) -> str | None:
    """The error in a DECIMAL inside a type, or None if there is no error."""
    match kind:
        case DecimalType(precision=precision, scale=scale):
            shown = f"DECIMAL({precision},{scale})"
            if precision < 1:
                return f"DECIMAL precision must be >= 1: {shown}"
            if scale < 0:
                return f"DECIMAL scale must be >= 0: {shown}"
            return f"DECIMAL precision must be >= scale: {shown}" if precision < scale else None
        case ArrayType():
            return _bad_decimal(kind.element)
        case MapType():
            return _bad_decimal(kind.key) or _bad_decimal(kind.value)
        case StructType():
            return next(filter(None, (_bad_decimal(field) for _, field in kind.fields)), None)
    return None
