"""Rows as a Parquet file. Only a command that writes one imports this, because pyarrow takes long to import."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from opensea_metrics.core.types import KsqlType
from opensea_metrics.deploy.output.forms import appearing
from opensea_metrics.deploy.query.values import arrow_table, moment


def write_parquet(
    out: Path, columns: Sequence[tuple[str, KsqlType]], rows: Iterable[Sequence[Any]], times: Collection[str]
) -> int:
    """Write a Parquet file and return its number of rows. ``times`` are BIGINT columns that become timestamps, UTC.

    After Ctrl-C the file has the rows so far. Raises SqlError for a value that its type does not allow, and OSError.
    """
    taken: list[Sequence[Any]] = []
    with appearing(out) as hidden:
        try:
            taken.extend(rows)
        finally:
            table = arrow_table(columns, taken)
            for at, (name, _) in enumerate(columns):
                if name in times:
                    table = table.set_column(at, name, _timestamps(table.column(at)))
            pq.write_table(table, hidden, compression="zstd")
    return len(taken)


def _timestamps(column: pa.ChunkedArray) -> pa.ChunkedArray:
    values = [None if value is None else moment(value) for value in column.to_pylist()]
    return pa.chunked_array([pa.array(values, pa.timestamp("ms")).cast(pa.timestamp("ms", "UTC"))])
