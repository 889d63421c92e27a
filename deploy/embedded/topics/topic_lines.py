"""Relations of lines, as SQL: the JSON of a topic's records, and the other columns that a source needs."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping

import duckdb

from opensea_metrics.core.quoting import text
from opensea_metrics.core.types import ArrayType
from opensea_metrics.core.types import duckdb as duckdb_type
from opensea_metrics.deploy.embedded.files.lines import FileLines
from opensea_metrics.deploy.embedded.topics import record_store
from opensea_metrics.deploy.embedded.topics.record_topic import RECORD, TOMBSTONE
from opensea_metrics.sql.language.catalog.sources import Source
from opensea_metrics.sql.language.lowering.records.capitals import Capitals


def lines_of_files(files: FileLines, source: Source, cursor: duckdb.DuckDBPyConnection, names: Capitals) -> str:
    """Lines of files with their keys and headers, and the time of reading (epoch ms)."""
    now = int(time.time() * 1000)
    lines = files.relation(cursor, names)
    tombstone = f", false AS {TOMBSTONE}" if source.is_table else ""
    columns = f"line, path, _odd, {_key(source)} AS key, {now}::BIGINT AS ts{tombstone}, {', '.join(RECORD)}"
    return f"SELECT {columns}{_headers(source, are_known=True)} FROM ({lines})"


def lines_of_records(topic: str, source: Source, low: Mapping[int, int], high: Mapping[int, int]) -> str:
    """Values of the table of records from ``low`` to ``high``, by partition, with their keys and times."""
    tombstone = f", value IS NULL AS {TOMBSTONE}" if source.is_table else ""
    return (
        f"SELECT value AS line, 'INSERT VALUES' AS path, key, ts{tombstone}{_headers(source, are_known=False)},"
        ' partition AS ROWPARTITION, "offset" AS ROWOFFSET FROM meta.records'
        f" WHERE topic = {text(topic)} AND {record_store.between(low, high)} ORDER BY seq"
    )


def _key(source: Source) -> str:
    """SQL for a record's key as an object with the key columns. A key of one column is stored without its name,
    unless it has a window."""
    names = [column.name for column in source.key_fields]
    return f"{text('{' + json.dumps(names[0]) + ':')} || key || '}}'" if len(names) == 1 else "key"


def _headers(source: Source, are_known: bool) -> str:
    """SQL for a column of headers, if the source has one. It is NULL unless the headers ``are_known``, and for a
    column of a single header."""
    if source.headers is None:
        return ""
    kind = source.headers.type
    value = "headers" if are_known and isinstance(kind, ArrayType) else "NULL"
    return f", {value}::{duckdb_type(kind)} AS headers"
