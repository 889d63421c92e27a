"""Answers in the shapes that ksqlDB 7.9.1 gives them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import duckdb

from deploy.embedded import metastore, persistent
from deploy.embedded.engine import Engine, Outcome
from deploy.embedded.reader import FILES, INSERTED
from sql import functions
from sql.analysis import Analysis, Column, Source, analyse
from sql.catalog import Catalog, Query, applied
from sql.errors import Place, SqlError, Stage
from sql.parser import parse_statement
from sql.statements import Kind, Statement
from sql.types import schema
from udfs.definition import Definition
from udfs.types import declaration

VERSION = "7.9.1"
SERVICE_ID = "embedded_"
_CLUSTER_ID = "embedded"

INFO = {
    "KsqlServerInfo": {
        "version": VERSION,
        "kafkaClusterId": _CLUSTER_ID,
        "ksqlServiceId": SERVICE_ID,
        "serverStatus": "RUNNING",
    }
}
METADATA = {
    "version": VERSION,
    "clusterId": {
        "scope": {
            "path": [],
            "clusters": {"kafka-cluster": _CLUSTER_ID, "ksql-cluster": SERVICE_ID},
        },
        "id": "",
    },
}


def healthcheck(engine: Engine) -> dict[str, Any]:
    """Healthy while no query fails."""
    healthy = not engine.failures
    parts = ("metastore", "kafka", "commandRunner")
    return {
        "isHealthy": healthy,
        "details": {part: {"isHealthy": healthy or part != "commandRunner"} for part in parts},
        "serverState": "READY",
    }


def current_status(statement: Statement, outcome: Outcome) -> dict[str, Any]:
    """The answer to a command; the embedded server has always carried it out already."""
    return {
        "@type": "currentStatus",
        "statementText": statement.text,
        "commandId": command_id(statement),
        "commandStatus": {
            "status": "SUCCESS",
            "message": outcome.message,
            "queryId": outcome.query_id,
        },
        "commandSequenceNumber": outcome.number,
        "warnings": [],
    }


def command_id(statement: Statement) -> str:
    """Such as ``stream/`EVENTS`/create``, ``table/T/drop``, ``terminate/CTAS_T_1/execute``."""
    if statement.kind in (Kind.TERMINATE, Kind.PAUSE, Kind.RESUME):
        return f"{statement.kind.value}/{statement.name}/execute"
    if statement.kind is Kind.ALTER:
        return f"{str(statement.ast.args['kind']).lower()}/{statement.name}/alter"
    if statement.kind in (Kind.DROP_STREAM, Kind.DROP_TABLE):
        return f"{statement.kind.value.split()[1]}/{statement.name}/drop"
    kind = "table" if "table" in statement.kind.value else "stream"
    return f"{kind}/`{statement.name}`/create"


def warning(statement: Statement, message: str) -> dict[str, Any]:
    """CREATE … IF NOT EXISTS of what exists."""
    return {
        "@type": "warning_entity",
        "statementText": statement.text,
        "message": message,
        "warnings": [],
    }


def error(text: str, error: SqlError, creates: bool = False) -> tuple[dict[str, Any], int]:
    """A refused statement or request, and the HTTP status.

    ksqlDB's own sentence comes first, so that who looks for it finds it, and then what it does not say:
    the place and the hint. ``creates``: it is a CREATE … AS SELECT.
    """
    message = error.message
    if error.located and error.place:
        message = f"Line: {error.place.line}, Col: {error.place.column}: {message}"
    if error.stage is Stage.SYNTAX and error.place:
        message = f"line {error.place.line}:{error.place.column}: Syntax Error\n{message}"
    elif error.stage is not Stage.QUERY or creates:
        message = error.stage.value + message if error.stage is not Stage.SYNTAX else message
    if error.place and not error.located and error.stage is not Stage.SYNTAX:
        message += f"\nat line {error.place.line}, column {error.place.column}"
    if error.hint:
        message += f"\n{error.hint}"
    if error.code in _STATEMENT_ERRORS:
        reply = {
            "@type": "statement_error",
            "error_code": error.code,
            "message": message,
            "statementText": text,
            "entities": [],
        }
    else:
        reply = generic_error(error.code, message)
    return reply, error.code // 100


_STATEMENT_ERRORS = (40001, 40002, 50000)
"""The rest says nothing of a statement (tests/embedded/replies/errors.yml)."""


def generic_error(code: int, message: str) -> dict[str, Any]:
    """A request that could not be understood, or not be carried out."""
    return {"@type": "generic_error", "error_code": code, "message": message}


def described(catalog: Catalog, statement: Statement) -> Source:
    """What a DESCRIBE names. Raises SqlError for what does not exist."""
    name = statement.name or ""
    if name not in catalog.sources:
        raise SqlError(f"Could not find STREAM/TABLE '{name}' in the Metastore")
    return catalog.sources[name]


def sequence_timeout(number: int) -> dict[str, Any]:
    """A commandSequenceNumber that no command has (ksqldb-replies/err_command_sequence_timeout)."""
    return generic_error(
        50301,
        "Timed out while waiting for a previous command to execute. command sequence number:"
        f" {number}",
    )


def listing(
    engine: Engine,
    cursor: duckdb.DuckDBPyConnection,
    statement: Statement,
    variables: Mapping[str, str],
    properties: Mapping[str, str],
) -> dict[str, Any]:
    """SHOW / LIST. Raises SqlError for what the embedded server does not list."""
    what = str(statement.ast.this.name)
    extended = bool(statement.ast.args["extended"])
    reply: dict[str, Any] = {"statementText": statement.text}
    sources = engine.catalog.sources.values()
    match what, extended:
        case ("STREAMS" | "TABLES"), _ if extended or statement.ast.args.get("described"):
            kind = what.removesuffix("S")
            found = [_source(engine, cursor, s, extended) for s in sources if s.kind == kind]
            reply |= {"@type": "source_descriptions", "sourceDescriptions": found}
        case "STREAMS", False:
            streams = [_listed(source) for source in sources if not source.is_table]
            reply |= {"@type": "streams", "streams": streams}
        case "TABLES", False:
            tables = [_listed(source) for source in sources if source.is_table]
            reply |= {"@type": "tables", "tables": tables}
        case "QUERIES", False:
            found = [_query(engine, query) for query in engine.catalog.queries.values()]
            reply |= {"@type": "queries", "queries": found}
        case "QUERIES", True:
            found = [_explained(engine, query) for query in engine.catalog.queries.values()]
            reply |= {"@type": "query_descriptions", "queryDescriptions": found}
        case ("TOPICS" | "ALL TOPICS"), _:
            found = [
                {
                    "name": topic.name,
                    "replicaInfo": [topic.replicas] * topic.partitions,
                    **(_consumers(engine, topic) if extended else {}),
                }
                for topic in metastore.list_topics(cursor, engine.root)
            ]
            kind = "kafka_topics_extended" if extended else "kafka_topics"
            reply |= {"@type": kind, "topics": found}
        case "FUNCTIONS", False:
            found = [
                {"name": function.name, "type": function.kind.upper(), "category": "OTHER"}
                for function in functions.known().values()
            ]
            reply |= {"@type": "function_names", "functions": found}
        case "PROPERTIES", False:
            reply |= {
                "@type": "properties",
                "properties": _PROPERTIES,
                "overwrittenProperties": list(properties),
                "defaultProperties": [item["name"] for item in _PROPERTIES],
            }
        case "TYPES", False:
            reply |= {"@type": "type_list", "types": {}}
        case "VARIABLES", False:
            found = [{"name": name, "value": value} for name, value in variables.items()]
            reply |= {"@type": "variables", "variables": found}
        case "CONNECTORS", False:
            raise SqlError(
                "Could not connect to the server. The embedded server runs no Kafka Connect.", code=50000
            )
        case _:
            word = what.split(" ")[0]
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


def _consumers(engine: Engine, topic: metastore.TopicInfo) -> dict[str, int]:
    """How many queries read a topic; each has a consumer for each partition."""
    queries = engine.catalog.queries.values()
    groups = sum(query.analysis.source.topic == topic.name for query in queries)
    return {"consumerCount": groups * topic.partitions, "consumerGroupCount": groups}


_PROPERTIES = [
    {"name": name, "scope": "KSQL", "value": value, "editable": False, "level": "SERVER"}
    for name, value in {
        "ksql.service.id": SERVICE_ID,
        "ksql.streams.auto.offset.reset": "earliest",
        "ksql.query.pull.table.scan.enabled": "true",
    }.items()
]


def description(
    engine: Engine, cursor: duckdb.DuckDBPyConnection, statement: Statement
) -> dict[str, Any]:
    """DESCRIBE name [EXTENDED] and DESCRIBE FUNCTION name. Raises SqlError for an unknown name."""
    if statement.ast.args["function"]:
        return _function(statement, statement.name or "")
    source = described(engine.catalog, statement)
    extended = bool(statement.ast.args["extended"])
    return {
        "@type": "sourceDescription",
        "statementText": statement.text,
        "sourceDescription": _source(engine, cursor, source, extended),
        "warnings": [],
    }


def explanation(
    engine: Engine, statement: Statement, properties: Mapping[str, str]
) -> dict[str, Any]:
    """EXPLAIN of a query or statement. Raises SqlError for an unknown query, or no query."""
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
        described = _explained(engine, engine.catalog.queries[name])
    return {
        "@type": "queryDescription",
        "statementText": statement.text,
        "queryDescription": described,
        "warnings": [],
    }


def _explained_statement(
    engine: Engine, statement: Statement, properties: Mapping[str, str]
) -> dict[str, Any]:
    """What a statement would run, if it were sent."""
    inner = parse_statement(statement.text[len("EXPLAIN") :].strip())
    catalog = engine.catalog
    if inner.kind is Kind.SELECT:
        analysis = analyse(inner, inner.ast, dict(catalog.sources))
        query_id = f"transient_{analysis.source.name}_{time.time_ns()}"
        keys = [c for c in analysis.source.columns if c.is_key] if not analysis.group else []
        selected = [replace(column, role=None) for column in analysis.columns]
        if analysis.group:
            selected = list(analysis.columns)
        description = _described(query_id, inner, analysis, [*keys, *selected], None)
        return {**description, "overriddenProperties": dict(properties), "queryType": "PUSH"}
    after = applied(catalog, inner, engine.last_command + 1)
    query = next((q for i, q in after.queries.items() if i not in catalog.queries), None)
    if query is None:
        raise SqlError("The provided statement does not run a ksql query")
    sink = after.sources[query.sink]
    description = _described(query.id, inner, query.analysis, list(sink.columns), sink.name)
    return {**description, "overriddenProperties": dict(properties)}


def _function(statement: Statement, name: str) -> dict[str, Any]:
    function = functions.find(name)
    if function is None:
        written = str(statement.ast.this.this)
        raise SqlError(f"Can't find any functions with the name '{written}'", code=40000)
    if function.definition is not None:
        return _python_function(statement, function.definition)
    arguments = [
        {
            "name": f"val{index + 1}",
            "type": _type_name(parameter.strip("[].").removesuffix("0")),
            "description": "",
            "isVariadic": parameter.endswith("..."),
        }
        for index, parameter in enumerate(function.parameters)
    ]
    return _function_description(
        statement, function.name, function.kind, function.signature, arguments, function.result
    )


def _python_function(statement: Statement, definition: Definition) -> dict[str, Any]:
    arguments = [
        {
            "name": parameter.name,
            "type": declaration(parameter.type, quote=""),
            "description": parameter.description,
            "isVariadic": False,
        }
        for parameter in (*definition.parameters, *definition.constants)
    ]
    text = "\n".join(filter(None, (definition.description, definition.examples)))
    result = declaration(definition.result, quote="")
    return _function_description(statement, definition.name, definition.kind, text, arguments, result)


def _function_description(
    statement: Statement,
    name: str,
    kind: str,
    description: str,
    arguments: list[dict[str, Any]],
    result: str,
) -> dict[str, Any]:
    return {
        "@type": "describe_function",
        "statementText": statement.text,
        "name": name,
        "description": description,
        "author": "",
        "version": "",
        "path": "internal",
        "functions": [
            {
                "arguments": arguments,
                "returnType": result,
                "description": "",
                "argumentTypes": [argument["type"] for argument in arguments],
            }
        ],
        "type": kind.upper(),
        "warnings": [],
    }


def _type_name(kind: str) -> str:
    """A type as DESCRIBE FUNCTION writes it."""
    return {"STRING": "VARCHAR", "INTEGER": "INT"}.get(kind, kind)


def _listed(source: Source) -> dict[str, Any]:
    return {
        "type": source.kind,
        "name": source.name,
        "topic": source.topic,
        "keyFormat": source.key_format,
        "valueFormat": source.value_format,
        "isWindowed": source.window is not None,
    }


def _query(engine: Engine, query: Query) -> dict[str, Any]:
    sink = engine.catalog.sources[query.sink]
    state = "ERROR" if query.id in engine.failures else "RUNNING"
    counted = "PAUSED" if query.id in engine.paused else state
    return {
        "queryString": query.analysis.statement.text,
        "sinks": [sink.name],
        "sinkKafkaTopics": [sink.topic],
        "id": query.id,
        "statusCount": {counted: 1},
        "queryType": "PERSISTENT",
        "state": state,
    }


def _explained(engine: Engine, query: Query) -> dict[str, Any]:
    sink = engine.catalog.sources[query.sink]
    state = "ERROR" if query.id in engine.failures else "RUNNING"
    failure = engine.failures.get(query.id)
    statement = query.analysis.statement
    return {
        **_described(query.id, statement, query.analysis, list(sink.columns), sink.name),
        "ksqlHostQueryStatus": {"embedded": state},
        "queryErrors": [{"errorMessage": failure, "type": "UNKNOWN"}] if failure else [],
        "state": state,
    }


def _described(
    query_id: str, statement: Statement, analysis: Analysis, columns: list[Column], sink: str | None
) -> dict[str, Any]:
    """The description of a query; that of one that is not running."""
    return {
        "id": query_id,
        "statementText": statement.text,
        "windowType": analysis.window.kind if analysis.window and analysis.group else None,
        "fields": [_field(column) for column in columns],
        "sources": [source.name for source in (analysis.source, *analysis.joined)],
        "sinks": [sink] if sink else [],
        "topology": "",
        "executionPlan": "",
        "overriddenProperties": {},
        "ksqlHostQueryStatus": {},
        "queryType": "PERSISTENT",
        "queryErrors": [],
        "tasksMetadata": [],
        "consumerGroupId": f"_confluent-ksql-{SERVICE_ID}query_{query_id}",
        "state": None,
    }


def _source(
    engine: Engine, cursor: duckdb.DuckDBPyConnection, source: Source, extended: bool
) -> dict[str, Any]:
    writers = engine.catalog.writers(source.name)
    summaries = [_offsets(engine, cursor, query) for query in writers] if extended else []
    return {
        "name": source.name,
        "windowType": source.window.kind if source.window else None,
        "readQueries": [_query(engine, query) for query in engine.catalog.readers(source.name)],
        "writeQueries": [_query(engine, query) for query in writers],
        "fields": [_field(column) for column in source.columns],
        "type": source.kind,
        "timestamp": source.timestamp or "",
        "statistics": "",
        "errorStats": "",
        "extended": extended,
        "keyFormat": source.key_format,
        "valueFormat": source.value_format,
        "topic": source.topic,
        "partitions": source.partitions,
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


def _offsets(
    engine: Engine, cursor: duckdb.DuckDBPyConnection, query: Query
) -> dict[str, Any]:
    """How far a query has read: a part of a topic is shown as a partition."""
    source = query.analysis.source
    ends = engine.reader().ends(cursor, source)
    read = persistent.positions(cursor, query.id)
    stored = query.analysis.is_aggregation
    offsets = []
    for number, (part, end) in enumerate(ends.items()):
        # A stream's SELECT over typed rows is computed when it is read: it is never behind.
        done = read.get(part, 0) if stored or part in _JSON_PARTS else end
        offsets.append(
            {
                "partition": number,
                "logStartOffset": 0,
                "logEndOffset": end,
                "consumerOffset": done,
            }
        )
    return {
        "groupId": f"_confluent-ksql-{SERVICE_ID}query_{query.id}",
        "topicSummaries": [{"kafkaTopic": source.topic, "offsets": offsets}],
    }


_JSON_PARTS = (FILES, INSERTED)


def _field(column: Column) -> dict[str, Any]:
    reply: dict[str, Any] = {"name": column.name, "schema": schema(column.type)}
    return {**reply, "type": "KEY"} if column.is_key else reply
