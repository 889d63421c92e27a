"""The target and the columns of INSERT … VALUES."""

from __future__ import annotations

from opensea_metrics.core.errors import SqlError, Stage
from opensea_metrics.core.types import BIGINT, name_of
from opensea_metrics.sql.language.catalog.catalog import Catalog
from opensea_metrics.sql.language.catalog.constants import UNKNOWN, Compute
from opensea_metrics.sql.language.catalog.declarations import schema_text, target
from opensea_metrics.sql.language.catalog.insert_values import check_value
from opensea_metrics.sql.language.catalog.sources import Column, Source
from opensea_metrics.sql.language.queries.scope import Scope
from opensea_metrics.sql.language.statements.parser import where
from opensea_metrics.sql.language.statements.statements import Statement


def insert_columns(
    catalog: Catalog, statement: Statement, compute: Compute = lambda _: UNKNOWN
) -> tuple[Column, ...]:
    """The columns that an INSERT … VALUES fills, in the order of its values.

    Raises SqlError if ksqlDB would refuse the statement. Values that only ``compute`` can compute are checked
    by type only. The statement keeps the columns if all values are texts, because nothing needs ``compute`` then.
    """
    source = _target(catalog, statement)
    kept: tuple[Source, tuple[Column, ...]] | None = statement.memo.get("columns")
    if kept is not None and kept[0] is source:
        return kept[1]
    columns = _columns(source, statement)
    scope = Scope(statement, {})
    for column, value in zip(columns, statement.ast.expressions, strict=True):
        check_value(source.name, column, value, scope, compute)
    keys = [column for column in source.columns if column.role == "PRIMARY KEY"]
    missing = [column.name for column in keys if column not in columns]
    if missing:
        raise SqlError(
            f"Failed to insert values into '{source.name}'. Value for primary key column(s)"
            f" {', '.join(missing)} is required for tables",
            statement.place,
        )
    if is_all_texts(statement):
        statement.memo["columns"] = source, columns
    return columns


def is_all_texts(statement: Statement) -> bool:
    """True if all values of an INSERT … VALUES are texts in quotes."""
    return all(value.is_string for value in statement.ast.expressions)


def _target(catalog: Catalog, statement: Statement) -> Source:
    """The stream or table that receives the rows. Raises SqlError."""
    name = target(statement)
    source = catalog.sources.get(name)
    if source is None:
        message = f"Cannot insert values into an unknown stream/table: `{name}`"
        raise SqlError(message, statement.place, code=40000)
    if source.window:
        message = "Cannot insert values into windowed stream/table!"
        raise SqlError(message, statement.place, code=40000)
    if source.is_read_only:
        message = f"Cannot insert values into read-only {source.kind.lower()}: {name}"
        raise SqlError(message, statement.place, code=40000)
    return source


def _columns(source: Source, statement: Statement) -> tuple[Column, ...]:
    """The columns that the values are for. Raises SqlError."""
    by_name = {
        "ROWTIME": Column("ROWTIME", BIGINT), **{column.name: column for column in source.columns}
    }
    named = statement.ast.args.get("columns") or []
    failed = f"Failed to insert values into '{source.name}'."
    for identifier in named:
        if name_of(identifier) not in by_name:
            raise SqlError(
                f"{failed} Column name `{name_of(identifier)}` does not exist.",
                where(statement, identifier),
                f"{source.name} has the columns {schema_text(source.columns)}",
            )
    columns = tuple(by_name[name_of(i)] for i in named) if named else source.columns
    if headers := [column.name for column in columns if column.is_header]:
        others = ", ".join(column.name for column in source.columns if not column.is_header)
        raise SqlError(
            f"Cannot insert into HEADER columns: {', '.join(headers)}",
            statement.place,
            f"name the other columns: INSERT INTO {source.name} ({others}) VALUES …",
        )
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
            f"{source.name} has the columns {schema_text(columns)}",
        )
    return columns
