"""Decodes lines of an archive into rows, as the raw stream declares them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa

from opensea_metrics.core.database import open_database
from opensea_metrics.core.errors import OpenSeaMetricsError
from opensea_metrics.core.quoting import column as column_of
from opensea_metrics.core.quoting import quoted
from opensea_metrics.producer.archive.compacted import names_in_files
from opensea_metrics.spark_batch.event_times import stamped_sql
from opensea_metrics.sql.language.catalog.catalog import Catalog
from opensea_metrics.sql.language.catalog.sources import Source as Stream
from opensea_metrics.sql.language.lowering import support
from opensea_metrics.sql.language.lowering.duckdb.setup import SETUP, register_functions
from opensea_metrics.sql.language.lowering.records import rows as records
from opensea_metrics.sql.language.lowering.records import utf8
from opensea_metrics.sql.language.lowering.refusals import ARCHIVE

LINES = pa.schema([("_file", pa.int32()), ("_offset", pa.int64()), ("line", pa.string())])
"""Lines to decode: the number of their file, their offset, and their text."""


class UndeclaredError(OpenSeaMetricsError):
    """No stream of the project reads the archive's topic."""


def raw_stream(catalog: Catalog, topic: str) -> Stream:
    """The stream that is declared over a topic of JSON.

    Raises UndeclaredError if there is none, and Unsupported if its records cannot be decoded here.
    """
    written = {catalog.sources[query.sink].topic for query in catalog.queries.values()}
    declared = {
        stream.topic: stream
        for stream in catalog.sources.values()
        if stream.value_format == "JSON" and stream.timestamp and stream.topic not in written
    }
    if topic not in declared:
        raise UndeclaredError(
            f"No stream of JSON with a TIMESTAMP is declared over the topic {topic!r}. Topics with such a stream: "
            f"{', '.join(declared) or 'none'}. The last folder of --source is the topic's name."
        )
    stream = declared[topic]
    support.check_types(stream, ARCHIVE, stream.statement.place)
    return stream


def rows(lines: str, stream: Stream, sample: str) -> str:
    """The rows of a relation with the columns of LINES, as a relation. ``sample`` has some of the lines.

    The columns are ``_file``, ``_offset``, ``_line`` (the exact text), ``_time`` (epoch ms), ``_failed``, and the
    declared columns (``compacted.names_in_files``). ``_failed`` is NULL, or the reason why ksqlDB could not read the
    record.
    """
    given = (
        f"SELECT {stamped_sql('line')} AS line, NULL::VARCHAR AS path, NULL::VARCHAR AS key,"
        f" NULL::BIGINT AS ts, _file, _offset, line AS _exact FROM ({lines})"
    )
    columns = [
        f"{column_of(name)} AS {quoted(stored)}" for name, stored in names_in_files(stream).items()
    ]
    time = "CASE WHEN _failed IS NULL THEN ROWTIME END AS _time"
    names = records.spelled(stream, sample)
    decoded = records.decoded(given, stream, names, carried=("_file", "_offset", "_exact"))
    return (
        f"SELECT {', '.join(['_file, _offset, _exact AS _line, _failed', time, *columns])} FROM ({decoded})"
    )


def sample_of(lines: Sequence[bytes]) -> str:
    """Some of the lines, as one text."""
    return b"\n".join(lines[:100]).decode("utf-8", "replace")


@contextmanager
def database(
    directories: Iterable[str], memory: str = "512MB"
) -> Iterator[tuple[duckdb.DuckDBPyConnection, Path]]:
    """A database that can decode lines, and a temporary folder. Its cursors can decode lines too.

    Data beyond ``memory`` is spilled to disk. The database can access only files in the folder and in ``directories``.
    """
    with (
        tempfile.TemporaryDirectory(prefix="opensea-archive-") as folder,
        open_database(
            Path(folder) / "work.duckdb",
            Path(folder) / "spilled",
            directories=[folder, *directories],
            settings={"memory_limit": memory},
            setup=SETUP,
        ) as connection,
    ):
        register_functions(connection)
        yield connection, Path(folder)


def table(files: list[int], offsets: list[int], lines: list[bytes]) -> pa.Table:
    """A table with the columns of LINES. Bytes that are not UTF-8 are replaced by the rule of :mod:`utf8`."""
    try:
        texts = pa.array(lines, pa.binary()).cast(pa.string())
    except pa.ArrowInvalid:
        texts = pa.array([utf8.decoded(line) for line in lines], pa.string())
    return pa.table(
        [pa.array(files, pa.int32()), pa.array(offsets, pa.int64()), texts], schema=LINES
    )
