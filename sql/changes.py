"""What statements do to a catalog.

:func:`applied` gives the catalog after one more statement, or says why that statement is refused. The
rules are ksqlDB's (shared/ksqldb-facts.md); the embedded server and the checks before a migration use
the same ones.
"""

from __future__ import annotations

from dataclasses import replace

from sql.analysis import analyse
from sql.catalog import Catalog, Query
from sql.changelog import check_changelog
from sql.declarations import (
    check_columns,
    columns_of,
    format_of,
    properties_of,
    schema_text,
    target,
    timestamp_of,
    window_of,
)
from sql.errors import SqlError, SqlErrors, Stage
from sql.inserts import insert_columns
from sql.parser import where
from sql.project import Project
from sql.sources import Source
from sql.statements import Kind, Statement
from sql.types import NULL
from sql.upgrade import Definition, changes, refusals


def check(project: Project) -> Catalog:
    """The catalog after all migrations of a project, from nothing.

    Raises SqlErrors with everything that is wrong in any of them: a statement that fails is
    reported once, and what builds on it is not reported again. Whether a server takes a CREATE OR
    REPLACE in place is left to the plan, as it may also be carried out side by side.
    """
    catalog = Catalog()
    number = 0
    errors: list[SqlError] = []
    broken: set[str] = set()
    for migration in project.migrations:
        for statement in migration.statements:
            try:
                number += 1
                catalog = applied(catalog, statement, number, any_replacement=True)
            except SqlError as error:
                if not broken.intersection(statement.reads):
                    errors.append(error)
                if statement.name:
                    broken.add(statement.name)
    if errors:
        raise SqlErrors(errors)
    return catalog


def applied(
    catalog: Catalog, statement: Statement, number: int, any_replacement: bool = False
) -> Catalog:
    """The catalog after a statement; ``number`` makes the ids of new queries unique.

    ``any_replacement``: CREATE OR REPLACE may also change what ksqlDB does not replace in place.
    Raises SqlError if ksqlDB would refuse the statement. Statements that change no catalog (SET,
    SHOW, INSERT VALUES …) are checked and leave it as it is.
    """
    match statement.kind:
        case Kind.CREATE_STREAM | Kind.CREATE_TABLE:
            return _declared(catalog, statement, any_replacement)
        case Kind.CREATE_STREAM_AS | Kind.CREATE_TABLE_AS:
            return _created_as(catalog, statement, number, any_replacement)
        case Kind.INSERT_SELECT:
            return _inserting(catalog, statement, number)
        case Kind.INSERT_VALUES:
            insert_columns(catalog, statement)
            return catalog
        case Kind.ALTER:
            return _altered(catalog, statement)
        case Kind.DROP_STREAM | Kind.DROP_TABLE:
            return _dropped(catalog, statement)
        case Kind.TERMINATE:
            return _terminated(catalog, statement)
        case Kind.SELECT:
            analyse(statement, statement.ast, dict(catalog.sources))
            return catalog
        case _:
            return catalog


def _declared(catalog: Catalog, statement: Statement, any_replacement: bool) -> Catalog:
    if (known := _already(catalog, statement)) is not None:
        return known
    columns = columns_of(statement)
    properties = properties_of(statement)
    if "KAFKA_TOPIC" not in properties:
        raise SqlError(
            'Missing required property "KAFKA_TOPIC" which has no default value.',
            statement.place,
            stage=Stage.PREPARE,
        )
    check_columns(statement, columns)
    value_format = format_of(properties, "VALUE_FORMAT", None, statement)
    is_table = statement.kind is Kind.CREATE_TABLE
    source = Source(
        name=target(statement),
        kind="TABLE" if is_table else "STREAM",
        columns=tuple(columns),
        topic=properties["KAFKA_TOPIC"],
        value_format=value_format,
        key_format=format_of(properties, "KEY_FORMAT", "KAFKA", statement),
        statement=statement,
        window=window_of(statement, properties, columns),
        timestamp=timestamp_of(statement, properties, columns),
        partitions=int(properties.get("PARTITIONS", 1)),
        replicas=int(properties.get("REPLICAS", 1)),
    )
    if not any_replacement:
        _check_replaced(catalog, statement, Definition(source))
    return replace(catalog, sources={**catalog.sources, source.name: source})


def _check_replaced(catalog: Catalog, statement: Statement, new: Definition) -> None:
    """Refuse a CREATE OR REPLACE of what cannot be replaced by it (sql/upgrade.py)."""
    old = catalog.definition(new.source.name)
    if old is None:
        return
    reasons = refusals(changes(old, new))
    if reasons:
        raise SqlError(
            "\n\tAND ".join(reasons),
            statement.place,
            "to change it all the same, drop it and create it again in the same migration (its state"
            " is lost), or build it beside the old one: apply --side-by-side",
        )


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
    if catalog.definition(source.name) != Definition(source):
        raise SqlError(
            "ALTER command is not supported for CREATE ... AS statements.", statement.place
        )
    columns = list(source.columns)
    for column in columns_of(statement):
        if column.name in {each.name for each in columns}:
            raise SqlError(
                f"Cannot add column `{column.name}` to schema. A column with the same name already"
                " exists.",
                statement.place,
            )
        columns.append(column)
    altered = replace(source, columns=tuple(columns))
    return replace(catalog, sources={**catalog.sources, source.name: altered})


