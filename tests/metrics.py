"""Compares the tables of one kind of window with the oracle, and makes the events for that."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from math import isfinite
from typing import Any

from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.producer import sample
from tests import oracle

Row = dict[str, Any]
Rows = list[Row]
Check = Callable[[Rows, oracle.Metrics], None]


def frames() -> Iterator[bytes]:
    """The bundled sample, and events that it lacks.

    These are a mint, a burn, trades back and forth, and trades of an account with itself.
    """
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
    yield from prices(first["item_sold"])


def prices(sold: dict[str, Any]) -> Iterator[bytes]:
    """Copies of a sale, at its time, in four collections. PRICED has the expected rows.

    All sales of a collection have prices, none have, some have, or they are free of charge.
    """
    token = {"decimals": 6, "eth_price": "0.001", "usd_price": "2.0"}
    for slug, quantity, price in (
        ("priced", 3, "3000000"), ("priced", 1, "6000000"),
        ("priceless", 5, None), ("priceless", 2, "about 3"),
        ("partly-priced", 3, "3000000"), ("partly-priced", 5, None),
        ("free", 4, "0"),
    ):  # fmt: skip
        changes = {"collection": {"slug": slug}, "quantity": quantity, "sale_price": price}
        yield _changed(sold, changes | {"payment_token": token})


PRICED: Mapping[str, Row] = {
    "priced": {"SALES": 2, "ITEMS_SOLD": 4, "USD_VOLUME": 18.0, "FLOOR_USD": 2.0, "AVG_USD": 4.5},
    "priceless": {"SALES": 2, "ITEMS_SOLD": 7, "USD_VOLUME": 0.0, "FLOOR_USD": None, "AVG_USD": None},
    "partly-priced": {"SALES": 2, "ITEMS_SOLD": 8, "USD_VOLUME": 6.0, "FLOOR_USD": 2.0, "AVG_USD": 2.0},
    "free": {"SALES": 1, "ITEMS_SOLD": 4, "USD_VOLUME": 0.0, "FLOOR_USD": 0.0, "AVG_USD": 0.0},
}
"""Collection → its row in the one window that holds the sales of :func:`prices`."""

_NOBODY = "0x" + 40 * "0"
_DEAD = "0x" + 36 * "0" + "dEaD"
_SOMEONE = "0xBC4CA0EdA7647A8aB7C2061c2E118A18a936f13D"


def _changed(event: dict[str, Any], changes: dict[str, Any]) -> bytes:
    payload = event["payload"]
    changed = {**payload, "payload": payload["payload"] | changes}
    return json.dumps({**event, "payload": changed}).encode()


class Near:
    """Equals every number that differs from ``value`` by at most ``tolerance``, like pytest.approx.

    A comparison of all tables needs 10,000 and more of these. pytest.approx takes 17 µs for each, and this class 1 µs.
    """

    __slots__ = ("tolerance", "value")

    def __init__(self, value: float, rel: float, abs_: float) -> None:
        self.value = value
        self.tolerance = max(rel * abs(value), abs_)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, float | int) or isinstance(other, bool):
            return False
        return other == self.value or (isfinite(self.value) and abs(other - self.value) <= self.tolerance)

    def __repr__(self) -> str:
        return f"{self.value} ± {self.tolerance:.1e}"


def near(value: Any) -> Any:
    """A value that equals this one at every level, except in the last digits of floats.

    Engines add floats in no particular order.
    """
    if isinstance(value, float):
        return Near(value, 1e-9, 1e-12)
    if isinstance(value, list):
        return [near(item) for item in value]
    if isinstance(value, dict):
        return {key: near(item) for key, item in value.items()}
    return value


def market(rows: Rows, expected: oracle.Metrics) -> None:
    wanted = {
        start: {"SCOPE": "all", "EVENTS": group.events, **_counted(group)}
        for start, group in expected.market.items()
    }
    _equal(rows, ("WS",), wanted)


def collections(rows: Rows, expected: oracle.Metrics) -> None:
    wanted = {
        key: _counted(group) | {"FLOOR_USD": near(group.floor_usd), "AVG_USD": near(group.avg_usd)}
        for key, group in expected.collections.items()
    }
    _equal(rows, ("WINDOWSTART", "COLLECTION"), wanted)


def averages(rows: Rows) -> None:
    """Check a collection table's rows for the sales of :func:`prices`."""
    priced = {row["COLLECTION"]: row for row in rows if row["COLLECTION"] in PRICED}
    assert {slug: {name: row[name] for name in PRICED[slug]} for slug, row in priced.items()} == PRICED


def averages_in_long_form(rows: Rows, window: str) -> None:
    """Check the collections' long form for the sales of :func:`prices`. Rows whose value is NULL must exist too."""
    values = {(row["COLLECTION"], row["METRIC"]): row["VALUE"] for row in rows}
    for slug, wanted in PRICED.items():
        for kind, column in (("avg", "AVG_USD"), ("floor", "FLOOR_USD")):
            metric = f"collection_{kind}_assets_usd_price__{window.lower()}"
            assert values[slug, metric] == wanted[column], (slug, metric)


def assets(rows: Rows, expected: oracle.Metrics) -> None:
    wanted = {
        key: {
            "TRANSFERS": group.transfers,
            "SALES": group.sales,
            "USD_VOLUME": near(group.usd_volume),
            "ASSET_NAME": group.newest.get("name"),
            "ASSET_URL": group.newest.get("url"),
            "IMAGE_URL": group.newest.get("image"),
        }
        for key, group in expected.assets.items()
    }
    _equal(rows, ("WINDOWSTART", "COLLECTION", "NFT_ID"), wanted)


