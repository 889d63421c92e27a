"""DESCRIBE and EXPLAIN: streams, tables and queries in detail."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import duckdb

from opensea_metrics.core.errors import SqlError
from opensea_metrics.deploy.embedded.engine import Engine
from opensea_metrics.deploy.embedded.statements import query_plans
from opensea_metrics.deploy.embedded.statements.functions import function_description
from opensea_metrics.deploy.embedded.statements.replies import SERVICE_ID, schema
from opensea_metrics.deploy.embedded.topics.positions import positions
from opensea_metrics.deploy.embedded.topics.readers import Reader, is_sent, readers_of
from opensea_metrics.sql.language.catalog.catalog import Catalog, Query
from opensea_metrics.sql.language.catalog.changes import applied
from opensea_metrics.sql.language.catalog.custom_types import with_types
from opensea_metrics.sql.language.catalog.sources import Column, Source
from opensea_metrics.sql.language.queries.analysis import Analysis
from opensea_metrics.sql.language.queries.resolution import analyse
from opensea_metrics.sql.language.statements.parser import parse_statement
from opensea_metrics.sql.language.statements.statements import Kind, Statement


def described(catalog: Catalog, statement: Statement) -> Source:
    """The stream or table that a DESCRIBE names. Raises SqlError if it does not exist."""
    name = statement.name or ""
    if name not in catalog.sources:
        raise SqlError(f"Could not find STREAM/TABLE '{name}' in the Metastore")
    return catalog.sources[name]


def description(engine: Engine, cursor: duckdb.DuckDBPyConnection, statement: Statement) -> dict[str, Any]:
    """DESCRIBE name [EXTENDED] and DESCRIBE FUNCTION name. Raises SqlError for an unknown name."""
    if statement.ast.args["function"]:
        return function_description(statement, statement.name or "")
    source = described(engine.catalog, statement)
    extended = bool(statement.ast.args["extended"])
    return {
        "@type": "sourceDescription",
        "statementText": statement.text,
        "sourceDescription": source_description(engine, cursor, source, extended),
        "warnings": [],
    }


def explanation(
    engine: Engine, cursor: duckdb.DuckDBPyConnection, statement: Statement, properties: Mapping[str, str], host: str
) -> dict[str, Any]:
    """EXPLAIN of a query or statement. ``host`` is the server's host and port.

    Raises SqlError for an unknown query, or a statement without a query.
    """
    named = statement.ast.this
    if named is None:
        described = _explained_statement(engine, statement, properties)
    else:
        name = str(named.this).upper()
        if name not in engine.catalog.queries:
            raise SqlError(
                f"Query with id:{name} does not exist, "
                "use SHOW QUERIES to view the full set of queries."
            )
        described = query_description(engine, cursor, engine.catalog.queries[name], host)
    return {
        "@type": "queryDescription",
        "statementText": statement.text,
        "queryDescription": described,
        "warnings": [],
    }


def _explained_statement(engine: Engine, statement: Statement, properties: Mapping[str, str]) -> dict[str, Any]:
    """The description of the query that a statement would start."""
    explain = len("EXPLAIN")
    inner = parse_statement(" " * explain + statement.text[explain:])  # with the places of the whole statement
    catalog = engine.catalog
    if inner.kind is not Kind.SELECT and not inner.starts_query:
        raise SqlError("The provided statement does not run a ksql query")
    if inner.kind is Kind.SELECT:
        inner = with_types(inner, catalog.types)
        analysis = analyse(inner, inner.ast, dict(catalog.sources))
        query_id = f"transient_{analysis.source.name}_{time.time_ns()}"
        columns = list(analysis.columns)
        if not analysis.group:
            keys = [column for column in analysis.source.columns if column.is_key]
            columns = [*keys, *(replace(column, role=None) for column in columns)]
        description = described_query(query_id, inner, analysis, columns, None)
        return {**description, "overriddenProperties": dict(properties), "queryType": "PUSH"}
    after = applied(catalog, inner, engine.last_command + 1)
    query = next((q for i, q in after.queries.items() if i not in catalog.queries), None)
    if query is None:
        raise SqlError("The provided statement does not run a ksql query")
    sink = after.sources[query.sink]
    description = described_query(query.id, inner, query.analysis, list(sink.columns), sink)
    return {**description, "overriddenProperties": dict(properties)}


def listed_query(engine: Engine, query: Query) -> dict[str, Any]:
    """A query as SHOW QUERIES and DESCRIBE give it."""
    sink = engine.catalog.sources[query.sink]
    state = _state(engine, query)
    counted = "PAUSED" if query.id in engine.paused else state
    return {
        "queryString": query.analysis.statement.text,
        "sinks": [sink.name],
        "sinkKafkaTopics": [sink.topic],
        "id": query.id,
        "statusCount": {counted: 1},
        "queryType": "PERSISTENT",
        "state": state,
        **_errors(engine, query),
    }


def query_description(engine: Engine, cursor: duckdb.DuckDBPyConnection, query: Query, host: str) -> dict[str, Any]:
    """A running query as EXPLAIN gives it. ``host`` is the server's host and port."""
    sink = engine.catalog.sources[query.sink]
    state = _state(engine, query)
    return {
        **described_query(query.id, query.analysis.statement, query.analysis, list(sink.columns), sink),
        "ksqlHostQueryStatus": {host: state},
        "tasksMetadata": _tasks(engine, cursor, query),
        "state": state,
        **_errors(engine, query),
    }


