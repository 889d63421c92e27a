"""Cassandra: does it answer, does it have the tables, and do rows arrive?"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from opensea_metrics.deploy.doctor.checks import Check, Checker, Unreachable, age_text
from opensea_metrics.spark_batch.cassandra import Table
from opensea_metrics.spark_batch.cassandra_session import (
    CassandraError,
    CassandraSettings,
    connected,
)

KEYS: dict[Table, tuple[str, ...]] = {
    "global_metrics": ("metric", "collection", "timestamp"),
    "collections_metrics": ("collection", "metric", "timestamp", "nft_id"),
}
QUIET = 600  # seconds without a new row until the check warns
SAMPLED = 200  # how many partitions are queried for their newest row
report = Checker("cassandra")


@dataclass(frozen=True)
class TableFacts:
    """One table: its key, and when the newest sampled row was written (epoch seconds)."""

    key: tuple[str, ...]
    written: float | None


def examine(settings: CassandraSettings, now: Callable[[], float] = time.time) -> list[Check]:
    """Query the node, and check its replies. Raises Unreachable."""
    try:
        with connected(settings) as session:
            version = session.execute("SELECT release_version FROM system.local").one()
            facts = {table: _table(session, settings.keyspace, table) for table in KEYS}
    except CassandraError as error:
        raise Unreachable(str(error)) from None
    return judge(
        version["release_version"],
        {table: known for table, known in facts.items() if known is not None},
        now(),
    )


def judge(version: str, tables: Mapping[Table, TableFacts], now: float) -> list[Check]:
    """Checks of the tables that exist; ``now`` in epoch seconds."""
    checks = [report.ok("reachable", f"version {version}")]
    for table in KEYS:
        facts = tables.get(table)
        if facts is None or facts.key != KEYS[table]:
            checks.append(
                report.failed(
                    table,
                    "no such table" if facts is None else f"its key is {', '.join(facts.key)}",
                    "create it with deploy/compose/cassandra/schema.cql"
                    + ("" if facts is None else "; first drop it, because its rows overwrite one another"),
                )
            )
        elif facts.written is None:
            checks.append(
                report.warning(
                    table, "empty", "do the sinks run (connect)? does the long form have rows (kafka)?"
                )
            )
        elif now - facts.written > QUIET:
            checks.append(
                report.warning(
                    table,
                    f"newest row written {age_text(now - facts.written)} ago",
                    "do the sinks run (connect)? do events arrive (kafka)?",
                )
            )
        else:
            checks.append(
                report.ok(table, f"newest row written {age_text(max(now - facts.written, 0))} ago")
            )
    return checks


def _table(session: Any, keyspace: str, table: Table) -> TableFacts | None:
    known = session.cluster.metadata.keyspaces[keyspace].tables.get(table)
    if known is None:
        return None
    key = tuple(column.name for column in known.primary_key)
    partition = ", ".join(column.name for column in known.partition_key)
    where = " AND ".join(f"{column.name} = %s" for column in known.partition_key)
    parts = session.execute(f"SELECT DISTINCT {partition} FROM {table} LIMIT {SAMPLED}")
    written = [
        row["written"]
        for part in parts
        for row in session.execute(
            f"SELECT writetime(value) AS written FROM {table} WHERE {where} LIMIT 1",
            tuple(part.values()),
        )
        if row["written"] is not None
    ]
    return TableFacts(key, max(written) / 1e6 if written else None)
