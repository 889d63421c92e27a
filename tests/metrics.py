"""Whether the tables and topics of one window on a server are what the oracle says, and the events
for that."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from deploy.client import KsqlClient
from producer import sample
from tests import oracle

Check = Callable[[KsqlClient, str, oracle.Metrics], None]


def frames() -> Iterator[bytes]:
    """The bundled sample, then what it does not have: a mint, a burn, trades back and forth, and of an
    account with itself."""
    first: dict[str, dict[str, Any]] = {}
    for frame in sample.bundled():
        yield frame
        if len(first) < 2 and (b'"item_sold"' in frame or b'"item_transferred"' in frame):
            event = json.loads(frame)
            first.setdefault(event["event"], event)
    moves: list[tuple[str | None, str | None]] = [(_NOBODY, _SOMEONE), (_SOMEONE, _DEAD)]
    moves += [(_SOMEONE, _NOBODY), (None, _SOMEONE), (_SOMEONE, None)]
    for source, target in moves:
        event = first["item_transferred"]
        parties = {"from_account": {"address": source}, "to_account": {"address": target}}
        yield _changed(event, parties)
    sold = first["item_sold"]["payload"]["payload"]
    yield _changed(first["item_sold"], {"maker": sold["taker"], "taker": sold["maker"]})
    itself = {"maker": {"address": _SOMEONE}, "taker": {"address": f" {_SOMEONE.lower()}"}}
    yield _changed(first["item_sold"], itself)
    for changes in (itself | {"item": None}, {"taker": None}, {"maker": {"address": ""}}, {"chain": None}):
        yield _changed(first["item_sold"], changes)


_NOBODY = "0x" + 40 * "0"
_DEAD = "0x" + 36 * "0" + "dEaD"
_SOMEONE = "0xBC4CA0EdA7647A8aB7C2061c2E118A18a936f13D"


def _changed(event: dict[str, Any], changes: dict[str, Any]) -> bytes:
    payload = event["payload"]
    changed = {**payload, "payload": payload["payload"] | changes}
    return json.dumps({**event, "payload": changed}).encode()


def near(value: float | None) -> Any:
    return None if value is None else pytest.approx(value, rel=1e-9, abs=1e-12)


def counted(group: oracle.Group) -> dict[str, Any]:
    return {
        "TRANSFERS": group.transfers,
        "ITEMS_TRANSFERRED": group.items_transferred,
        "SALES": group.sales,
        "ITEMS_SOLD": group.items_sold,
        "USD_VOLUME": near(group.usd_volume),
        "ETH_VOLUME": near(group.eth_volume),
    }


def market(client: KsqlClient, name: str, expected: oracle.Metrics) -> None:
    rows = {row["WS"]: row for row in client.pull(f"SELECT * FROM global_{name};")}
    assert rows.keys() == expected.market.keys()
    for start, group in expected.market.items():
        wanted = {**counted(group), "EVENTS": group.events}
        assert {key: rows[start][key] for key in wanted} == wanted, start


def collections(client: KsqlClient, name: str, expected: oracle.Metrics) -> None:
    pulled = client.pull(f"SELECT * FROM collection_{name};")
    rows = {(row["WINDOWSTART"], row["COLLECTION"]): row for row in pulled}
    assert rows.keys() == expected.collections.keys()
    for key, group in expected.collections.items():
        wanted = counted(group) | {"FLOOR_USD": near(group.floor_usd), "AVG_USD": near(group.avg_usd)}
        assert {column: rows[key][column] for column in wanted} == wanted, key


def assets(client: KsqlClient, name: str, expected: oracle.Metrics) -> None:
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


def top_collections(client: KsqlClient, name: str, expected: oracle.Metrics) -> None:
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


def top_assets(client: KsqlClient, name: str, expected: oracle.Metrics) -> None:
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


def trading(client: KsqlClient, name: str, expected: oracle.Metrics) -> None:
    pulled = client.pull(f"SELECT * FROM trading_{name};")
    rows = {(row["WINDOWSTART"], row["SCOPE"], row["NAME"]): row for row in pulled}
    assert rows.keys() == expected.trading.keys()
    for key, group in expected.trading.items():
        median = group.median_usd
        wanted = {
            "SALES": group.sales,
            "USD_VOLUME": near(group.usd_volume),
            "TRADERS": len(group.traders),
            "MEDIAN_USD": None if median is None else pytest.approx(median, rel=0.01),
            "ORGANIC_USD_VOLUME": pytest.approx(group.organic_usd_volume, rel=1e-9, abs=1e-6),
            "MINTS": group.mints,
            "BURNS": group.burns,
            "TRANSFERS_WITHOUT_SALE": group.transfers_without_sale,
        }
        assert {column: rows[key][column] for column in wanted} == wanted, key
    groups = expected.trading.values()
    assert any(group.organic_usd_volume < group.usd_volume - 1 for group in groups)
    assert all(any(getattr(group, name) for group in groups) for name in ("mints", "burns"))


def long_form(client: KsqlClient, name: str, expected: oracle.Metrics) -> None:
    newest = {
        (row["METRIC"], row["WINDOW_START"]): row["VALUE"]
        for row in client.pull("SELECT * FROM enriched_global_events WHERE collection = '';")
    }
    for start, group in expected.market.items():
        assert newest[f"total_sales__{name.lower()}", start] == group.sales
        assert newest[f"total_usd_volume__{name.lower()}", start] == near(group.usd_volume)


CHECKS: tuple[Check, ...] = (market, collections, assets, top_collections, top_assets, trading, long_form)
