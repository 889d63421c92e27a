"""Types as statements write them, with the checks that ksqlDB makes when it prepares a statement."""

from __future__ import annotations

from sqlglot import exp

from opensea_metrics.core.errors import SqlError, Stage
from opensea_metrics.core.types import (
    DecimalType,
    KsqlType,
    duplicate_name,
    from_ast,
    parts,
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
        message = f"Cannot resolve unknown type: {_unknown_type(written)}"
        hint = (
            f"type of {of}; ksqlDB's types: BOOLEAN INTEGER BIGINT DOUBLE"
            " DECIMAL(p,s) VARCHAR BYTES DATE TIME TIMESTAMP ARRAY<> MAP<,> STRUCT<…>"
        )
    elif decimal := next(filter(None, map(_bad_decimal, parts(kind))), None):
        message = decimal
        hint = f"type of {of}; in DECIMAL(p,s), p counts all digits and s the digits after the point"
    elif twice := next(filter(None, map(duplicate_name, parts(kind))), None):
        message = twice
        hint = f"type of {of}; give each field its own name"
    else:
        return kind
    raise SqlError(message, where(statement, at), hint, stage=Stage.PREPARE)


def _unknown_type(kind: exp.Expression) -> str:
    """The name of the part of a parsed type that ksqlDB does not know (:func:`from_ast` returns None)."""
    for part in kind.find_all(exp.DataType):
        if part.this == exp.DType.USERDEFINED or not (part.expressions or from_ast(part)):
            return str(part.args.get("kind") or part.this.name).upper()
    return kind.sql(dialect="ksqldb").upper()


def _bad_decimal(kind: KsqlType) -> str | None:
    """The error in a DECIMAL, or None if there is no error."""
    if not isinstance(kind, DecimalType):
        return None
    shown = f"DECIMAL({kind.precision},{kind.scale})"
    if kind.precision < 1:
        return f"DECIMAL precision must be >= 1: {shown}"
    if kind.scale < 0:
        return f"DECIMAL scale must be >= 0: {shown}"
    return f"DECIMAL precision must be >= scale: {shown}" if kind.precision < kind.scale else None
