"""Computes the expected metrics from their definitions, in plain Python without SQL or the product's code.

Reads the lines of the archive and computes all metrics for one window size. Sizes are in milliseconds; windows
start at multiples of the size since 1970-01-01. With an advance, windows hop.
"""

from __future__ import annotations

import gzip
import json
import math
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import Any

Record = tuple[str, int, dict[str, Any]]
_STRUCTS = ("collection", "item", "payment_token", "maker", "taker", "from_account", "to_account")


@dataclass
class Group:
    """Counts and sums over the records of a group."""

    events: int = 0
    transfers: int = 0
    items_transferred: int = 0
    sales: int = 0
    items_sold: int = 0
    items_priced: int = 0
    usd: list[float] = field(default_factory=list)
    eth: list[float] = field(default_factory=list)
    units: list[float] = field(default_factory=list)
    sold_assets: set[str] = field(default_factory=set)
    newest: dict[str, str] = field(default_factory=dict)

    @property
    def usd_volume(self) -> float:
        return math.fsum(self.usd)

    @property
    def eth_volume(self) -> float:
        return math.fsum(self.eth)

    @property
    def floor_usd(self) -> float | None:
        return min(self.units, default=None)

    @property
    def avg_usd(self) -> float | None:
        return self.usd_volume / self.items_priced if self.items_priced else None

    def add(self, event: str, record: dict[str, Any]) -> None:
        self.events += 1
        if event == "item_transferred":
            self.transfers += 1
            self.items_transferred += record["quantity"]
        if event == "item_sold":
            self.sales += 1
            self.items_sold += record["quantity"]
            if record["nft_id"] is not None:
                self.sold_assets.add(record["nft_id"])
            if record["usd"] is not None:
                self.usd.append(record["usd"])
                self.units.append(record["usd"] / record["quantity"])
                self.items_priced += record["quantity"]
            if record["eth"] is not None:
                self.eth.append(record["eth"])
        for name in ("name", "url", "image"):
            if record[name] is not None:
                self.newest[name] = record[name]


