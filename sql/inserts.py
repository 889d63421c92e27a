"""What INSERT … VALUES puts where."""

from __future__ import annotations

from sqlglot import exp

from sql.catalog import Catalog
from sql.declarations import schema_text, target
from sql.errors import Place, SqlError, Stage
from sql.inference import infer
from sql.parser import where
from sql.scope import Scope
from sql.sources import Column
from sql.statements import Statement
from sql.types import (
    BIGINT,
    BYTES,
    DATE,
    DOUBLE,
    STRING,
    TIME,
    TIMESTAMP,
    ArrayType,
    KsqlType,
    MapType,
    StructType,
    common,
    name_of,
)

_FORMS = {
    "DATE": "Date format must be yyyy-mm-dd",
    "TIME": "Time format must be hh:mm:ss[.S]",
    "TIMESTAMP": "Timestamp format must be yyyy-mm-ddThh:mm:ss[.S]",
}


def insert_columns(catalog: Catalog, statement: Statement) -> tuple[Column, ...]:
    """The columns that an INSERT … VALUES fills, in the order of its values. Raises SqlError."""
    name = target(statement)
    source = catalog.sources.get(name)
    if source is None:
        message = f"Cannot insert values into an unknown stream/table: `{name}`"
        raise SqlError(message, statement.place, code=40000)
    if source.window:
        message = "Cannot insert values into windowed stream/table!"
        raise SqlError(message, statement.place, code=40000)
    by_name = {
        "ROWTIME": Column("ROWTIME", BIGINT), **{column.name: column for column in source.columns}
    }
    named = statement.ast.args.get("columns") or []
    failed = f"Failed to insert values into '{name}'."
    for identifier in named:
        if name_of(identifier) not in by_name:
            raise SqlError(
                f"{failed} Column name `{name_of(identifier)}` does not exist.",
                where(statement, identifier),
            )
    columns = tuple(by_name[name_of(i)] for i in named) if named else source.columns
    values = statement.ast.expressions
    if named and len(columns) != len(values):
        raise SqlError(
            f"Expected number columns and values to match: {len(columns)}, {len(values)}",
            statement.place,
            stage=Stage.PREPARE,
        )
    if len(columns) != len(values):
        got = ", ".join(value.sql(dialect="ksqldb") for value in values)
        raise SqlError(
            f"{failed} Expected a value for each column. Expected Columns: []. Got [{got}]",
            statement.place,
            f"{name} has the columns {schema_text(columns)}",
        )
    scope = Scope(statement, {})
    for column, value in zip(columns, values, strict=True):
        kind = infer(value, scope)
        if not _takes(column.type, kind):
            raise mismatch(name, column, kind, value, where(statement, value))
    missing = [c.name for c in source.columns if c.role == "PRIMARY KEY" and c not in columns]
    if missing:
        raise SqlError(
            f"{failed} Value for primary key column(s) {', '.join(missing)} is required for tables",
            statement.place,
        )
    return columns


def mismatch(name: str, column: Column, kind: KsqlType, value: exp.Expression, place: Place | None) -> SqlError:
    """The error for a value that does not fit into a column of the stream or table ``name``."""
    written = value.this if isinstance(value, exp.Literal) else value.sql("ksqldb")
    form = _FORMS.get(column.type.name) if kind == STRING else None
    return SqlError(
        f"Failed to insert values into '{name}'. Expected type {column.type} for field `{column.name}` but got"
        f" {kind.name}({written}){f'. {form}' if form else ''}",
        place,
    )


def _takes(column: KsqlType, value: KsqlType) -> bool:
    """Whether a value may go into a column: it is no wider, or a text that may say a time or bytes."""
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
