"""The catalog: which streams, tables and queries there are after some statements.

``Catalog`` is plain data; :func:`applied` gives the catalog after one more statement, or says why
that statement is refused. The rules are ksqlDB's (shared/ksqldb-facts.md); the embedded server and
the checks before a migration use the same ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from sqlglot import exp

from sql.analysis import (
    Analysis,
    Column,
    Source,
    Window,
    aggregates,
    analyse,
)
from sql.errors import SqlError, SqlErrors, Stage
from sql.functions import known
from sql.inference import Scope, infer
from sql.parser import where
from sql.project import Project
from sql.statements import Kind, Statement
from sql.types import (
    BIGINT,
    NULL,
    STRING,
    TIMESTAMP,
    KsqlType,
    common,
    from_ast,
    name_of,
    unknown_type,
)
from sql.upgrade import Definition, changes, refusals

_PROPERTIES = {
    "KAFKA_TOPIC", "VALUE_FORMAT", "KEY_FORMAT", "FORMAT", "PARTITIONS", "REPLICAS", "TIMESTAMP",
    "TIMESTAMP_FORMAT", "RETENTION_MS", "CLEANUP_POLICY", "WINDOW_TYPE", "WINDOW_SIZE",
    "WRAP_SINGLE_VALUE", "VALUE_DELIMITER", "KEY_SCHEMA_ID", "VALUE_SCHEMA_ID",
    "VALUE_SCHEMA_FULL_NAME", "KEY_SCHEMA_FULL_NAME",
}  # fmt: skip
_FORMATS = {
    "JSON", "JSON_SR", "KAFKA", "AVRO", "PROTOBUF", "PROTOBUF_NOSR", "DELIMITED", "NONE",
}  # fmt: skip
_MILLISECONDS = {"SECOND": 1_000, "MINUTE": 60_000, "HOUR": 3_600_000, "DAY": 86_400_000}


@dataclass(frozen=True)
class Query:
    """A persistent query: ``id`` as a server names it, the sink it writes, its SELECT resolved."""

    id: str
    sink: str
    analysis: Analysis

    @property
    def reads(self) -> tuple[str, ...]:
        """The names of the sources."""
        return (self.analysis.source.name, *(source.name for source in self.analysis.joined))


@dataclass(frozen=True)
class Catalog:
    """Sources by name and running queries by id, in order of creation."""

    sources: Mapping[str, Source] = field(default_factory=dict)
    queries: Mapping[str, Query] = field(default_factory=dict)

    def readers(self, name: str) -> list[Query]:
        """The queries that read a source."""
        return [query for query in self.queries.values() if name in query.reads]

    def definition(self, name: str) -> Definition | None:
        """A source with the SELECT that fills it, None if there is no such source."""
        if name not in self.sources:
            return None
        own = [each for each in self.writers(name) if not each.id.startswith("INSERT")]
        return Definition(self.sources[name], own[0].analysis if own else None)

    def writers(self, name: str) -> list[Query]:
        """The queries that write into a source."""
        return [query for query in self.queries.values() if query.sink == name]

    def fed_by(self, topic: str) -> list[str]:
        """Ids of the queries that a record in a topic may concern, in order of creation: those that
        read the topic, and those that read what a stream's query makes of it."""
        reached = {topic}
        for query in self.queries.values():  # a query is younger than what it reads
            if query.analysis.source.topic in reached and not query.analysis.is_aggregation:
                reached.add(self.sources[query.sink].topic)
        return [
            query.id for query in self.queries.values() if query.analysis.source.topic in reached
        ]


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


def insert_columns(catalog: Catalog, statement: Statement) -> tuple[Column, ...]:
    """The columns that an INSERT … VALUES fills, in the order of its values. Raises SqlError."""
    name = _name(statement)
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
            f"{name} has the columns {_schema(columns)}",
        )
    scope = Scope(statement, {})
    for column, value in zip(columns, values, strict=True):
        kind = infer(value, scope)
        if not _takes(column.type, kind):
            raise SqlError(
                f"{failed} Expected type {column.type} for field `{column.name}` but got "
                f"{kind}({value.this if isinstance(value, exp.Literal) else value.sql('ksqldb')})",
                where(statement, value),
            )
    missing = [c.name for c in source.columns if c.role == "PRIMARY KEY" and c not in columns]
    if missing:
        raise SqlError(
            f"{failed} Value for primary key column(s) {', '.join(missing)} is required for tables",
            statement.place,
        )
    return columns


