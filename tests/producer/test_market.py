"""The market of the sample events: prices, traders and collections that a reader believes."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import Any

import orjson

from opensea_metrics.producer import market, sample
from opensea_metrics.producer.envelope import Record, decode

Event = dict[str, Any]


@cache
def day() -> list[Record]:
    """The records of one day."""
    frames = sample.frames(20_000, 1, sample.DAY_START, 24 * sample.HOUR, 0.2)
    return [record for record in map(decode, frames) if isinstance(record, Record)]


@cache
def payloads(kind: str) -> list[Event]:
    """The payloads of a kind of event on that day."""
    return [orjson.loads(record.value)["payload"]["payload"] for record in day() if record.event == kind]


def sales() -> list[Event]:
    """The sales of the day. An odd frame is a sale without anything."""
    return [sale for sale in payloads("item_sold") if "maker" in sale]


def usd(sale: Event) -> float | None:
    """The price of a sale in USD, None if it has none that is a number."""
    try:
        token = sale["payment_token"]
        return int(sale["sale_price"]) / float(10 ** token["decimals"]) * float(token["usd_price"])
    except (TypeError, ValueError, OverflowError):
        return None


def test_slugs_differ_and_floors_fall_with_the_rank() -> None:
    every = market.collections()
    assert len({collection.slug for collection in every}) == market.COLLECTIONS == 400
    assert sum(c.floor for c in every[:20]) / 20 > 10 * sum(c.floor for c in every[200:]) / 200


def test_a_day_of_twenty_thousand_events_is_worth_a_few_million_dollars() -> None:
    prices = [price for sale in sales() if (price := usd(sale)) is not None]
    assert len(prices) > 3_500
    assert 1_000_000 < sum(prices) < 20_000_000
    assert max(prices) < 250_000


def test_sales_are_near_the_floor_of_their_collection() -> None:
    floors = {collection.slug: collection for collection in market.collections()}
    relative = sorted(
        price / floors[sale["collection"]["slug"]].floor_at(sample.DAY_START)
        for sale in sales()
        if sale["collection"] and (price := usd(sale)) is not None
    )
    assert 0.95 < relative[len(relative) // 2] < 1.5


def test_the_transfer_of_a_sale_goes_from_the_seller_to_the_buyer() -> None:
    sale_of = {sale["transaction"]["hash"]: sale for sale in sales()}
    directions: Counter[str] = Counter()
    for transfer in payloads("item_transferred"):
        if sale := sale_of.get(transfer["transaction"]["hash"]):
            accounts = transfer["from_account"]["address"], transfer["to_account"]["address"]
            maker, taker = sale["maker"]["address"], sale["taker"]["address"]
            directions["listing" if accounts == (maker, taker) else "offer"] += 1
            assert set(accounts) == {maker, taker}
    assert directions["listing"] > directions["offer"] > 500


def test_rings_trade_a_few_items_among_themselves() -> None:
    ring = {f"0x{10**6 + c.rank * 3 + member:040x}" for c in market.collections() if c.has_ring for member in range(3)}
    wash = [sale for sale in sales() if {sale["maker"]["address"], sale["taker"]["address"]} <= ring]
    assert 20 < len(wash) < len(sales()) / 10
    assert all(sale["maker"] != sale["taker"] for sale in wash)
    assert {sale["item"]["nft_id"].rpartition("/")[2] for sale in wash} == {"0", "1", "2"}


def test_the_demo_shows_two_hours_that_ended_just_now() -> None:
    now = sample.DAY_START + 50 * sample.HOUR + 12_345
    times = [found.timestamp_ms for found in map(decode, sample.recent_frames(now)) if isinstance(found, Record)]
    assert now - 3 * sample.HOUR < min(times) < max(times) < now


def test_many_accounts_trade() -> None:
    """As many sales as a page of the demo has."""
    accounts = Counter(sale[role]["address"] for sale in sales()[:294] for role in ("maker", "taker"))
    assert 200 < len(accounts) < 450
    assert max(accounts.values()) < 40
