"""SHOW and LIST: streams, tables, queries, topics and so on, with a line for each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import duckdb

from opensea_metrics.core.errors import Place, SqlError, Stage
from opensea_metrics.deploy.embedded import metastore
from opensea_metrics.deploy.embedded.engine import Engine
from opensea_metrics.deploy.embedded.statements import server_properties
from opensea_metrics.deploy.embedded.statements.descriptions import (
    listed_query,
    query_description,
    source_description,
)
from opensea_metrics.deploy.embedded.statements.functions import category
from opensea_metrics.deploy.embedded.statements.replies import schema
from opensea_metrics.sql.language.catalog import custom_types
from opensea_metrics.sql.language.catalog.sources import Source
from opensea_metrics.sql.language.lowering.runnable import runnable
from opensea_metrics.sql.language.statements.statements import Statement


def listing(
    engine: Engine,
    cursor: duckdb.DuckDBPyConnection,
    statement: Statement,
    variables: Mapping[str, str],
    properties: Mapping[str, str],
    host: str,
) -> dict[str, Any]:
    """The reply to SHOW or LIST. ``host`` is the server's host and port.

    Raises SqlError for things that the embedded server does not list.
    """
    subject = str(statement.ast.this.name)
    extended = bool(statement.ast.args["extended"])
    reply: dict[str, Any] = {"statementText": statement.text}
    sources = engine.catalog.sources.values()
    match subject, extended:
        case ("STREAMS" | "TABLES"), _ if extended or statement.ast.args.get("described"):
            kind = subject.removesuffix("S")
            entries = [source_description(engine, cursor, s, extended) for s in sources if s.kind == kind]
            reply |= {"@type": "source_descriptions", "sourceDescriptions": entries}
        case "STREAMS", False:
            streams = [_listed(source) for source in sources if not source.is_table]
            reply |= {"@type": "streams", "streams": streams}
        case "TABLES", False:
            tables = [_listed(source) for source in sources if source.is_table]
            reply |= {"@type": "tables", "tables": tables}
        case "QUERIES", False:
            entries = [listed_query(engine, query) for query in engine.catalog.queries.values()]
            reply |= {"@type": "queries", "queries": entries}
        case "QUERIES", True:
            entries = [
                query_description(engine, cursor, query, host) for query in engine.catalog.queries.values()
            ]
            reply |= {"@type": "query_descriptions", "queryDescriptions": entries}
        case ("TOPICS" | "ALL TOPICS"), _:
            entries = [
                {
                    "name": topic.name,
                    "replicaInfo": [topic.replicas] * topic.partitions,
                    **(_consumers(engine, topic) if extended else {}),
                }
                for topic in engine.topics().values()
            ]
            kind = "kafka_topics_extended" if extended else "kafka_topics"
            reply |= {"@type": kind, "topics": entries}
        case "FUNCTIONS", False:
            entries = [
                {
                    "name": function.name,
                    "type": function.kind.upper(),
                    "category": category(function.name, function.kind),
                }
                for function in runnable().values()
            ]
            reply |= {"@type": "function_names", "functions": entries}
        case "PROPERTIES", False:
            state_dir = str(engine.database_file.parent)
            reply |= {"@type": "properties", **server_properties.shown(properties, state_dir, host)}
        case "TYPES", False:
            types = engine.catalog.types
            shown = {name: schema(custom_types.type_of(types, name, statement)) for name in sorted(types)}
            reply |= {"@type": "type_list", "types": shown}
        case "VARIABLES", False:
            entries = [{"name": name, "value": value} for name, value in variables.items()]
            reply |= {"@type": "variables", "variables": entries}
        case ("CONNECTORS" | "CONNECTOR PLUGINS" | "SOURCE CONNECTORS" | "SINK CONNECTORS"), _:
            raise no_connect()
        case _:
            word = subject.split(" ")[0]
            place = statement.place
            column = place.column + len(statement.text.split(None, 1)[0]) + 1
            raise SqlError(
                f"Syntax error at or near '{word}' at line {place.line}:{column}",
                Place(place.file, place.line, column),
                "the embedded server shows STREAMS, TABLES, QUERIES, TOPICS, FUNCTIONS, PROPERTIES, TYPES"
                " and VARIABLES",
                stage=Stage.SYNTAX,
            )
    return {**reply, "warnings": []}


def no_connect() -> SqlError:
    """The error for statements about connectors: that of a server that cannot reach Kafka Connect."""
    return SqlError("Could not connect to the server. The embedded server runs no Kafka Connect.", code=50000)


def _consumers(engine: Engine, topic: metastore.TopicInfo) -> dict[str, int]:
    """How many queries read a topic; each has a consumer for each partition."""
    queries = engine.catalog.queries.values()
    groups = sum(topic.name in {source.topic for source in query.analysis.sources} for query in queries)
    return {"consumerCount": groups * topic.partitions, "consumerGroupCount": groups}


def _listed(source: Source) -> dict[str, Any]:
    return {
        "type": source.kind,
        "name": source.name,
        "topic": source.topic,
        "keyFormat": source.key_format,
        "valueFormat": source.value_format,
        "isWindowed": source.window is not None,
    }
