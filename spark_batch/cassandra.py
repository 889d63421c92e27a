"""Long-form rows → Cassandra, as upserts under the keys of ``deploy/compose/cassandra/schema.cql``.

The columns are those that the streaming sink maps (``deploy/compose/connect/connectors``), so a recomputed row
replaces the streamed row. If a row is written twice, the later write wins, whoever wrote it.
Needs ``pip install 'opensea-metrics[cassandra]'``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
import structlog

from opensea_metrics.spark_batch.cassandra_session import (
    CassandraError,
    CassandraSettings,
    connected,
)

if TYPE_CHECKING:
    from cassandra.cluster import Session

Table = Literal["global_metrics", "collections_metrics"]

# Cassandra's column → the long form's.
COLUMNS: dict[Table, dict[str, str]] = {
    "global_metrics": {
        "metric": "METRIC",
        "collection": "COLLECTION",
        "timestamp": "timestamp",
        "value": "VALUE",
    },
    "collections_metrics": {
        "metric": "METRIC",
        "collection": "COLLECTION",
        "timestamp": "timestamp",
        "nft_id": "NFT_ID",
        "value": "VALUE",
        "asset_name": "ASSET_NAME",
        "asset_url": "ASSET_URL",
        "image_url": "IMAGE_URL",
    },
}
EMPTY_IN_KEY = ("collection", "nft_id")  # part of the key, so a row without a value gets ''
CHUNK = 5_000  # rows that are sent before the next rows are read
CONCURRENCY = 100  # concurrent requests
ATTEMPTS = 5

log = structlog.get_logger()


def write(
    rows: Iterable[pa.RecordBatch], table: Table, settings: CassandraSettings | None = None
) -> int:
    """Upsert long-form rows into a table, and return how many were written.

    ``settings`` are by default those of the environment. Batches have the long form's columns, with
    ``timestamp`` as epoch milliseconds or a timestamp, and no NULL in METRIC and ``timestamp``.
    A NULL text writes nothing. A NULL value replaces an older one.
    Raises CassandraError. Rows that were written before the error stay, and may be written again.
    """
    settings = settings or CassandraSettings()
    columns = COLUMNS[table]
    names = ", ".join(columns)
    marks = ", ".join("?" * len(columns))
    with connected(settings) as session:
        insert = _prepare(
            session, f"INSERT INTO {settings.keyspace}.{table} ({names}) VALUES ({marks})", settings
        )
        insert.is_idempotent = True
        written = 0
        values = _values(rows, table)
        while chunk := list(islice(values, CHUNK)):
            _send(session, insert, chunk, settings)
            written += len(chunk)
            log.info("cassandra.rows_written", table=table, rows=written)
    return written


def _prepare(session: Session, statement: str, settings: CassandraSettings) -> Any:
    from cassandra import InvalidRequest

    try:
        return session.prepare(statement)
    except InvalidRequest as error:
        raise CassandraError(
            f"Cassandra at {settings.address}, keyspace {settings.keyspace}: {error}\n"
            "  hint: make the tables anew by deploy/compose/cassandra/schema.cql"
            " (the predecessor's have other keys)"
        ) from None


def _values(rows: Iterable[pa.RecordBatch], table: Table) -> Iterator[tuple[Any, ...]]:
    """The values of each row in the order of COLUMNS."""
    from cassandra.query import UNSET_VALUE

    columns = COLUMNS[table]
    for batch in rows:
        missing = sorted(set(columns.values()) - set(batch.schema.names))
        if missing:
            raise CassandraError(f"rows for {table} lack the columns {', '.join(missing)}")
        lists = []
        for name, source in columns.items():
            column = batch.column(source)
            if name == "timestamp":
                column = (
                    column.cast(pa.timestamp("ms")) if pa.types.is_integer(column.type) else column
                )
            values = column.to_pylist()
            if name in EMPTY_IN_KEY:
                values = ["" if value is None else value for value in values]
            elif name in ("metric", "timestamp"):
                if column.null_count:
                    raise CassandraError(
                        f"rows for {table} have a NULL in {source}, part of the key"
                    )
            elif name != "value":
                values = [UNSET_VALUE if value is None else value for value in values]
            lists.append(values)
        yield from zip(*lists, strict=True)


def _send(
    session: Session,
    insert: Any,
    rows: list[tuple[Any, ...]],
    settings: CassandraSettings,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Write rows, and retry those that fail, with growing pauses. Repeating an upsert does no harm."""
    from cassandra.concurrent import execute_concurrent_with_args

    for attempt in range(1, ATTEMPTS + 1):
        results = execute_concurrent_with_args(
            session, insert, rows, concurrency=CONCURRENCY, raise_on_first_error=False
        )
        failed = [
            (row, result) for row, (done, result) in zip(rows, results, strict=True) if not done
        ]
        if not failed:
            return
        rows, reason = [row for row, _ in failed], failed[0][1]
        if attempt == ATTEMPTS:
            raise CassandraError(
                f"Cassandra at {settings.address} refused {len(rows)} rows"
                f" in {ATTEMPTS} attempts: {type(reason).__name__}: {reason}\n"
                "  hint: check nodetool status and tpstats, then run this again"
            )
        log.warning("cassandra.retrying", rows=len(rows), attempt=attempt, error=str(reason))
        sleep(0.5 * 2**attempt)
