"""Statements change stored data here: topics, records, positions and states of queries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from time import time_ns
from typing import Any

import duckdb
from sqlglot import exp

from opensea_metrics.deploy.embedded import metastore
from opensea_metrics.deploy.embedded.queries import lifecycle, replaced_rows
from opensea_metrics.deploy.embedded.topics import feeds, inserts, partitioner
from opensea_metrics.deploy.embedded.topics.positions import set_positions
from opensea_metrics.deploy.embedded.topics.readers import readers_of
from opensea_metrics.deploy.embedded.topics.record_topic import TopicRecord
from opensea_metrics.deploy.embedded.topics.stored_topic import StoredTopics
from opensea_metrics.sql.language.catalog import custom_types
from opensea_metrics.sql.language.catalog.catalog import Catalog, Query
from opensea_metrics.sql.language.catalog.insert_values import stored
from opensea_metrics.sql.language.catalog.inserts import insert_columns, is_all_texts
from opensea_metrics.sql.language.catalog.sources import Source
from opensea_metrics.sql.language.lowering import support
from opensea_metrics.sql.language.lowering.duckdb.expressions import Lowering
from opensea_metrics.sql.language.lowering.refusals import EMBEDDED, Unsupported
from opensea_metrics.sql.language.queries.scope import Scope
from opensea_metrics.sql.language.statements.properties import reset_of
from opensea_metrics.sql.language.statements.statements import Kind, Statement
from opensea_metrics.sql.language.values.topic_json import dump


def check(
    cursor: duckdb.DuckDBPyConnection, statement: Statement, topics: StoredTopics, after: Catalog
) -> None:
    """Check whether the embedded server can change the catalog of ``topics`` to ``after``. Nothing is changed.

    Raises Unsupported if it cannot, and SqlError for values of INSERT … VALUES that do not fit.
    """
    before = topics.catalog
    support.check_statement(before, statement, after)
    support.check_replacement(before, statement, after)
    if statement.kind is Kind.INSERT_VALUES:
        _values(cursor, statement, before)
    for query in after.queries.values():
        if query.id not in before.queries:
            lifecycle.check(cursor, query, after.sources[query.sink].topic, before.queries.values())


def carry_out(
    cursor: duckdb.DuckDBPyConnection,
    statement: Statement,
    topics: StoredTopics,
    after: Catalog,
    properties: Mapping[str, str],
) -> tuple[str, str | None]:
    """Change the stored data from the catalog of ``topics`` to ``after``, within the caller's transaction.

    Returns the server's message and the id of the query that was started. :func:`check` must have passed the
    statement before. Raises Unsupported for a replacement that the records do not allow.
    """
    name, before = statement.name or "", topics.catalog
    match statement.kind:
        case Kind.CREATE_STREAM | Kind.CREATE_TABLE:
            _declare_topic(cursor, topics, statement, after.sources[name])
            replaced_rows.prepare(cursor, after)
            kind = "Stream" if statement.kind is Kind.CREATE_STREAM else "Table"
            return f"{kind} created", None
        case Kind.ALTER:
            kind = after.sources[name].kind.capitalize()
            return f"{kind} {name} altered.", None
        case Kind.CREATE_STREAM_AS | Kind.CREATE_TABLE_AS | Kind.INSERT_SELECT:
            query = next(q for i, q in after.queries.items() if i not in before.queries)
            if statement.kind is not Kind.INSERT_SELECT:
                _declare_topic(cursor, topics, statement, after.sources[name])
            replaced = [q for i, q in before.queries.items() if i not in after.queries]
            _begin(cursor, query, replace(topics, catalog=after), properties)
            for old in replaced:
                _take_over(cursor, query, old, topics, after)
            replaced_rows.prepare(cursor, after)
            return f"Created query with ID {query.id}", query.id
        case Kind.CREATE_TYPE:
            type_name = custom_types.name_of(statement)
            kind = str(custom_types.type_of(after.types, type_name, statement))
            return f"Registered custom type with name '{type_name}' and SQL type {kind}", None
        case Kind.DROP_TYPE:
            return f"Dropped type '{custom_types.name_of(statement)}'", None
        case Kind.DROP_STREAM | Kind.DROP_TABLE:
            topic = before.sources[name].topic
            _end_queries(cursor, topics, after, keeps_rows=not statement.deletes_topic)
            if statement.deletes_topic:
                topics.topic(topic).delete(cursor)
            return f"Source `{name}` (topic: {topic}) was dropped.", None
        case _:
            _end_queries(cursor, topics, after)
            return "Query terminated.", None


def changes_logs(before: Catalog, after: Catalog) -> bool:
    """True if :func:`carry_out` may have created or deleted tables of logs.

    A query over one stream writes its log's first table together with its first rows.
    """
    started = [query for name, query in after.queries.items() if name not in before.queries]
    is_less = not (before.queries.keys() <= after.queries.keys() and before.sources.keys() <= after.sources.keys())
    return is_less or any(query.analysis.is_ordered for query in started)


def unchanged(statement: Statement, catalog: Catalog) -> str:
    """The message for a statement with IF EXISTS or IF NOT EXISTS that did not change the catalog."""
    if statement.kind is Kind.CREATE_TYPE:
        name = custom_types.name_of(statement)
        return f"{name} is already registered with type {custom_types.type_of(catalog.types, name, statement)}"
    if statement.kind is Kind.DROP_TYPE:
        return f"Type '{custom_types.name_of(statement)}' does not exist"
    if statement.kind in (Kind.DROP_STREAM, Kind.DROP_TABLE):
        return f"Source `{statement.name}` does not exist."
    kind = "stream" if "stream" in statement.kind.value else "table"
    return f"Cannot add {kind} `{statement.name}`: A {kind} with the same name already exists."


def insert(
    cursor: duckdb.DuckDBPyConnection, statements: Iterable[Statement], topics: StoredTopics
) -> None:
    """Add the records of INSERT … VALUES statements to their topics, in order. Raises SqlError."""
    sources = topics.catalog.sources
    for name, same in groupby(statements, lambda statement: sources[statement.name or ""].topic):
        topic = topics.topic(name)
        topic.append(cursor, [_record(cursor, item, topics.catalog, topic.partitions()) for item in same])


def _record(
    cursor: duckdb.DuckDBPyConnection, statement: Statement, catalog: Catalog, partitions: int
) -> TopicRecord:
    """The record of an INSERT … VALUES into a topic with this number of ``partitions``. Raises SqlError."""
    source, time, key, value = _values(cursor, statement, catalog)
    partition = partitioner.partition(source, key, partitions)
    written_value = dump(value).decode() if source.has_value(value) else None
    return TopicRecord(time, dump(key).decode() if key else None, written_value, partition)


def _values(
    cursor: duckdb.DuckDBPyConnection, statement: Statement, catalog: Catalog
) -> tuple[Source, Any, dict[str, Any], dict[str, Any]]:
    """The source, ROWTIME, the key's and the value's columns of an INSERT … VALUES. Raises SqlError.

    The statement keeps them, because its check and its execution need the same.
    """
    kept: tuple[Source, Any, dict[str, Any], dict[str, Any]] | None = statement.memo.get("values")
    if kept is not None and kept[0] is catalog.sources.get(statement.name or ""):
        return kept
    scope = Scope(statement, {})

    def compute(part: exp.Expression) -> Any:
        row = cursor.execute(f"SELECT {Lowering(scope).whole(part)}").fetchone()
        assert row is not None
        return row[0]

    columns = insert_columns(catalog, statement, compute)
    source = catalog.sources[statement.name or ""]
    inserts.check_topic(source)
    expressions = statement.ast.expressions
    values: Sequence[Any] | None
    if is_all_texts(statement):
        values = [str(expression.this) for expression in expressions]
    else:
        written = ", ".join(Lowering(scope).whole(value) for value in expressions)
        values = cursor.execute(f"SELECT {written}").fetchone()
    assert values is not None
    time: Any = time_ns() // 1_000_000
    key: dict[str, Any] = {}
    value: dict[str, Any] = {}
    for column, given, expression in zip(columns, values, expressions, strict=False):
        fitted = stored(source.name, column, given, expression, scope)
        if column.name == "ROWTIME":
            time = fitted
        else:
            (key if column.is_key else value)[column.name] = fitted
    kept = statement.memo["values"] = source, time, key, value
    return kept


def _declare_topic(
    cursor: duckdb.DuckDBPyConnection, topics: StoredTopics, statement: Statement, source: Source
) -> None:
    partitions = source.partitions
    given = statement.properties.get("RETENTION_MS")
    retention = None if given is None else int(given)
    if "PARTITIONS" not in statement.properties:
        of_files = metastore.partitions_of_files(topics.register.root, source.topic)
        partitions = max(partitions, of_files)
    topics.topic(source.topic).ensure(cursor, partitions, source.replicas, retention)


def _begin(
    cursor: duckdb.DuckDBPyConnection, query: Query, topics: StoredTopics, properties: Mapping[str, str]
) -> None:
    lifecycle.begin(cursor, query, topics.catalog)
    if reset_of(properties) == "latest":
        for reader in readers_of(query):
            if not reader.source.is_table:  # ksqlDB reads tables from their beginning
                set_positions(cursor, reader.id, topics.topic(reader.source.topic).ends(cursor))


def _take_over(
    cursor: duckdb.DuckDBPyConnection, query: Query, old: Query, topics: StoredTopics, after: Catalog
) -> None:
    """CREATE OR REPLACE: the new query continues at the old query's positions, with its state.

    A query over a table begins again, because ksqlDB's pull queries see the new definition of all rows.
    """
    analysis, source = query.analysis, old.analysis.source
    if analysis.is_ordered:
        _end_queries(cursor, topics, after, keeps_rows=False)
        return
    if not analysis.is_aggregation and feeds.feeds(topics.catalog, topics.logs, source.topic):
        feature = f"CREATE OR REPLACE of a stream over {source.name}, which a query writes,"
        raise Unsupported(feature, EMBEDDED, analysis.statement.place)
    lifecycle.take_over(cursor, query, old)
    if not analysis.is_aggregation:
        _end_queries(cursor, topics, after)


def _end_queries(
    cursor: duckdb.DuckDBPyConnection, topics: StoredTopics, after: Catalog, keeps_rows: bool = True
) -> None:
    """End the queries that are not in ``after``. Their rows stay if ``keeps_rows``, that is, if the topic stays."""
    for query_id in topics.catalog.queries:
        if query_id not in after.queries:
            if keeps_rows:
                topics.leave_rows(cursor, query_id)
            lifecycle.end(cursor, query_id)
