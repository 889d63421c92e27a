"""Prints the results of ``recompute``."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import pyarrow as pa

from opensea_metrics.core.wording import counted
from opensea_metrics.deploy.output.damage import show_damaged
from opensea_metrics.deploy.output.plain import say
from opensea_metrics.spark_batch.job import Counts

_SHOWN = 20
_TYPES = {"int32": "INTEGER", "int64": "BIGINT", "double": "DOUBLE"}


def size_text(size: int) -> str:
    """A number of bytes as text for people."""
    amount, unit = float(size), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < 1000:
            break
        amount, unit = amount / 1000, larger
    return f"{amount:.0f} {unit}" if amount >= 100 or unit == "bytes" else f"{amount:.1f} {unit}"


def show_table(
    name: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch], times: Collection[str] = ()
) -> None:
    """Print the first rows of a result. ``times`` are the columns that hold epoch ms."""
    # Imported here, because results that go into files do not need these modules.
    from opensea_metrics.deploy.output.readable import Look
    from opensea_metrics.deploy.output.tables import print_rows

    looks = [
        Look(name, _TYPES.get(str(kind), "STRING"), is_time=name in times)
        for name, kind in zip(schema.names, schema.types, strict=True)
    ]
    rows: list[list[object]] = []
    count = 0
    for batch in batches:
        count += batch.num_rows
        for row in batch.slice(0, _SHOWN - len(rows)).to_pylist():
            rows.append(list(row.values()))
    print_rows(looks, rows, name)
    if count > _SHOWN:
        say(f"… and {count - _SHOWN:,} more rows: --to-parquet, --to-csv or --to-json has all of them")


def show_counts(period: str, engine: str, counts: Counts, seconds: float) -> None:
    """Print to stderr how many records a run used, and why it could not read the others."""
    say(
        f"{period}: {counts.used:,} of {counts.read:,} records, {engine}, {seconds:.1f} s", stderr=True
    )
    for reason, number in sorted(counts.reasons.items(), key=lambda item: -item[1])[:5]:
        say(f"  {counted(number, 'record')} could not be read: {reason}", stderr=True)
    show_damaged(counts.damaged)