def _takes(column: KsqlType, value: KsqlType) -> bool:
    """Whether a value fits into a column without a cast: it is no wider."""
    wider = common(column, value)
    return wider == column or (wider is not None and column.name == "DECIMAL")


def _declared(catalog: Catalog, statement: Statement, any_replacement: bool) -> Catalog:
    if (known := _already(catalog, statement)) is not None:
        return known
    columns = _declared_columns(statement)
    properties = _properties(statement)
    if "KAFKA_TOPIC" not in properties:
        raise SqlError(
            'Missing required property "KAFKA_TOPIC" which has no default value.',
            statement.place,
            stage=Stage.PREPARE,
        )
    _check_columns(statement, columns)
    value_format = _format(properties, "VALUE_FORMAT", None, statement)
    is_table = statement.kind is Kind.CREATE_TABLE
    source = Source(
        name=_name(statement),
        kind="TABLE" if is_table else "STREAM",
        columns=tuple(columns),
        topic=properties["KAFKA_TOPIC"],
        value_format=value_format,
        key_format=_format(properties, "KEY_FORMAT", "KAFKA", statement),
        statement=statement,
        window=_declared_window(statement, properties, columns),
        timestamp=_timestamp(statement, properties, columns),
        partitions=int(properties.get("PARTITIONS", 1)),
        replicas=int(properties.get("REPLICAS", 1)),
    )
    if not any_replacement:
        _check_replaced(catalog, statement, Definition(source))
    return replace(catalog, sources={**catalog.sources, source.name: source})


def _declared_columns(statement: Statement) -> list[Column]:
    columns = []
    for definition in statement.ast.expressions:
        kind = from_ast(definition.args["kind"])
        if kind is None:
            raise SqlError(
                f"Cannot resolve unknown type: {unknown_type(definition.args['kind'])}",
                where(statement, definition.this),
                f"of column {name_of(definition.this)}; ksqlDB's types: BOOLEAN INTEGER BIGINT DOUBLE"
                " DECIMAL(p,s) VARCHAR BYTES DATE TIME TIMESTAMP ARRAY<> MAP<,> STRUCT<…>",
                stage=Stage.PREPARE,
            )
        columns.append(Column(name_of(definition.this), kind, definition.args.get("role")))
    return columns


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
    source = catalog.sources.get(_name(statement))
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
    for column in _declared_columns(statement):
        if column.name in {each.name for each in columns}:
            raise SqlError(
                f"Cannot add column `{column.name}` to schema. A column with the same name already"
                " exists.",
                statement.place,
            )
        columns.append(column)
    altered = replace(source, columns=tuple(columns))
    return replace(catalog, sources={**catalog.sources, source.name: altered})


def _check_columns(statement: Statement, columns: list[Column]) -> None:
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


def _timestamp(
    statement: Statement, properties: Mapping[str, str], columns: list[Column]
) -> str | None:
    """The column that the TIMESTAMP property names."""
    written = properties.get("TIMESTAMP")
    if written is None:
        return None
    if "->" in written:
        raise SqlError(
            f"Cannot parse text that is not column reference: {written}",
            statement.place,
            "only a top-level column of the value can be the timestamp",
        )
    known = {column.name: column for column in columns}
    column = known.get(written, known.get(written.upper()))
    if column is None:
        raise SqlError(
            "The TIMESTAMP column set in the WITH clause does not exist in the schema: "
            f"'{written.upper()}'",
            statement.place,
        )
    if column.type not in (BIGINT, TIMESTAMP) and not (
        column.type == STRING and "TIMESTAMP_FORMAT" in properties
    ):
        raise SqlError(
            f"Timestamp column, `{column.name}`, should be LONG(INT64), TIMESTAMP, or a String with a "
            "timestamp_format specified.",
            statement.place,
        )
    return column.name