def _created_as(
    catalog: Catalog, statement: Statement, number: int, any_replacement: bool
) -> Catalog:
    if (known := _already(catalog, statement)) is not None:
        return known
    analysis = analyse(statement, statement.ast.args["query"], dict(catalog.sources))
    is_table = statement.kind is Kind.CREATE_TABLE_AS
    source = analysis.source
    gives_table = analysis.is_aggregation or source.is_table
    if is_table != gives_table:
        kind = "TABLE" if gives_table else "STREAM"
        raise SqlError(
            f"Invalid result type. Your SELECT query produces a {kind}. Please use CREATE {kind} AS "
            f"SELECT statement instead.\nStatement: {statement.text}",
            statement.place,
            stage=Stage.QUERY,
        )
    if analysis.is_aggregation and source.is_table and source.window:
        raise SqlError(
            "KSQL does not support persistent queries on windowed tables.",
            statement.place,
            "declare the table's topic again as a stream and aggregate that",
            stage=Stage.QUERY,
        )
    check_changelog(catalog, statement, analysis)
    properties = properties_of(statement)
    name = target(statement)
    columns = analysis.columns
    key_format = format_of(properties, "KEY_FORMAT", source.key_format, statement)
    keys = [column for column in columns if column.is_key]
    if len(keys) > 1 and key_format == "KAFKA":
        listed = ", ".join(f"`{column.name}` {column.type} KEY" for column in keys)
        raise SqlError(
            "Key format does not support schema.\nformat: KAFKA\n"
            f"schema: Persistence{{columns=[{listed}], features=[]}}\n"
            f"reason: The 'KAFKA' format only supports a single field. Got: [{listed}]",
            statement.place,
            "add KEY_FORMAT='JSON' to the WITH clause",
            code=40000,
        )
    sink = Source(
        name=name,
        kind="TABLE" if is_table else "STREAM",
        columns=columns,
        topic=properties.get("KAFKA_TOPIC", name),
        value_format=format_of(properties, "VALUE_FORMAT", source.value_format, statement),
        key_format=key_format,
        statement=statement,
        window=analysis.window if is_table else source.window,
        timestamp=properties.get("TIMESTAMP"),
        partitions=int(properties.get("PARTITIONS", source.partitions)),
        replicas=int(properties.get("REPLICAS", source.replicas)),
    )
    if not any_replacement:
        _check_replaced(catalog, statement, Definition(sink, analysis))
    query = Query(f"{'CTAS' if is_table else 'CSAS'}_{name}_{number}", name, analysis)
    replaced = {each.id for each in catalog.writers(name) if not each.id.startswith("INSERT")}
    others = {key: value for key, value in catalog.queries.items() if key not in replaced}
    return Catalog({**catalog.sources, name: sink}, {**others, query.id: query})


def _inserting(catalog: Catalog, statement: Statement, number: int) -> Catalog:
    sink = catalog.sources.get(target(statement))
    if sink is None:
        raise SqlError(
            f"Source `{statement.name}` does not exist.",
            where(statement, statement.ast.this),
            stage=Stage.SOURCES,
            located=True,
        )
    if sink.is_table:
        raise SqlError(
            f"INSERT INTO can only be used to insert into a stream. {sink.name} is a table.",
            statement.place,
            stage=Stage.SOURCES,
        )
    analysis = analyse(statement, statement.ast.args["query"], dict(catalog.sources))
    if analysis.is_aggregation:
        raise SqlError("INSERT INTO … SELECT cannot aggregate", statement.place)
    made, wanted = analysis.columns, sink.columns
    compatible = len(made) == len(wanted) and all(
        column.name == other.name and column.type in (NULL, other.type)
        for column, other in zip(made, wanted, strict=True)
    )
    if not compatible:
        raise SqlError(
            "Incompatible schema between results and sink."
            f"\nResult schema is {schema_text(made)}\nSink schema is {schema_text(wanted)}",
            statement.place,
            "names, order and types must agree: use AS and CAST",
        )
    query = Query(f"INSERTQUERY_{number}", sink.name, analysis)
    return replace(catalog, queries={**catalog.queries, query.id: query})


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
    return Catalog(
        {key: value for key, value in catalog.sources.items() if key != name},
        {key: value for key, value in catalog.queries.items() if key not in own},
    )


def _terminated(catalog: Catalog, statement: Statement) -> Catalog:
    name = str(statement.name)
    if name == "ALL":
        return replace(catalog, queries={})
    if name not in catalog.queries:
        raise SqlError(f"Unknown queryId: {name}", statement.place)
    queries = {key: value for key, value in catalog.queries.items() if key != name}
    return replace(catalog, queries=queries)


def _already(catalog: Catalog, statement: Statement) -> Catalog | None:
    """The catalog unchanged for IF NOT EXISTS, an error for an existing name, else None."""
    name = target(statement)
    if name not in catalog.sources:
        return None
    if statement.replaces:
        return None
    if statement.ast.args["if_not_exists"]:
        return catalog
    kind = catalog.sources[name].kind.lower()
    wanted = "table" if statement.kind in (Kind.CREATE_TABLE, Kind.CREATE_TABLE_AS) else "stream"
    raise SqlError(
        f"Cannot add {wanted} '{name}': A {kind} with the same name already exists",
        statement.place,
        stage=Stage.QUERY,
    )
