"""Answers in the shapes that ksqlDB 7.9.1 gives them."""

from __future__ import annotations

from typing import Any

import duckdb

from deploy.embedded import metastore, persistent
from deploy.embedded.engine import Engine, Outcome
from deploy.embedded.reader import FILES, INSERTED
from sql import functions
from sql.analysis import Column, Source
from sql.catalog import Query
from sql.errors import SqlError
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


def statement_error(text: str, error: SqlError, code: int = 40001) -> dict[str, Any]:
    """A refused statement."""
    place = error.place
    where = f"Line: {place.line}, Col: {place.column}: " if place else ""
    hint = f"\n{error.hint}" if error.hint else ""
    return {
        "@type": "statement_error",
        "error_code": code,
        "message": f"{where}{error.message}{hint}",
        "statementText": text,
        "entities": [],
    }


def generic_error(code: int, message: str) -> dict[str, Any]:
    """A request that could not be understood."""
    return {"@type": "generic_error", "error_code": code, "message": message}


def unknown_source(name: str) -> SqlError:
    """DESCRIBE of what does not exist."""
    return SqlError(f"Could not find STREAM/TABLE '{name}' in the Metastore")


def sequence_timeout(number: int) -> dict[str, Any]:
    """A commandSequenceNumber that no command has (ksqldb-replies/err_command_sequence_timeout)."""
    return generic_error(
        50301,
        "Timed out while waiting for a previous command to execute. command sequence number:"
        f" {number}",
    )


def listing(
    engine: Engine, cursor: duckdb.DuckDBPyConnection, statement: Statement
) -> dict[str, Any]:
    """SHOW / LIST. Raises SqlError for what the embedded server does not list."""
    what = str(statement.ast.this.name)
    extended = bool(statement.ast.args["extended"])
    reply: dict[str, Any] = {"statementText": statement.text}
    sources = engine.catalog.sources.values()
    match what, extended:
        case "STREAMS", False:
            streams = [_listed(source) for source in sources if not source.is_table]
            reply |= {"@type": "streams", "streams": streams}
        case "TABLES", False:
            tables = [_listed(source) for source in sources if source.is_table]
            reply |= {"@type": "tables", "tables": tables}
        case ("STREAMS" | "TABLES"), True:
            kind = what.removesuffix("S")
            found = [_source(engine, cursor, s, True) for s in sources if s.kind == kind]
            reply |= {"@type": "source_descriptions", "sourceDescriptions": found}
        case "QUERIES", False:
            found = [_query(engine, query) for query in engine.catalog.queries.values()]
            reply |= {"@type": "queries", "queries": found}
        case "QUERIES", True:
            found = [_explained(engine, query) for query in engine.catalog.queries.values()]
            reply |= {"@type": "query_descriptions", "queryDescriptions": found}
        case ("TOPICS" | "ALL TOPICS"), _:
            counts = {"consumerCount": 0, "consumerGroupCount": 0} if extended else {}
            found = [
                {"name": topic.name, "replicaInfo": [topic.replicas] * topic.partitions, **counts}
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
            reply |= {"@type": "properties", "properties": _PROPERTIES}
        case "TYPES", False:
            reply |= {"@type": "type_list", "types": {}}
        case "VARIABLES", False:
            reply |= {"@type": "variables", "variables": []}
        case _:
            raise SqlError(f"SHOW {what} is not supported by the embedded server", statement.place)
    return {**reply, "warnings": []}


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
    name = statement.name or ""
    if statement.ast.args["function"]:
        return _function(statement, name)
    if name not in engine.catalog.sources:
        raise unknown_source(name)
    extended = bool(statement.ast.args["extended"])
    return {
        "@type": "sourceDescription",
        "statementText": statement.text,
        "sourceDescription": _source(engine, cursor, engine.catalog.sources[name], extended),
        "warnings": [],
    }


def explanation(engine: Engine, statement: Statement) -> dict[str, Any]:
    """EXPLAIN query_id. Raises SqlError for an unknown query."""
    named = statement.ast.this
    name = str(named.this).upper() if named is not None else ""
    if name not in engine.catalog.queries:
        raise SqlError(
            f"Query with id:{name} does not exist, use SHOW QUERIES to view the full set of queries."
        )
    return {
        "@type": "queryDescription",
        "statementText": statement.text,
        "queryDescription": _explained(engine, engine.catalog.queries[name]),
        "warnings": [],
    }


def _function(statement: Statement, name: str) -> dict[str, Any]:
    function = functions.find(name)
    if function is None:
        raise SqlError(f"Can't find any functions with the name '{name}'")
    if function.definition is not None:
        return _python_function(statement, function.definition)
    arguments = [
        {
            "name": f"val{index + 1}",
            "type": parameter.strip("[].").removesuffix("0"),
            "description": "",
            "isVariadic": parameter.endswith("..."),
        }
        for index, parameter in enumerate(function.parameters)
    ]
    return _described(
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
    return _described(statement, definition.name, definition.kind, text, arguments, result)


def _described(
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
    return {
        "id": query.id,
        "statementText": query.analysis.statement.text,
        "windowType": query.analysis.window.kind if query.analysis.window else None,
        "fields": [_field(column) for column in sink.columns],
        "sources": list(query.reads),
        "sinks": [sink.name],
        "topology": "",
        "executionPlan": "",
        "overriddenProperties": {},
        "ksqlHostQueryStatus": {"embedded": state},
        "queryType": "PERSISTENT",
        "queryErrors": [{"errorMessage": failure, "type": "UNKNOWN"}] if failure else [],
        "tasksMetadata": [],
        "state": state,
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
        "partitions": source.partitions if extended else 0,
        "replication": source.replicas if extended else 0,
        "statement": source.statement.text,
        "queryOffsetSummaries": summaries,
        "sourceConstraints": [],
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
