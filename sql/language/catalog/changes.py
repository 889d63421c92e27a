"""Applies statements to a catalog.

:func:`applied` returns the catalog after one more statement, or raises an error that says why ksqlDB refuses
the statement. The rules are ksqlDB's (docs/ksqldb-facts.md). The embedded server and the checks before a
migration use the same rules.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from opensea_metrics.core.errors import SqlError, SqlErrors
from opensea_metrics.sql.language.catalog.catalog import Catalog
from opensea_metrics.sql.language.catalog.creations import created_as, declared, inserting
from opensea_metrics.sql.language.catalog.custom_types import Types, created, dropped, with_types
from opensea_metrics.sql.language.catalog.declarations import columns_of, target
from opensea_metrics.sql.language.catalog.inserts import insert_columns
from opensea_metrics.sql.language.catalog.upgrade import SourceDefinition
from opensea_metrics.sql.language.project.project import Project
from opensea_metrics.sql.language.queries.resolution import analyse
from opensea_metrics.sql.language.statements.properties import check_set
from opensea_metrics.sql.language.statements.statements import Kind, Statement

_CREATING = (Kind.CREATE_STREAM, Kind.CREATE_TABLE, Kind.CREATE_STREAM_AS, Kind.CREATE_TABLE_AS)

Step = Callable[[Catalog, Statement, Catalog], None]
"""A function that receives a statement, and the catalogs before and after it."""


def check(project: Project, step: Step = lambda *_: None) -> Catalog:
    """The catalog after all migrations of a project, starting empty. ``step`` is called for each statement.

    Raises SqlErrors with the errors of all migrations, and with those from loading the project. If a statement
    fails, the errors of statements that depend on it are not reported. The plan decides whether a server can execute a
    CREATE OR REPLACE in place, because the change may also be applied side by side.
    """
    catalog = Catalog()
    number = 0
    errors = list(project.errors)
    broken = set(project.broken)
    for migration in project.migrations:
        for statement in migration.statements:
            try:
                number += 1
                before, catalog = catalog, applied(catalog, statement, number, any_replacement=True)
                step(before, statement, catalog)
            except SqlError as error:
                own = set() if statement.kind in _CREATING else {statement.name}
                if not broken.intersection({*statement.reads, *own}):
                    errors.append(error)
                if statement.name:
                    broken.add(statement.name)
    if errors:
        raise SqlErrors(sorted(errors, key=_place))
    return catalog


def _place(error: SqlError) -> tuple[str, int, int]:
    place = error.place
    return ("", 0, 0) if place is None else (place.file, place.line, place.column)


def applied(
    catalog: Catalog, statement: Statement, number: int, any_replacement: bool = False
) -> Catalog:
    """The catalog after a statement. ``number`` makes the ids of new queries unique.

    With ``any_replacement``, CREATE OR REPLACE may also make changes that ksqlDB does not make in place.
    Statements that do not change the catalog (SET, SHOW, INSERT VALUES …) are only checked. Raises SqlError if
    ksqlDB would refuse the statement.
    """
    statement = with_types(statement, catalog.types)
    match statement.kind:
        case Kind.CREATE_TYPE:
            return _with_types(catalog, created(catalog.types, statement))
        case Kind.DROP_TYPE:
            return _with_types(catalog, dropped(catalog.types, statement))
        case Kind.CREATE_STREAM | Kind.CREATE_TABLE:
            return declared(catalog, statement, any_replacement)
        case Kind.CREATE_STREAM_AS | Kind.CREATE_TABLE_AS:
            return created_as(catalog, statement, number, any_replacement)
        case Kind.INSERT_SELECT:
            return inserting(catalog, statement, number)
        case Kind.INSERT_VALUES:
            insert_columns(catalog, statement)
            return catalog
        case Kind.ALTER:
            return _altered(catalog, statement)
        case Kind.DROP_STREAM | Kind.DROP_TABLE:
            return _dropped(catalog, statement)
        case Kind.TERMINATE:
            return _terminated(catalog, statement)
        case Kind.SET | Kind.UNSET:
            check_set(statement)
            return catalog
        case Kind.SELECT:
            analyse(statement, statement.ast, dict(catalog.sources))
            return catalog
        case _:
            return catalog


def _with_types(catalog: Catalog, types: Types) -> Catalog:
    return catalog if types == catalog.types else replace(catalog, types=types)


def _altered(catalog: Catalog, statement: Statement) -> Catalog:
    source = catalog.sources.get(target(statement))
    if source is None:
        raise SqlError(f"Source {statement.name} does not exist.", statement.place)
    if source.kind != statement.ast.args["kind"]:
        raise SqlError(
            f"Incompatible data source type is {source.kind}, but statement was "
            f"ALTER {statement.ast.args['kind']}",
            statement.place,
        )
    if source.is_read_only:
        kind = source.kind.lower()
        message = f"Cannot alter {kind} '{source.name}': ALTER operations are not supported on source {kind}s."
        raise SqlError(message, statement.place, "drop it and create it again")
    if catalog.definition(source.name) != SourceDefinition(source):
        raise SqlError(
            "ALTER command is not supported for CREATE ... AS statements.", statement.place
        )
    columns = list(source.columns)
    for column in columns_of(statement):
        if column.name in {known.name for known in columns}:
            raise SqlError(
                f"Cannot add column `{column.name}` to schema. A column with the same name already"
                " exists.",
                statement.place,
            )
        columns.append(column)
    altered = replace(source, columns=tuple(columns))
    return replace(catalog, sources={**catalog.sources, source.name: altered})


def _dropped(catalog: Catalog, statement: Statement) -> Catalog:
    name = target(statement)
    if name not in catalog.sources:
        if statement.ast.args["if_exists"]:
            return catalog
        kind = str(statement.ast.args["kind"]).capitalize()
        raise SqlError(f"{kind} {name} does not exist.", statement.place)
    source = catalog.sources[name]
    if source.kind != statement.ast.args["kind"]:
        raise SqlError(
            f"Incompatible data source type is {source.kind.lower()}, but statement was "
            f"DROP {str(statement.ast.args['kind']).lower()}",
            statement.place,
        )
    if source.is_read_only and statement.deletes_topic:
        message = f"Cannot delete topic for read-only source: {name}"
        raise SqlError(message, statement.place, "remove DELETE TOPIC", code=40000)
    own = {query.id for query in catalog.writers(name) if not query.id.startswith("INSERT")}
    writers = [query.id for query in catalog.writers(name) if query.id not in own]
    if writers:
        raise SqlError(
            f"Cannot drop {name}.\nThe following queries read from this source: [].\n"
            "The following queries write into this source: "
            f"[{', '.join(writers)}].\nYou need to terminate them before dropping {name}.",
            statement.place,
        )
    readers = [query.sink for query in catalog.readers(name)]
    derived = [
        other.name
        for other in catalog.sources.values()
        if name in other.statement.reads and other.name not in readers
    ]
    if readers or derived:
        raise SqlError(
            f"Cannot drop {name}.\nThe following streams and/or tables read from this source: "
            f"[{', '.join(sorted({*readers, *derived}))}].\nYou need to drop them before dropping "
            f"{name}.",
            statement.place,
        )
    topics = {
        key: value for key, value in catalog.topics.items() if key != source.topic or not statement.deletes_topic
    }
    return replace(
        catalog,
        sources={key: value for key, value in catalog.sources.items() if key != name},
        queries={key: value for key, value in catalog.queries.items() if key not in own},
        topics=topics,
    )


def _terminated(catalog: Catalog, statement: Statement) -> Catalog:
    name = str(statement.name)
    if name == "ALL":
        return replace(catalog, queries={})
    if name not in catalog.queries:
        raise SqlError(f"Unknown queryId: {name}", statement.place)
    queries = {key: value for key, value in catalog.queries.items() if key != name}
    return replace(catalog, queries=queries)
