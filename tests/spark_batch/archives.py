"""Archives made for a test, and what recompute makes of them, as rows."""

from __future__ import annotations

import gzip
import importlib.util
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from producer.layout import HOUR_MS
from producer.replay import replay
from producer.sample import frames
from producer.sinks import ArchiveSink
from spark_batch.period import parse_window
from spark_batch.recompute import Prepared, Request, computed, prepare
from spark_batch.source import open_source
from tests import oracle

TOPIC = "OpenSeaRawEvents"
SQL = Path("sql").absolute()
DAY_MS = 24 * HOUR_MS
START = 1_788_998_400_000
"""2026-09-10T00:00:00Z, a Thursday, where windows of 14 days begin."""

Record = tuple[str, int, dict[str, Any]]
Rows = list[dict[str, Any]]


def needs(engine: str) -> None:
    """Skips the test if the engine cannot run here."""
    if engine == "spark":
        if shutil.which("java") is None:
            pytest.skip("Spark needs java")
        if importlib.util.find_spec("pyspark") is None:
            pytest.skip("Spark needs pyspark: make install EXTRAS=test,spark")


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


def records_of(topic: Path, period: tuple[int, int] | None = None) -> list[Record]:
    """The records of a folder as the oracle reads them; with a period those in it only."""
    good, _ = oracle.read(topic)
    return [r for r in good if period is None or period[0] <= r[1] < period[1]]


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
) -> tuple[dict[str, Rows], Prepared, Any]:
    """Every target's rows, what was done, and what was read."""
    prepared = prepare(asked, open_source(source), root, variables)
    with ExitStack() as stack:
        results = stack.enter_context(computed(prepared, lambda done, total: None))
        tables = {}
        for target in prepared.job.pipeline.targets:
            table = results.table(target.name)
            tables[target.name] = [row for batch in table.batches for row in batch.to_pylist()]
        return tables, prepared, results.counts


def near(value: float | None) -> Any:
    return None if value is None else pytest.approx(value, rel=1e-9, abs=1e-12)


def _counted(group: oracle.Group) -> dict[str, Any]:
    return {
        "TRANSFERS": group.transfers,
        "ITEMS_TRANSFERRED": group.items_transferred,
        "SALES": group.sales,
        "ITEMS_SOLD": group.items_sold,
        "USD_VOLUME": near(group.usd_volume),
        "ETH_VOLUME": near(group.eth_volume),
    }


