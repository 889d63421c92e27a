"""Types that CREATE TYPE names. Source: observed on 7.9.1 (tests/sql/parser.yml, tests/sql/catalog.yml)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from sqlglot import exp

from opensea_metrics.core.errors import SqlError
from opensea_metrics.core.types import KsqlType
from opensea_metrics.sql.language.catalog.declarations import written_type
from opensea_metrics.sql.language.dialect.rewriting import rewritten
from opensea_metrics.sql.language.statements.statements import Kind, Statement

Types = Mapping[str, exp.Expression]
"""The types by their upper-cased names, because names are not case-sensitive."""


def name_of(statement: Statement) -> str:
    """The name of the type that a CREATE TYPE or DROP TYPE creates or drops."""
    return str(statement.ast.this.this).upper()


def with_types(statement: Statement, types: Types) -> Statement:
    """The statement with the names of custom types replaced by their types in the AST. Its text does not change."""
    if not types or not any(_stands_for(part, types) for part in statement.ast.find_all(exp.DataType)):
        return statement

    def written(part: exp.Expression) -> exp.Expression:
        kind = _stands_for(part, types)
        return part if kind is None else kind.copy()

    return replace(statement, ast=rewritten(statement.ast, written))


def created(types: Types, statement: Statement) -> Types:
    """The types after a CREATE TYPE. Raises SqlError for an unknown type, and for a name that exists."""
    name = name_of(statement)
    kind = statement.ast.args["kind"]
    written_type(statement, kind, statement.ast.this, f"the type {name}")
    if name in types:
        if statement.keeps_existing:
            return types
        shown = type_of(types, name, statement)
        message = f"Cannot register custom type '{name}' since it is already registered with type: {shown}"
        raise SqlError(message, statement.place, "write IF NOT EXISTS, or DROP TYPE before it")
    return {**types, name: kind}


def dropped(types: Types, statement: Statement) -> Types:
    """The types after a DROP TYPE. Raises SqlError for an unknown name."""
    name = name_of(statement)
    if name not in types and not statement.ast.args.get("if_exists"):
        raise SqlError(f"Type {name} does not exist.", statement.place, "write IF EXISTS")
    return {other: kind for other, kind in types.items() if other != name}


def type_of(types: Types, name: str, statement: Statement) -> KsqlType:
    """The type that a custom type's name stands for."""
    return written_type(statement, types[name], statement.ast, f"the type {name}")


def registered(statements: Iterable[Statement]) -> Types:
    """The types after statements that a server has executed."""
    types: Types = {}
    for statement in statements:
        if statement.kind is Kind.CREATE_TYPE and name_of(statement) not in types:
            types = created(types, with_types(statement, types))
        elif statement.kind is Kind.DROP_TYPE:
            name = name_of(statement)
            types = {other: kind for other, kind in types.items() if other != name}
    return types


def _stands_for(part: exp.Expression, types: Types) -> exp.Expression | None:
    is_custom = isinstance(part, exp.DataType) and part.this == exp.DType.USERDEFINED
    return types.get(str(part.args.get("kind")).upper()) if is_custom else None