@dataclass
class Trading:
    """Counts and sums over the sales and transfers of the market, a chain or a collection."""

    sales: int = 0
    transfers: int = 0
    mints: int = 0
    burns: int = 0
    usd: list[float] = field(default_factory=list)
    units: list[float] = field(default_factory=list)
    traders: set[str] = field(default_factory=set)
    trades: list[tuple[str | None, frozenset[str], float]] = field(default_factory=list)

    @property
    def usd_volume(self) -> float:
        return math.fsum(self.usd)

    @property
    def median_usd(self) -> float | None:
        """The median. For an even count, the lower of the two values in the middle."""
        return sorted(self.units)[(len(self.units) - 1) // 2] if self.units else None

    @property
    def organic_usd_volume(self) -> float:
        """The volume without trades of an account with itself, and without repeated trades of a pair and an asset."""
        pairs = Counter((asset, parties) for asset, parties, _ in self.trades)
        wash = [
            usd
            for asset, parties, usd in self.trades
            if len(parties) == 1 or (asset is not None and pairs[asset, parties] > 1)
        ]
        return self.usd_volume - math.fsum(wash)

    @property
    def transfers_without_sale(self) -> int:
        return max(self.transfers - self.sales, 0)

    def add(self, event: str, record: dict[str, Any]) -> None:
        if event == "item_transferred":
            self.transfers += 1
            if record["from"] == _NOBODY:
                self.mints += 1
            elif (record["to"] or "").lower() in (_NOBODY, _DEAD):
                self.burns += 1
            return
        self.sales += 1
        parties = [account for account in (record["maker"], record["taker"]) if account is not None]
        self.traders.update(parties)
        if record["usd"] is not None:
            self.usd.append(record["usd"])
            self.units.append(record["usd"] / record["quantity"])
            if len(parties) == 2:
                self.trades.append((record["nft_id"], frozenset(parties), record["usd"]))


_NOBODY = "0x" + 40 * "0"
_DEAD = "0x" + 36 * "0" + "dead"


@dataclass
class Metrics:
    """All metrics of one kind of window.

    The keys are: window start for the market; (start, collection); (start, collection, nft_id) for assets;
    (start, scope, name) for trading, where the scope is market, chain or collection.
    """

    market: dict[int, Group]
    collections: dict[tuple[int, str], Group]
    assets: dict[tuple[int, str, str], Group]
    trading: dict[tuple[int, str, str], Trading]


def read(root: Path) -> tuple[list[Record], int]:
    """(event, time, record) for each valid line in a topic's directory, and the number of invalid lines."""
    good = []
    bad = 0
    for line in _lines(root):
        record = _record(line)
        if record is None:
            bad += 1
        else:
            good.append(record)
    return good, bad


def compute(
    records: Sequence[Record],
    size: int,
    advance: int | None = None,
    origin: int = 0,
    period: tuple[int, int] | None = None,
) -> Metrics:
    """All metrics of one kind of window: ``size`` ms long, every ``advance`` ms, counted from ``origin``.

    With a ``period``, only windows that lie in it.
    """
    first, end = period or (0, sys.maxsize)
    market: dict[int, Group] = defaultdict(Group)
    collections: dict[tuple[int, str], Group] = defaultdict(Group)
    assets: dict[tuple[int, str, str], Group] = defaultdict(Group)
    trading: dict[tuple[int, str, str], Trading] = defaultdict(Trading)
    for event, time, record in records:
        newest = time - (time - origin) % (advance or size)
        for start in range(newest, time - size, -(advance or size)):
            if start < first or start + size > end:
                continue
            market[start].add(event, record)
            slug, nft = record["slug"], record["nft_id"]
            if event in ("item_sold", "item_transferred"):
                scopes = {"market": "all", "chain": record["chain"], "collection": slug}
                for scope, name in scopes.items():
                    if name is not None:
                        trading[start, scope, name].add(event, record)
            if event in ("item_sold", "item_transferred") and slug is not None:
                collections[start, slug].add(event, record)
                if nft is not None:
                    assets[start, slug, nft].add(event, record)
    return Metrics(dict(market), dict(collections), dict(assets), dict(trading))


def _lines(root: Path) -> Iterator[bytes]:
    """All lines in order of offset. The file's name has the offset of its first line."""
    numbered: list[tuple[int, bytes]] = []
    for path in sorted(root.rglob("*.json*")):
        start = int(path.name.split("+")[2].partition(".")[0])
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            lines = (line for line in file if line != b"\n")
            numbered += [(start + number, line) for number, line in enumerate(lines)]
    return (line for _, line in sorted(numbered, key=itemgetter(0)))


def _record(line: bytes) -> Record | None:
    try:
        outer = json.loads(line, parse_float=str, parse_int=str)
    except ValueError:
        return None
    if not isinstance(outer, dict) or not re.fullmatch("-?[0-9]+", str(outer.get("event_time"))):
        return None
    middle = outer.get("payload")
    if middle is not None and not isinstance(middle, dict):
        return None
    inner = (middle or {}).get("payload")
    if inner is not None and not isinstance(inner, dict):
        return None
    inner = inner or {}
    item = inner.get("item")
    parts = [inner.get(name) for name in (*_STRUCTS, "transaction")]
    parts.append(item.get("metadata") if isinstance(item, dict) else None)
    if any(part is not None and not isinstance(part, dict) for part in parts):
        return None
    item = item or {}
    metadata = item.get("metadata") or {}
    token = inner.get("payment_token") or {}
    quantity = _match("-?[0-9]{1,18}", inner.get("quantity"))
    units = int(quantity) if quantity is not None and int(quantity) > 0 else 1
    price = _match("[0-9]{1,78}", inner.get("sale_price"))
    decimals = _match("[0-9]{1,2}", token.get("decimals"))
    values = {}
    for name in ("usd", "eth"):
        rate = _match(r"[0-9]{1,20}([.][0-9]{1,30})?", token.get(f"{name}_price"))
        values[name] = (
            float(price) / 10.0 ** int(decimals) * float(rate)
            if price is not None and decimals is not None and rate is not None
            else None
        )
    return (
        str(outer.get("event")),
        int(outer["event_time"]),
        {
            "slug": (inner.get("collection") or {}).get("slug"),
            "nft_id": item.get("nft_id"),
            "name": metadata.get("name"),
            "url": item.get("permalink"),
            "image": metadata.get("image_url"),
            "quantity": units,
            "chain": inner.get("chain"),
            "maker": account(inner.get("maker")),
            "taker": account(inner.get("taker")),
            "from": (inner.get("from_account") or {}).get("address"),
            "to": (inner.get("to_account") or {}).get("address"),
            "transaction": (inner.get("transaction") or {}).get("hash"),
            **values,
        },
    )


def account(account: dict[str, Any] | None) -> str | None:
    """An account's address. Hexadecimal addresses become lower case, because capitals are only a checksum."""
    address = str((account or {}).get("address") or "").strip(" \t\r\n")
    return address.lower() if re.fullmatch("0[xX][0-9a-fA-F]{40}", address) else address or None


def _match(pattern: str, value: Any) -> str | None:
    return value if isinstance(value, str) and re.fullmatch(pattern, value) else None
