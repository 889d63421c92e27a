"""Reads the columns and the types that statements declare, with the checks that ksqlDB makes when it prepares them."""

from __future__ import annotations

from collections.abc import Iterable

from sqlglot import exp

from opensea_metrics.core.errors import SqlError, Stage
from opensea_metrics.core.types import (
    BYTES,
    STRING,
    DecimalType,
    KsqlType,
    array,
    duplicate_name,
    from_ast,
    name_of,
    parts,
    struct,
)
from opensea_metrics.sql.language.catalog.sources import Column
from opensea_metrics.sql.language.dialect.naming import SYSTEM_COLUMNS
from opensea_metrics.sql.language.statements.parser import where
from opensea_metrics.sql.language.statements.statements import Kind, Statement


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


_HEADERS = array(struct(("KEY", STRING), ("VALUE", BYTES)))


def columns_of(statement: Statement) -> list[Column]:
    """The columns that a CREATE or ALTER lists. Raises SqlError for an unknown type."""
    columns = []
    for definition in statement.ast.expressions:
        name = name_of(definition.this)
        kind = written_type(statement, definition.args["kind"], definition.this, f"column {name}")
        if name in SYSTEM_COLUMNS:
            raise SqlError(
                f"'{name}' is a reserved column name. You cannot use it as a name for a column.",
                where(statement, definition.this),
            )
        columns.append(Column(name, kind, definition.args.get("role")))
    return columns


def check_columns(statement: Statement, columns: list[Column]) -> None:
    """Refuse a declaration without columns, with a duplicate column, or with the wrong kind of key."""
    if not columns:
        raise SqlError(
            "No columns supplied.", statement.place, "a CREATE without AS SELECT needs columns"
        )
    seen: set[str] = set()
    for definition, column in zip(statement.ast.expressions, columns, strict=True):
        if column.name in seen:
            raise SqlError(
                f"Duplicate column names: `{column.name}`",
                where(statement, definition.this),
                stage=Stage.PREPARE,
            )
        seen.add(column.name)
    _check_headers(statement, columns)
    wrong, right, kind = "PRIMARY KEY", "KEY", "streams"
    if statement.kind is Kind.CREATE_TABLE:
        wrong, right, kind = "KEY", "PRIMARY KEY", "tables"
    for definition, column in zip(statement.ast.expressions, columns, strict=True):
        if column.role == wrong:
            raise SqlError(
                f"Column `{column.name}` is a '{wrong}' column: please use '{right}' for {kind}.\n"
                "Tables have PRIMARY KEYs, which are unique and NON NULL.\n"
                "Streams have KEYs, which have no uniqueness or NON NULL constraints.",
                where(statement, definition.this),
                located=True,
            )
    if kind == "tables" and not any(column.is_key for column in columns):
        raise SqlError(
            "Tables require a PRIMARY KEY. Please define the PRIMARY KEY.", statement.place
        )


def _check_headers(statement: Statement, columns: list[Column]) -> None:
    """Raises SqlError for a HEADERS or HEADER column of the wrong type, or given twice."""
    known: set[str | None] = set()
    for definition, column in zip(statement.ast.expressions, columns, strict=True):
        if not column.is_header:
            continue
        wanted = _HEADERS if column.role == "HEADERS" else BYTES
        if column.type != wanted:
            raise SqlError(
                f"Invalid type for {column.role} column: expected {wanted}, got {column.type}",
                where(statement, definition.this),
                stage=Stage.PREPARE,
            )
        if column.role in known:
            message = f"Schema already contains a {column.role} column."
            raise SqlError(message, where(statement, definition.this))
        known.add(column.role)


def target(statement: Statement) -> str:
    """The name of the object that a statement creates or changes."""
    assert statement.name is not None
    return statement.name


def schema_text(columns: Iterable[Column]) -> str:
    """Columns as ksqlDB's messages list them."""
    return ", ".join(
        f"`{column.name}` {column.type}{' KEY' if column.is_key else ''}" for column in columns
    )
