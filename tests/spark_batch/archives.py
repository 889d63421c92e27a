"""Archives made for a test, and what recompute makes of them, as rows."""

from __future__ import annotations

import gzip
import importlib.util
import json
import shutil
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import pytest

from opensea_metrics.producer.archive.layout import HOUR_MS
from opensea_metrics.producer.archive.location import open_archive
from opensea_metrics.producer.replay import replay
from opensea_metrics.producer.sample import frames
from opensea_metrics.producer.sinks import ArchiveSink
from opensea_metrics.spark_batch.job import Counts
from opensea_metrics.spark_batch.period import parse_window
from opensea_metrics.spark_batch.recompute import Prepared, Request, computed, prepare
from opensea_metrics.spark_batch.upkeep.compact import Options, compact
from opensea_metrics.spark_batch.upkeep.rows import raw_stream
from opensea_metrics.spark_batch.upkeep.runs import groups
from opensea_metrics.sql.language.catalog.changes import check
from opensea_metrics.sql.language.catalog.sources import Source
from opensea_metrics.sql.language.project.project import load_project
from tests import oracle
from tests.metrics import TABLES, Rows

TOPIC = "OpenSeaRawEvents"
SQL = Path("sql").absolute()
DAY_MS = 24 * HOUR_MS
START = 1_788_998_400_000
"""2026-09-10T00:00:00Z, a Thursday, where windows of 14 days begin."""

_KEYS = ("WINDOWSTART", "COLLECTION", "NFT_ID", "SCOPE", "NAME")


def needs(engine: str) -> None:
    """Skips the test if the engine cannot run here."""
    if engine == "spark":
        if shutil.which("java") is None:
            pytest.skip("Spark needs java")
        if importlib.util.find_spec("pyspark") is None:
            pytest.skip("Spark needs pyspark: make install EXTRAS=test,spark")


def configure(monkeypatch: pytest.MonkeyPatch, **settings: Any) -> None:
    """Have every DuckDB that is opened from now on begin with some settings."""
    connect = duckdb.connect

    def connected(
        place: str = ":memory:", config: dict[str, Any] | None = None
    ) -> duckdb.DuckDBPyConnection:
        return connect(place, config=(config or {}) | settings)

    monkeypatch.setattr(duckdb, "connect", connected)


def write_sample(
    root: Path, events: int, start: int = START, duration: int = DAY_MS, seed: int = 1
) -> Path:
    """Sample events (a fifth of them sales) under ``root/topics``; gives the topic's folder."""
    sink = ArchiveSink(root, 2)
    try:
        replay(frames(events, seed, start, duration, 0.2), sink)
    finally:
        sink.close()
    return root / "topics" / TOPIC


def folder_of(topic: Path, time: int) -> Path:
    """The folder of an hour."""
    return topic / datetime.fromtimestamp(time // 1000, UTC).strftime(
        "year=%Y/month=%m/day=%d/hour=%H"
    )


def add(topic: Path, hour: int, start: int, lines: Iterable[bytes], partition: int = 0) -> Path:
    """Write a file of lines into the folder of an hour."""
    folder = folder_of(topic, hour)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{TOPIC}+{partition}+{start:010d}.json.gz"
    path.write_bytes(gzip.compress(b"".join(line + b"\n" for line in lines), 1, mtime=0))
    return path


def event(
    time: int,
    slug: str | None = "otters",
    nft: str | None = "ethereum/0x1/1",
    kind: str = "item_sold",
    eth: int = 1,
    name: str | None = "Otter",
    stamped: bool = True,
) -> bytes:
    """A sale of ``eth`` ETH, each of 2500 USD, or another event; as our producer writes it, or
    (``stamped`` false) as the predecessor's sink did, without ``event_time``."""
    sent_at = datetime.fromtimestamp(time / 1000, UTC).isoformat(timespec="milliseconds")
    payload = {
        "collection": {"slug": slug},
        "item": {"nft_id": nft, "permalink": None, "metadata": {"name": name, "image_url": None}},
        "quantity": 1,
        "sale_price": str(eth * 10**18),
        "event_timestamp": sent_at,
        "payment_token": {"decimals": 18, "eth_price": "1.0", "usd_price": "2500.0"},
    }
    record: dict[str, Any] = {"event_time": time} if stamped else {}
    record |= {
        "topic": f"collection:{slug}",
        "event": kind,
        "payload": {"event_type": kind, "sent_at": sent_at, "payload": payload},
    }
    return json.dumps(record, separators=(",", ":")).encode()


@cache
def _packaged_stream() -> Source:
    """The raw stream as the packaged project declares it."""
    return raw_stream(check(load_project(SQL)), TOPIC)


def compacted(topic: Path, first: int, end: int, keep: bool = False) -> None:
    """Compact the hours in [first, end)."""
    source = open_archive(topic)
    planned = groups(source.listing().files, START + 90 * DAY_MS, 0, first, end)
    made = compact(source, _packaged_stream(), planned, Options(keep=keep))
    assert made.compacted > 0


def records_of(topic: Path, period: tuple[int, int] | None = None) -> list[oracle.Record]:
    """The records of a folder as the oracle reads them; with a period those in it only."""
    good, _ = oracle.read(topic)
    return good if period is None else within(good, period)


def within(records: Iterable[oracle.Record], period: tuple[int, int]) -> list[oracle.Record]:
    """The records of a period."""
    return [record for record in records if period[0] <= record[1] < period[1]]


def request(
    *windows: str | tuple[str, str],
    wanted: str = "all",
    engine: str = "duckdb",
    first: int | None = None,
    end: int | None = None,
    **more: Any,
) -> Request:
    """A request for windows, given as sizes or as (size, slide)."""
    parsed = [parse_window(w, None) if isinstance(w, str) else parse_window(*w) for w in windows]
    return Request(wanted, parsed, first, end, engine=engine, **more)


def recomputed(
    source: Path | str,
    asked: Request,
    root: Path | None = SQL,
    variables: Mapping[str, str] | None = None,
) -> tuple[dict[str, Rows], Prepared, Counts]:
    """Every target's rows, what was done, and what was read."""
    prepared = prepare(asked, open_archive(source), root, variables)
    with ExitStack() as stack:
        results = stack.enter_context(computed(prepared, lambda done, total: None))
        tables = {}
        for target in prepared.job.pipeline.targets:
            table = results.table(target.name)
            tables[target.name] = [row for batch in table.batches for row in batch.to_pylist()]
        return tables, prepared, results.counts


def compare(
    tables: Mapping[str, Rows], suffix: str, expected: oracle.Metrics, kinds: Iterable[str] = tuple(TABLES)
) -> None:
    """Compare the computed tables of a window, and the order of their rows, with the expected metrics."""
    for kind in kinds:
        rows = tables[f"{kind}_{suffix}".upper()]
        names = [name for name in _KEYS if rows and name in rows[0]]
        keys = [[row[name] for name in names] for row in rows]
        assert keys == sorted(keys)
        TABLES[kind](rows, expected)
