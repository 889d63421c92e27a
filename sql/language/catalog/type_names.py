"""Types as a statement writes them: checked as ksqlDB does when it prepares a statement."""

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
    """The type that a column definition or a CAST writes; ``of`` says whose type that is.

    Raises SqlError, placed at ``at``, for a type that ksqlDB does not have: an unknown name, a STRUCT with
    two fields of one name, a DECIMAL whose precision or scale is out of range. Observed on a 7.9.1.
    """
    kind = from_ast(written)
    if kind is None:
        message = f"Cannot resolve unknown type: {unknown_type(written)}"
        hint = (
            f"of {of}; ksqlDB's types: BOOLEAN INTEGER BIGINT DOUBLE"
            " DECIMAL(p,s) VARCHAR BYTES DATE TIME TIMESTAMP ARRAY<> MAP<,> STRUCT<…>"
        )
    elif decimal := _bad_decimal(kind):
        message = decimal
        hint = f"of {of}; in DECIMAL(p,s), p counts all digits and s those after the point"
    elif twice := duplicate_field(kind):
        message = twice
        hint = f"of {of}; give each field a name of its own"
    else:
        return kind
    raise SqlError(message, where(statement, at), hint, stage=Stage.PREPARE)


def _bad_decimal(kind: KsqlType) -> str | None:
    """What is wrong with a DECIMAL in a type; None if nothing is."""
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