def _state(engine: Engine, query: Query) -> str:
    return "ERROR" if query.id in engine.failures else "RUNNING"


def _tasks(engine: Engine, cursor: duckdb.DuckDBPyConnection, query: Query) -> list[dict[str, Any]]:
    """A task for each partition that a query reads."""
    return [
        {
            "taskId": f"{number}_{offset['partition']}",
            "topicOffsets": [
                {
                    "topicPartitionEntity": {"topic": summary["kafkaTopic"], "partition": offset["partition"]},
                    "endOffset": offset["logEndOffset"],
                    "committedOffset": offset["consumerOffset"],
                }
            ],
            "timeCurrentIdlingStarted": None,
        }
        for number, summary in enumerate(_offsets(engine, cursor, query)["topicSummaries"])
        for offset in summary["offsets"]
    ]


def _errors(engine: Engine, query: Query) -> dict[str, Any]:
    """Why a query fails. ksqlDB shows this only in SHOW QUERIES EXTENDED and EXPLAIN."""
    failure = engine.failures.get(query.id)
    return {"queryErrors": [{"errorMessage": failure, "type": "UNKNOWN"}]} if failure else {}


def described_query(
    query_id: str, statement: Statement, analysis: Analysis, columns: list[Column], sink: Source | None
) -> dict[str, Any]:
    """The description of a query as if it were not running."""
    return {
        "id": query_id,
        "statementText": statement.text,
        "windowType": analysis.window.kind if analysis.window and analysis.group else None,
        "fields": [_field(column) for column in columns],
        "sources": [source.name for source in (analysis.source, *analysis.joined)],
        "sinks": [sink.name] if sink else [],
        "topology": query_plans.topology(analysis, sink),
        "executionPlan": query_plans.execution_plan(analysis, columns, sink),
        "overriddenProperties": {},
        "ksqlHostQueryStatus": {},
        "queryType": "PERSISTENT",
        "queryErrors": [],
        "tasksMetadata": [],
        "consumerGroupId": f"_confluent-ksql-{SERVICE_ID}query_{query_id}",
        "state": None,
    }


def source_description(
    engine: Engine, cursor: duckdb.DuckDBPyConnection, source: Source, extended: bool
) -> dict[str, Any]:
    """A stream or table as DESCRIBE gives it."""
    writers = engine.catalog.writers(source.name)
    summaries = [_offsets(engine, cursor, query) for query in writers] if extended else []
    return {
        "name": source.name,
        "windowType": source.window.kind if source.window else None,
        "readQueries": [listed_query(engine, query) for query in engine.catalog.readers(source.name)],
        "writeQueries": [listed_query(engine, query) for query in writers],
        "fields": [_field(column) for column in source.columns],
        "type": source.kind,
        "timestamp": source.timestamp or "",
        "statistics": "",
        "errorStats": "",
        "extended": extended,
        "keyFormat": source.key_format,
        "valueFormat": source.value_format,
        "topic": source.topic,
        "partitions": engine.topic(source.topic).partitions(),
        "replication": source.replicas,
        "statement": source.statement.text,
        "queryOffsetSummaries": summaries,
        "sourceConstraints": [
            other.name
            for other in engine.catalog.sources.values()
            if source.name in other.statement.reads
        ],
        "clusterStatistics": [],
        "clusterErrorStats": [],
    }


def _offsets(engine: Engine, cursor: duckdb.DuckDBPyConnection, query: Query) -> dict[str, Any]:
    """How far a query has read the partitions of its topics."""
    return {
        "groupId": f"_confluent-ksql-{SERVICE_ID}query_{query.id}",
        "topicSummaries": [
            {"kafkaTopic": reader.source.topic, "offsets": _partitions(engine, cursor, reader)}
            for reader in readers_of(query)
        ],
    }


def _partitions(engine: Engine, cursor: duckdb.DuckDBPyConnection, reader: Reader) -> list[dict[str, int]]:
    name = reader.source.topic
    engine.discover(cursor, name)
    topic = engine.topic(name)
    # The query that computes a table sends its changes itself, so that their reader is never behind.
    reached = topic.ends(cursor) if is_sent(engine.catalog, reader) else positions(cursor, reader.id)
    keeps_rows = reader.query.analysis.is_aggregation or reader.query.analysis.is_ordered
    return [
        {
            "partition": partition.partition,
            "logStartOffset": partition.first,
            "logEndOffset": partition.end,
            "consumerOffset": partition.reached,
        }
        for partition in topic.offsets(cursor, reached, keeps_rows)
    ]


def _field(column: Column) -> dict[str, Any]:
    reply: dict[str, Any] = {"name": column.name, "schema": schema(column.type)}
    return {**reply, "type": "KEY"} if column.is_key else reply
