"""The tables of a lane of the DuckDB engine: the columns of a chunk's records that its queries need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain

import duckdb

from opensea_metrics.core.quoting import column as column_of
from opensea_metrics.core.quoting import quoted
from opensea_metrics.spark_batch import narrowing
from opensea_metrics.spark_batch.chunks import Chunk
from opensea_metrics.spark_batch.pipeline import QueryPipeline
from opensea_metrics.spark_batch.statement_runner import StatementRunner
from opensea_metrics.sql.language.catalog.catalog import Query
from opensea_metrics.sql.language.catalog.sources import Source
from opensea_metrics.sql.language.lowering.duckdb import selects

_UNREADABLE = ("_failed", "_off")


def stage(
    runner: StatementRunner, lane: duckdb.DuckDBPyConnection, chunk: Chunk, pipeline: QueryPipeline, all_json: bool
) -> None:
    """Decode a chunk into tables of a lane: one of each source that groupings read, and one of each selection.

    Raises duckdb.Error; with ``all_json`` also for text that is no JSON (``Chunk.relation``).
    """
    for source in pipeline.raw_sources():
        relation = chunk.relation(lane, source, all_json)
        selections = pipeline.reading(source, pipeline.selections)
        if pipeline.is_kept(source):
            # Decoded only once.
            _keep(runner, lane, decoded_table(source), relation, pipeline.kept_columns(source))
            relation = f"SELECT * FROM {decoded_table(source)}"
        for query in selections:
            names = {column.name for column in query.analysis.columns}
            rows = selects.rows(query.analysis, relation, _UNREADABLE)
            _keep(runner, lane, staged_table(query), rows, names, _conditions(pipeline, query))


def counted_rows(
    lane: duckdb.DuckDBPyConnection, pipeline: QueryPipeline, readable: str
) -> list[tuple[str | None, int, int]]:
    """The number of records that a lane has staged, by the reason why they cannot be used (None: they can).

    The second number is that of the records in the period, for which ``readable`` is the condition.
    """
    # All records are in one that is not filtered.
    kept = [source for source in pipeline.raw_sources() if pipeline.is_kept(source)]
    whole = decoded_table(kept[0]) if kept else staged_table(pipeline.selections[0])
    return lane.execute(
        f"SELECT _failed, count(*), count(*) FILTER ({readable}) FROM {whole} GROUP BY 1"
    ).fetchall()


def decoded_table(source: Source) -> str:
    """The table of a source's records."""
    return quoted(f"decoded {source.name}")


def staged_table(query: Query) -> str:
    """The table of what a selection makes of the records."""
    return quoted(f"stage {query.id}")


def _conditions(pipeline: QueryPipeline, query: Query) -> dict[str, list[str]]:
    """The columns of a selection that are only needed in some rows, with the conditions for these, one of them true.

    Most events are neither sales nor transfers, so most of the text in their columns need not be copied.
    """
    stream = pipeline.catalog.sources[query.sink]
    if any(stream.topic == other.topic for other in (*pipeline.inputs, *pipeline.targets)):
        return {}
    guards = narrowing.guards(stream, (reader.analysis for reader in pipeline.readers(stream.topic)))
    return {
        name: list(dict.fromkeys(selects.condition(guard.reader, guard.condition) for guard in needed))
        for name, needed in guards.items()
    }


def _keep(
    runner: StatementRunner,
    lane: duckdb.DuckDBPyConnection,
    table: str,
    relation: str,
    names: set[str],
    conditions: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """Make a table, which only a lane sees, of columns of a relation. Columns are NULL unless a condition is true.

    It is a new table each time: DuckDB writes what is inserted into one twice, until it fills a row group.
    """
    conditions = conditions or {}
    flags = {sql: f"_w{number}" for number, sql in enumerate(dict.fromkeys(chain(*conditions.values())))}
    if flags:
        relation = f"SELECT *, {', '.join(f'{sql} AS {flag}' for sql, flag in flags.items())} FROM ({relation})"
    columns = []
    for name in sorted(names - {"ROWTIME"}):
        column = column_of(name)
        needed = " OR ".join(flags[sql] for sql in conditions.get(name, ()))
        columns.append(f"CASE WHEN {needed} THEN {column} END AS {column}" if needed else column)
    selected = ", ".join([*columns, "ROWTIME", "_off", "_failed"])
    runner.once(lane, f"CREATE OR REPLACE TEMP TABLE {table} AS SELECT {selected} FROM ({relation})")