def top_collections(rows: Rows, expected: oracle.Metrics) -> None:
    by_window: dict[int, dict[str, oracle.Group]] = {}
    for (start, slug), group in expected.collections.items():
        by_window.setdefault(start, {})[slug] = group
    by_start = _by(rows, ("WS",))
    assert by_start.keys() == by_window.keys()
    for start, groups in by_window.items():
        sold, moved = (by_start[start][column] for column in ("BY_USD_VOLUME", "BY_TRANSFERS"))
        assert _entries(sold) == _top(groups, "sales", 10), start
        assert _entries(moved) == _top(groups, "transfers", 10), start
        for entry in sold:
            group = groups[entry["KEY"]]
            assert json.loads(entry["DETAIL"]) == {
                "SALES": group.sales,
                "FLOOR_USD": near(group.floor_usd),
                "AVG_USD": near(group.avg_usd),
            }
        for entry in moved:
            detail = {"ITEMS_TRANSFERRED": groups[entry["KEY"]].items_transferred}
            assert json.loads(entry["DETAIL"]) == detail


def top_assets(rows: Rows, expected: oracle.Metrics) -> None:
    by_key: dict[tuple[int, str], dict[str, oracle.Group]] = {}
    for (start, slug, nft), group in expected.assets.items():
        by_key.setdefault((start, slug), {})[nft] = group
    rows_by_key = _by(rows, ("WINDOWSTART", "COLLECTION"))
    assert rows_by_key.keys() == by_key.keys()
    for key, groups in by_key.items():
        row = rows_by_key[key]
        assert row["ASSETS_SOLD"] == len(expected.collections[key].sold_assets), key
        assert _entries(row["BY_USD_VOLUME"]) == _top(groups, "sales", 20), key
        assert _entries(row["BY_TRANSFERS"]) == _top(groups, "transfers", 20), key
        for entry in row["BY_USD_VOLUME"]:
            assert json.loads(entry["DETAIL"])["SALES"] == groups[entry["KEY"]].sales


def trading(rows: Rows, expected: oracle.Metrics) -> None:
    wanted = {
        key: {
            "SALES": group.sales,
            "USD_VOLUME": near(group.usd_volume),
            "TRADERS": len(group.traders),
            "MEDIAN_USD": None if group.median_usd is None else Near(group.median_usd, 0.01, 1e-12),
            "ORGANIC_USD_VOLUME": Near(group.organic_usd_volume, 1e-9, 1e-6),
            "MINTS": group.mints,
            "BURNS": group.burns,
            "TRANSFERS_WITHOUT_SALE": group.transfers_without_sale,
        }
        for key, group in expected.trading.items()
    }
    _equal(rows, ("WINDOWSTART", "SCOPE", "NAME"), wanted)


TABLES: Mapping[str, Check] = {
    "global": market,
    "collection": collections,
    "asset": assets,
    "top_collections": top_collections,
    "top_assets": top_assets,
    "trading": trading,
}
"""Prefix of a table's name → its check."""


def table_on_server(client: KsqlClient, kind: str, window: str, expected: oracle.Metrics) -> None:
    """Check the table of a kind (see TABLES) and a window (1_HOUR) with a pull query."""
    TABLES[kind](list(client.pull(f"SELECT * FROM {kind}_{window};")), expected)


def long_form(client: KsqlClient, window: str, expected: oracle.Metrics) -> None:
    """Check the market's rows in the topic to which all windows write."""
    newest = {
        (row["METRIC"], row["WINDOW_START"]): row["VALUE"]
        for row in client.pull("SELECT * FROM enriched_global_events WHERE collection = '';")
    }
    for start, group in expected.market.items():
        assert newest[f"total_sales__{window.lower()}", start] == group.sales
        assert newest[f"total_usd_volume__{window.lower()}", start] == near(group.usd_volume)


def _counted(group: oracle.Group) -> Row:
    return {
        "TRANSFERS": group.transfers,
        "ITEMS_TRANSFERRED": group.items_transferred,
        "SALES": group.sales,
        "ITEMS_SOLD": group.items_sold,
        "USD_VOLUME": near(group.usd_volume),
        "ETH_VOLUME": near(group.eth_volume),
    }


def _equal(rows: Rows, names: tuple[str, ...], wanted: Mapping[Any, Row]) -> None:
    by_key = _by(rows, names)
    assert by_key.keys() == wanted.keys()
    for key, values in wanted.items():
        assert {column: by_key[key][column] for column in values} == values, key


def _by(rows: Rows, names: tuple[str, ...]) -> dict[Any, Row]:
    """Key → row. No two rows may have the same key."""
    keys = [tuple(row[name] for name in names) for row in rows]
    assert len(set(keys)) == len(keys)
    return {key if len(names) > 1 else key[0]: row for key, row in zip(keys, rows, strict=True)}


def _entries(top: list[Row]) -> list[tuple[str, Any]]:
    return [(entry["KEY"], entry["VALUE"]) for entry in top]


def _top(groups: Mapping[str, oracle.Group], by: str, count: int) -> list[tuple[str, Any]]:
    value = "usd_volume" if by == "sales" else "transfers"
    ranked = sorted(
        ((key, getattr(group, value)) for key, group in groups.items() if getattr(group, by)),
        key=lambda entry: (-entry[1], entry[0]),
    )
    return [(key, near(float(number))) for key, number in ranked[:count]]
