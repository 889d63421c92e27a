"""``ASSERT TOPIC``: wait until a topic exists, or until it does not exist."""

from __future__ import annotations

import time
from typing import Any

import duckdb

from opensea_metrics.core.errors import SqlError
from opensea_metrics.deploy.embedded.engine import Engine
from opensea_metrics.sql.language.dialect.naming import is_topic
from opensea_metrics.sql.language.statements.statements import Statement

_DEFAULT_TIMEOUT = 1_000
"""Milliseconds."""
_POLL = 0.1


def asserted(
    engine: Engine, cursor: duckdb.DuckDBPyConnection, statement: Statement
) -> dict[str, Any]:
    """The reply, once the assertion holds. Raises SqlError (417) if it does not hold before the timeout."""
    ast = statement.ast
    if ast.args["kind"] == "SCHEMA":
        raise SqlError(
            "Cannot check schema existence: KSQL is not configured to use a schema registry. To enable "
            "it, please set ksql.schema.registry.url",
            code=41700,
        )
    # Unlike other names, that of a topic is not upper-cased.
    name = str(ast.this.this)
    if not is_topic(name):
        raise SqlError(
            f"Cannot check topic existence: Failed to check if exists for topic: {name}", code=41700
        )
    timeout = ast.args.get("timeout")
    deadline = time.monotonic() + (int(timeout.this) if timeout else _DEFAULT_TIMEOUT) / 1_000
    while (failure := _failure(engine, cursor, statement, name)) and time.monotonic() < deadline:
        time.sleep(_POLL)
    if failure:
        raise SqlError(failure, code=41700)
    return {
        "@type": "assert_topic",
        "statementText": statement.text,
        "topicName": name,
        "exists": bool(ast.args["exists"]),
        "warnings": [],
    }


def _failure(
    engine: Engine, cursor: duckdb.DuckDBPyConnection, statement: Statement, name: str
) -> str | None:
    topics = engine.topics()
    if not statement.ast.args["exists"]:
        return f"Topic {name} exists" if name in topics else None
    if name not in topics:
        return f"Topic {name} does not exist"
    configuration = {"PARTITIONS": topics[name].partitions, "REPLICAS": topics[name].replicas}
    wrong = [
        f"For config {key.lower()}, expected {value} got {configuration[key]}"
        for key, value in statement.properties.items()
        if key in configuration and str(configuration[key]) != value
    ]
    return f"Mismatched configuration for topic {name}: {' '.join(wrong)}" if wrong else None
