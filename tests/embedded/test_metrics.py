"""Every metric of every window on the embedded server equals the oracle's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy import commands
from deploy.client import KsqlClient
from deploy.demo import wait_until_read
from deploy.embedded import server
from producer import sample
from producer.replay import replay
from producer.sinks import ArchiveSink
from tests import oracle

TUMBLING = {"30_SECONDS": 30_000, "1_MINUTE": 60_000, "5_MINUTES": 300_000, "30_MINUTES": 1_800_000}
HOPPING = {"2_MINUTES_BY_30_SECONDS": (120_000, 30_000)}


def near(value: float | None) -> Any:
    return None if value is None else pytest.approx(value, rel=1e-9, abs=1e-12)


def replay_sample(data: Path) -> None:
    sink = ArchiveSink(data)
    try:
        replay(sample.bundled(), sink)
    finally:
        sink.close()
    # What no producer would write, but a topic may hold.
    odd = data / "topics/OpenSeaRawEvents/year=2026/month=09/day=15/hour=13"
    odd.mkdir(parents=True)
    (odd / "OpenSeaRawEvents+0+9999999999.json").write_bytes(
        b'{bad\n5\n{"event_time":1789470000000,"event":"item_sold","payload":7}\n'
        b'{"event_time":"1789470000000","event":"item_sold"}\n{"event_time":null}\n\xff\xfe\n'
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def client(data: Path) -> Iterator[KsqlClient]:
    windows = '[{size: 30 SECONDS}, {size: 1 MINUTE}, {size: 5 MINUTES}, {size: 30 MINUTES}, '
    windows += '{size: 2 MINUTES, slide: 30 SECONDS}]'
    with server.running(data) as url:
        client = KsqlClient(url)
        commands.apply(client, Path("sql"), {"windows": windows})
        replay_sample(data)
        wait_until_read(client, 120)
        yield client


@pytest.fixture(scope="module")
def records(client: KsqlClient, data: Path) -> list[Any]:
    good, bad = oracle.read(data / "topics/OpenSeaRawEvents")
    assert bad > 4  # the odd lines above, and what the sample holds
    return good


@pytest.fixture(scope="module", params=[*TUMBLING, *HOPPING])
def window(request: pytest.FixtureRequest, records: list[Any]) -> tuple[str, oracle.Metrics]:
    name: str = request.param
    if name in TUMBLING:
        return name, oracle.compute(records, TUMBLING[name])
    return name, oracle.compute(records, *HOPPING[name])


def counted(group: oracle.Group) -> dict[str, Any]:
    return {
        "TRANSFERS": group.transfers,
        "ITEMS_TRANSFERRED": group.items_transferred,
        "SALES": group.sales,
        "ITEMS_SOLD": group.items_sold,
        "USD_VOLUME": near(group.usd_volume),
        "ETH_VOLUME": near(group.eth_volume),
    }


def test_market(client: KsqlClient, window: tuple[str, oracle.Metrics]) -> None:
    name, expected = window
    rows = {row["WS"]: row for row in client.pull(f"SELECT * FROM global_{name};")}
    assert rows.keys() == expected.market.keys()
    for start, group in expected.market.items():
        wanted = {**counted(group), "EVENTS": group.events}
        assert {key: rows[start][key] for key in wanted} == wanted, start


def test_collections(client: KsqlClient, window: tuple[str, oracle.Metrics]) -> None:
    name, expected = window
    pulled = client.pull(f"SELECT * FROM collection_{name};")
    rows = {(row["WINDOWSTART"], row["COLLECTION"]): row for row in pulled}
    assert rows.keys() == expected.collections.keys()
    for key, group in expected.collections.items():
        wanted = counted(group) | {"FLOOR_USD": near(group.floor_usd), "AVG_USD": near(group.avg_usd)}
        assert {column: rows[key][column] for column in wanted} == wanted, key


def test_assets(client: KsqlClient, window: tuple[str, oracle.Metrics]) -> None:
    name, expected = window
    pulled = client.pull(f"SELECT * FROM asset_{name};")
    rows = {(row["WINDOWSTART"], row["COLLECTION"], row["NFT_ID"]): row for row in pulled}
    assert rows.keys() == expected.assets.keys()
    for key, group in expected.assets.items():
        wanted = {
            "TRANSFERS": group.transfers,
            "SALES": group.sales,
            "USD_VOLUME": near(group.usd_volume),
            "ASSET_NAME": group.newest.get("name"),
            "ASSET_URL": group.newest.get("url"),
            "IMAGE_URL": group.newest.get("image"),
        }
        assert {column: rows[key][column] for column in wanted} == wanted, key


def top(groups: dict[str, oracle.Group], by: str, count: int) -> list[tuple[str, Any]]:
    value = "usd_volume" if by == "sales" else "transfers"
    ranked = sorted(
        ((key, getattr(group, value)) for key, group in groups.items() if getattr(group, by)),
        key=lambda entry: (-entry[1], entry[0]),
    )
    return [(key, near(float(number))) for key, number in ranked[:count]]


def test_top_collections(client: KsqlClient, window: tuple[str, oracle.Metrics]) -> None:
    name, expected = window
    by_window: dict[int, dict[str, oracle.Group]] = {}
    for (start, slug), group in expected.collections.items():
        by_window.setdefault(start, {})[slug] = group
    rows = {row["WS"]: row for row in client.pull(f"SELECT * FROM top_collections_{name};")}
    assert rows.keys() == by_window.keys()
    for start, groups in by_window.items():
        row = rows[start]
        assert [(e["KEY"], e["VALUE"]) for e in row["BY_USD_VOLUME"]] == top(groups, "sales", 10)
        assert [(e["KEY"], e["VALUE"]) for e in row["BY_TRANSFERS"]] == top(groups, "transfers", 10)
        for entry in row["BY_USD_VOLUME"]:
            assert json.loads(entry["DETAIL"])["SALES"] == groups[entry["KEY"]].sales


def test_top_assets(client: KsqlClient, window: tuple[str, oracle.Metrics]) -> None:
    name, expected = window
    by_key: dict[tuple[int, str], dict[str, oracle.Group]] = {}
    for (start, slug, nft), group in expected.assets.items():
        by_key.setdefault((start, slug), {})[nft] = group
    pulled = client.pull(f"SELECT * FROM top_assets_{name};")
    rows = {(row["WINDOWSTART"], row["COLLECTION"]): row for row in pulled}
    assert rows.keys() == by_key.keys()
    for key, groups in by_key.items():
        row = rows[key]
        assert row["ASSETS_SOLD"] == len(expected.collections[key].sold_assets)
        assert [(e["KEY"], e["VALUE"]) for e in row["BY_USD_VOLUME"]] == top(groups, "sales", 20)
        assert [(e["KEY"], e["VALUE"]) for e in row["BY_TRANSFERS"]] == top(groups, "transfers", 20)


def test_long_form(client: KsqlClient, window: tuple[str, oracle.Metrics]) -> None:
    name, expected = window
    newest = {
        (row["METRIC"], row["WINDOW_START"]): row["VALUE"]
        for row in client.pull("SELECT * FROM enriched_global_events WHERE collection = '';")
    }
    for start, group in expected.market.items():
        assert newest[f"total_sales__{name.lower()}", start] == group.sales
        assert newest[f"total_usd_volume__{name.lower()}", start] == near(group.usd_volume)