class Expected:
    """What the tables of one kind of window must be, of records: windows of ``size`` ms every
    ``advance`` ms, counted from ``origin`` on, that lie in the period."""

    def __init__(
        self,
        records: Sequence[Record],
        size: int,
        advance: int | None = None,
        origin: int = 0,
        period: tuple[int, int] | None = None,
    ) -> None:
        moved = [(kind, time - origin, record) for kind, time, record in records]
        made = oracle.compute(moved, size, advance)

        def kept(start: int) -> bool:
            return period is None or (period[0] <= start and start + size <= period[1])

        self.size = size
        self.market = {s + origin: g for s, g in made.market.items() if kept(s + origin)}
        self.collections = {
            (s + origin, slug): g for (s, slug), g in made.collections.items() if kept(s + origin)
        }
        self.assets = {
            (s + origin, *key): g for (s, *key), g in made.assets.items() if kept(s + origin)
        }

    def check(self, tables: Mapping[str, Rows], suffix: str, newest: bool = True) -> None:
        """Compare the five tables of a window; ``newest``: the newest names of assets too."""
        self._check_market(tables[f"GLOBAL_{suffix}"])
        self._check_collections(tables[f"COLLECTION_{suffix}"])
        self._check_assets(tables[f"ASSET_{suffix}"], newest)
        self._check_top_collections(tables[f"TOP_COLLECTIONS_{suffix}"])
        self._check_top_assets(tables[f"TOP_ASSETS_{suffix}"])

    def _check_market(self, rows: Rows) -> None:
        assert [row["WINDOWSTART"] for row in rows] == sorted(self.market)
        for row in rows:
            group = self.market[row["WS"]]
            wanted = {
                "SCOPE": "all", "WE": row["WS"] + self.size, "WINDOWSTART": row["WS"],
                "WINDOWEND": row["WS"] + self.size, "EVENTS": group.events, **_counted(group),
            }  # fmt: skip
            assert {key: row[key] for key in wanted} == wanted

    def _check_collections(self, rows: Rows) -> None:
        found = [(row["WINDOWSTART"], row["COLLECTION"]) for row in rows]
        assert found == sorted(self.collections)
        for row in rows:
            group = self.collections[row["WS"], row["SLUG"]]
            wanted = _counted(group) | {
                "FLOOR_USD": near(group.floor_usd), "AVG_USD": near(group.avg_usd),
            }  # fmt: skip
            assert {key: row[key] for key in wanted} == wanted, row

    def _check_assets(self, rows: Rows, newest: bool) -> None:
        found = [(row["WINDOWSTART"], row["COLLECTION"], row["NFT_ID"]) for row in rows]
        assert found == sorted(self.assets)
        for row in rows:
            group = self.assets[row["WS"], row["SLUG"], row["ASSET"]]
            wanted = {
                "TRANSFERS": group.transfers, "SALES": group.sales,
                "USD_VOLUME": near(group.usd_volume),
            }  # fmt: skip
            if newest:
                wanted |= {
                    "ASSET_NAME": group.newest.get("name"), "ASSET_URL": group.newest.get("url"),
                    "IMAGE_URL": group.newest.get("image"),
                }  # fmt: skip
            assert {key: row[key] for key in wanted} == wanted, row

    def _check_top_collections(self, rows: Rows) -> None:
        by_window: dict[int, dict[str, oracle.Group]] = {}
        for (start, slug), group in self.collections.items():
            by_window.setdefault(start, {})[slug] = group
        assert [row["WINDOWSTART"] for row in rows] == sorted(by_window)
        for row in rows:
            groups = by_window[row["WS"]]
            assert row["WE"] == row["WS"] + self.size
            by_usd = _entries(row["BY_USD_VOLUME"])
            assert [each[:2] for each in by_usd] == _top(groups, "sales", 10)
            for slug, _, detail in by_usd:
                group = groups[slug]
                assert detail == {
                    "SALES": group.sales, "FLOOR_USD": near(group.floor_usd),
                    "AVG_USD": near(group.avg_usd),
                }  # fmt: skip
            by_transfers = _entries(row["BY_TRANSFERS"])
            assert [each[:2] for each in by_transfers] == _top(groups, "transfers", 10)
            for slug, _, detail in by_transfers:
                assert detail == {"ITEMS_TRANSFERRED": groups[slug].items_transferred}

    def _check_top_assets(self, rows: Rows) -> None:
        by_key: dict[tuple[int, str], dict[str, oracle.Group]] = {}
        for (start, slug, nft), group in self.assets.items():
            by_key.setdefault((start, slug), {})[nft] = group
        assert [(row["WINDOWSTART"], row["COLLECTION"]) for row in rows] == sorted(by_key)
        for row in rows:
            key = row["WS"], row["SLUG"]
            assert row["ASSETS_SOLD"] == len(self.collections[key].sold_assets)
            for by, column in (("sales", "BY_USD_VOLUME"), ("transfers", "BY_TRANSFERS")):
                entries = _entries(row[column])
                assert [each[:2] for each in entries] == _top(by_key[key], by, 20)
                if by == "sales":
                    for nft, _, detail in entries:
                        assert detail["SALES"] == by_key[key][nft].sales


def _entries(top: list[dict[str, Any]]) -> list[tuple[str, Any, dict[str, Any]]]:
    return [(entry["KEY"], entry["VALUE"], json.loads(entry["DETAIL"])) for entry in top]


def _top(groups: Mapping[str, oracle.Group], by: str, count: int) -> list[tuple[str, Any]]:
    value = "usd_volume" if by == "sales" else "transfers"
    ranked = sorted(
        ((key, getattr(group, value)) for key, group in groups.items() if getattr(group, by)),
        key=lambda entry: (-entry[1], entry[0]),
    )
    return [(key, near(float(number))) for key, number in ranked[:count]]
