"""Adds the sources and queries of CREATE and INSERT INTO … SELECT to a catalog."""

from __future__ import annotations

from dataclasses import replace

from opensea_metrics.core.errors import SqlError, Stage
from opensea_metrics.core.types import NULL
from opensea_metrics.sql.language.catalog.catalog import Catalog, Query
from opensea_metrics.sql.language.catalog.changelog import check_changelog
from opensea_metrics.sql.language.catalog.declarations import (
    check_columns,
    columns_of,
    schema_text,
    target,
)
from opensea_metrics.sql.language.catalog.formats import check_formats, check_state
from opensea_metrics.sql.language.catalog.sources import Source, noted
from opensea_metrics.sql.language.catalog.upgrade import SourceDefinition, changes, refusals
from opensea_metrics.sql.language.catalog.with_clause import (
    count_of,
    format_of,
    properties_of,
    timestamp_of,
    topic_of,
    window_of,
)
from opensea_metrics.sql.language.queries.resolution import analyse
from opensea_metrics.sql.language.queries.windowed_sources import is_same
from opensea_metrics.sql.language.statements.parser import where
from opensea_metrics.sql.language.statements.statements import Kind, Statement


def declared(catalog: Catalog, statement: Statement, any_replacement: bool) -> Catalog:
    """The catalog with the source that a CREATE without AS declares. Raises SqlError."""
    if (known := _already(catalog, statement)) is not None:
        return known
    columns = columns_of(statement)
    properties = properties_of(statement)
    topic = topic_of(statement, properties)
    check_columns(statement, columns)
    topics = noted(catalog.topics, statement, topic)
    value_format = format_of(properties, "VALUE_FORMAT", None, statement)
    is_table = statement.kind is Kind.CREATE_TABLE
    source = Source(
        name=target(statement),
        kind="TABLE" if is_table else "STREAM",
        columns=tuple(columns),
        topic=topic,
        value_format=value_format,
        key_format=format_of(properties, "KEY_FORMAT", "KAFKA", statement),
        statement=statement,
        window=window_of(statement, properties, columns),
        timestamp=timestamp_of(statement, properties, columns),
        timestamp_format=properties.get("TIMESTAMP_FORMAT"),
        partitions=count_of(statement, properties, "PARTITIONS", topic, 1),
        replicas=count_of(statement, properties, "REPLICAS", topic, 1),
    )
    check_formats(statement, source, properties)
    if not any_replacement:
        _check_replaced(catalog, statement, SourceDefinition(source))
    return replace(catalog, sources={**catalog.sources, source.name: source}, topics=topics)


def created_as(
    catalog: Catalog, statement: Statement, number: int, any_replacement: bool
) -> Catalog:
    """The catalog with the sink and the query of a CREATE … AS SELECT. Raises SqlError."""
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
    check_changelog(catalog, statement, analysis)
    properties = properties_of(statement)
    name = target(statement)
    topic = topic_of(statement, properties, name)
    topics = noted(catalog.topics, statement, topic, source.topic)
    columns = analysis.columns
    key_format = format_of(properties, "KEY_FORMAT", source.key_format, statement)
    if key_format == "NONE" and any(column.is_key for column in columns):
        key_format = "KAFKA"  # for a source without a key
    sink = Source(
        name=name,
        kind="TABLE" if is_table else "STREAM",
        columns=columns,
        topic=topic,
        value_format=format_of(properties, "VALUE_FORMAT", source.value_format, statement),
        key_format=key_format,
        statement=statement,
        window=analysis.window if is_table else source.window,
        timestamp=timestamp_of(statement, properties, columns),
        timestamp_format=properties.get("TIMESTAMP_FORMAT"),
        partitions=count_of(statement, properties, "PARTITIONS", topic, source.partitions),
        replicas=count_of(statement, properties, "REPLICAS", topic, source.replicas),
    )
    check_state(statement, analysis)
    check_formats(statement, sink, properties)
    if not any_replacement:
        _check_replaced(catalog, statement, SourceDefinition(sink, analysis))
    query = Query(f"{'CTAS' if is_table else 'CSAS'}_{name}_{number}", name, analysis)
    replaced = {query.id for query in catalog.writers(name) if not query.id.startswith("INSERT")}
    others = {key: value for key, value in catalog.queries.items() if key not in replaced}
    queries = {**others, query.id: query}
    return replace(catalog, sources={**catalog.sources, name: sink}, queries=queries, topics=topics)


def inserting(catalog: Catalog, statement: Statement, number: int) -> Catalog:
    """The catalog with the query of an INSERT INTO … SELECT. Raises SqlError."""
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
    if sink.is_read_only:
        message = f"Cannot insert into read-only stream: {sink.name}"
        raise SqlError(message, statement.place, "a SOURCE stream is read-only", code=40000)
    analysis = analyse(statement, statement.ast.args["query"], dict(catalog.sources))
    if analysis.is_aggregation:
        raise SqlError("INSERT INTO … SELECT cannot aggregate", statement.place)
    if not is_same(analysis.source.window, sink.window):
        message = "Into can't change windowing"
        raise SqlError(message, statement.place, "insert into a stream with the same WINDOW_TYPE and WINDOW_SIZE")
    selected, wanted = analysis.columns, sink.columns
    compatible = len(selected) == len(wanted) and all(
        column.name == other.name and column.type in (NULL, other.type)
        for column, other in zip(selected, wanted, strict=True)
    )
    if not compatible:
        raise SqlError(
            "Incompatible schema between results and sink."
            f"\nResult schema is {schema_text(selected)}\nSink schema is {schema_text(wanted)}",
            statement.place,
            "make names, order and types agree: use AS and CAST",
        )
    query = Query(f"INSERTQUERY_{number}", sink.name, analysis)
    return replace(catalog, queries={**catalog.queries, query.id: query})


def _check_replaced(catalog: Catalog, statement: Statement, new: SourceDefinition) -> None:
    """Refuse a CREATE OR REPLACE that ksqlDB cannot make in place (sql/language/catalog/upgrade.py)."""
    old = catalog.definition(new.source.name)
    if old is None:
        return
    reasons = refusals(changes(old, new))
    if reasons:
        raise SqlError(
            "\n\tAND ".join(reasons),
            statement.place,
            "to apply the change, drop it and create it again in the same migration (its state is lost)."
            " Or build a new version beside the old one: apply --side-by-side",
        )


def _already(catalog: Catalog, statement: Statement) -> Catalog | None:
    """The unchanged catalog for IF NOT EXISTS, or None for a new name. Raises SqlError for an existing name."""
    name = target(statement)
    if name not in catalog.sources:
        return None
    if statement.replaces:
        if catalog.sources[name].is_read_only:
            kind = catalog.sources[name].kind.lower()
            message = f"Cannot add {kind} '{name}': CREATE OR REPLACE is not supported on source {kind}s."
            raise SqlError(message, statement.place, "drop it and create it again", stage=Stage.QUERY)
        return None
    if statement.keeps_existing:
        if topic := statement.topic:  # ksqlDB checks the topic anyway
            properties_of(statement)
            noted(catalog.topics, statement, topic)
        return catalog
    kind = catalog.sources[name].kind.lower()
    wanted = "table" if statement.kind in (Kind.CREATE_TABLE, Kind.CREATE_TABLE_AS) else "stream"
    raise SqlError(
        f"Cannot add {wanted} '{name}': A {kind} with the same name already exists",
        statement.place,
        stage=Stage.QUERY,
    )