def _declared_window(
    statement: Statement, properties: Mapping[str, str], columns: Iterable[Column]
) -> Window | None:
    kind = properties.get("WINDOW_TYPE")
    if kind is None:
        return None
    if not any(column.is_key for column in columns):
        raise SqlError("Windowed sources require a key column.", statement.place)
    size = 0
    if kind.upper() != "SESSION":
        amount, _, unit = properties.get("WINDOW_SIZE", "").partition(" ")
        scale = _MILLISECONDS.get(unit.strip().upper().removesuffix("S"))
        if not amount.isdigit() or scale is None:
            raise SqlError(
                f"{kind.upper()} windows require 'WINDOW_SIZE' to be provided in the WITH clause. "
                "For example: 'WINDOW_SIZE'='10 SECONDS'",
                statement.place,
                stage=Stage.PREPARE,
            )
        size = int(amount) * scale
    return Window(kind.upper(), size, size, 0)


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
    _check_changelog(catalog, statement, analysis)
    properties = _properties(statement)
    name = _name(statement)
    columns = analysis.columns
    key_format = _format(properties, "KEY_FORMAT", source.key_format, statement)
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
        value_format=_format(properties, "VALUE_FORMAT", source.value_format, statement),
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
    sink = catalog.sources.get(_name(statement))
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
            f"\nResult schema is {_schema(made)}\nSink schema is {_schema(wanted)}",
            statement.place,
            "names, order and types must agree: use AS and CAST",
        )
    query = Query(f"INSERTQUERY_{number}", sink.name, analysis)
    return replace(catalog, queries={**catalog.queries, query.id: query})


def _schema(columns: Iterable[Column]) -> str:
    return ", ".join(
        f"`{column.name}` {column.type}{' KEY' if column.is_key else ''}" for column in columns
    )


def _check_changelog(catalog: Catalog, statement: Statement, analysis: Analysis) -> None:
    """A stream over a table's topic repeats a key with every change: summing it would be wrong."""
    if not analysis.is_aggregation or not _over_table_topic(catalog, analysis.source):
        return
    for projection in analysis.projections:
        for call in aggregates(projection.expression):
            function = known()[str(call.this)]
            if not function.changelog_safe:
                safe = ", ".join(sorted(f.name for f in known().values() if f.changelog_safe))
                raise SqlError(
                    f"{function.name} over {analysis.source.name} would count a key again with "
                    "each of its changes, as that stream is declared over a table's topic",
                    where(statement, call),
                    f"aggregates that bear repeats: {safe}",
                )


def _over_table_topic(catalog: Catalog, source: Source) -> bool:
    if source.is_table:
        return False
    topics = {other.topic for other in catalog.sources.values() if other.is_table}
    if source.topic in topics:
        return True
    return any(
        _over_table_topic(catalog, catalog.sources[name])
        for query in catalog.writers(source.name)
        for name in query.reads
        if name in catalog.sources
    )


def _dropped(catalog: Catalog, statement: Statement) -> Catalog:
    name = _name(statement)
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
    name = _name(statement)
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


def _name(statement: Statement) -> str:
    assert statement.name is not None
    return statement.name


def _properties(statement: Statement) -> dict[str, str]:
    properties = statement.properties
    for name in properties:
        if name not in _PROPERTIES:
            raise SqlError(
                f"Invalid config variable(s) in the WITH clause: {name}",
                statement.place,
                stage=Stage.PREPARE,
            )
    for name in ("PARTITIONS", "REPLICAS", "RETENTION_MS"):
        if not properties.get(name, "0").lstrip("-").isdigit():
            raise SqlError(
                f"Invalid value {properties[name]} for property {name}: Not a number of type INT",
                statement.place,
                stage=Stage.PREPARE,
            )
    return properties


def _format(
    properties: Mapping[str, str], name: str, default: str | None, statement: Statement
) -> str:
    found = properties.get(name) or properties.get("FORMAT") or default
    if found is None:
        raise SqlError(
            f"Statement is missing the '{name}' property from the WITH clause. Either provide one or "
            f"set a default via the 'ksql.persistence.default.format.{name.split('_')[0].lower()}' "
            "config.",
            statement.place,
        )
    if found.upper() not in _FORMATS:
        raise SqlError(f"Unknown format: {found.upper()}", statement.place)
    return found.upper()
