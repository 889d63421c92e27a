"""Generates events in OpenSea's exact message format. The same arguments give the same bytes.

They resemble real events (shared/opensea-stream.md), in a market that :mod:`producer.market` describes. There are
several chains and payment tokens, quantities above 1, and prices beyond 64 bits. Some events are out of order or
arrive twice, some lack metadata, and a few frames are broken. All names are fictional.
"""

from __future__ import annotations

import gzip
import itertools
import json
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path

from opensea_metrics.producer import market
from opensea_metrics.producer.market import SampleCollection, SampleToken
from opensea_metrics.producer.replay import ReplayCounts, replay
from opensea_metrics.producer.sinks import ArchiveSink

BUNDLED = "sample_events.ndjson.gz"
BUNDLED_EVENTS = 6_000
BUNDLED_START = 1_789_466_400_000
"""2026-09-15T10:00:00Z in epoch milliseconds; the bundled events cover two hours from then."""
HOUR = 3_600_000
_HALF_HOUR = HOUR // 2
DAY_START = 1_789_430_400_000
"""2026-09-15T00:00:00Z."""

_ZERO = "0x" + "0" * 40
_DEAD = "0x000000000000000000000000000000000000dead"
_AGAIN = 0.004
_ODD = 0.004
"""_AGAIN is the share of draws whose event is sent twice, and _ODD that of draws followed by an odd frame."""
_BIDS = ("item_received_bid", "collection_offer", "trait_offer", "item_cancelled")


def frames(
    events: int, seed: int, start_ms: int, duration_ms: int, sales_share: float
) -> Iterator[bytes]:
    """About ``events`` frames in order of arrival, over ``duration_ms`` from ``start_ms`` (epoch ms).

    A share of ``sales_share`` (0 to 1) are sales. Each sale is followed by its transfer.
    """
    return itertools.islice(_frames(events, seed, start_ms, duration_ms, sales_share), events)


def bundled_frames() -> Iterator[bytes]:
    """The frames of the package's sample file, generated again; see ``make_bundled``."""
    return frames(BUNDLED_EVENTS, 1, BUNDLED_START, 2 * HOUR, 0.2)


def recent_frames(now: int) -> Iterator[bytes]:
    """As many frames as in the sample file, over two hours up to the last full half hour before ``now`` (epoch ms)."""
    return frames(BUNDLED_EVENTS, 1, (now // _HALF_HOUR) * _HALF_HOUR - 2 * HOUR, 2 * HOUR, 0.2)


def day_before(now: int) -> int:
    """The start (epoch ms) of the day before the one of ``now``, in UTC."""
    return (now // (24 * HOUR) - 1) * 24 * HOUR


def make_bundled(path: Path) -> None:
    """Write the package's sample file again, after a change to this module."""
    with open(path, "wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as file:
        for frame in bundled_frames():
            file.write(frame + b"\n")


def bundled() -> Iterator[bytes]:
    """The frames of the sample that comes with the package."""
    with resources.files("opensea_metrics.producer").joinpath(BUNDLED).open("rb") as file, gzip.open(file) as text:
        for line in text:
            yield line.rstrip(b"\n")


def write_sample(
    out: Path,
    events: int,
    seed: int = 1,
    partitions: int = 2,
    progress: Callable[[ReplayCounts], None] | None = None,
    day_start: int = DAY_START,
) -> ReplayCounts:
    """Write an archive of a day's events under ``out/topics``. The day begins at ``day_start`` (epoch ms).

    Raises ArchiveError.
    """
    sink = ArchiveSink(out, partitions)
    day = frames(events, seed, day_start, 24 * HOUR, 0.06)
    try:
        return replay(day, sink, progress=progress or (lambda _: None))
    finally:
        sink.close()


def _frames(
    events: int, seed: int, start_ms: int, duration_ms: int, sales_share: float
) -> Iterator[bytes]:
    rng = random.Random(seed)
    # A sale adds a second frame. Sometimes a draw also adds a malformed frame, or repeats the frame.
    frames_per_draw = 1 + _sold(sales_share) + _AGAIN + _ODD
    step = duration_ms * frames_per_draw / max(events, 1)
    for number in itertools.count():
        arrival = start_ms + min(int(number * step), duration_ms - 1)
        # Events arrive up to 20 s late, most of them within two seconds.
        late = rng.random()
        moment = max(start_ms, arrival - int(20_000 * late**6) - rng.randrange(900))
        frame = _event(rng, number, moment, arrival, market.drawn(rng), sales_share)
        yield from frame
        chance = rng.random()
        if chance < _AGAIN:
            yield frame[0]  # OpenSea sometimes sends an event again
        elif chance < _AGAIN + _ODD:
            yield _odd(rng, number, moment)


def _sold(sales_share: float) -> float:
    """The share of draws that are sales. It differs from the share of frames, because a sale gives two frames."""
    return sales_share / (1 - sales_share)


def _event(
    rng: random.Random, number: int, moment: int, arrival: int, collection: SampleCollection, sales_share: float
) -> list[bytes]:
    sold = _sold(sales_share)
    draw = rng.random()
    if draw < sold:
        sale, transfer = _sale(rng, collection, moment)
        return [
            _frame("item_sold", collection, sale, arrival, number),
            _frame("item_transferred", collection, transfer, arrival, number),
        ]
    if draw < sold + 0.12:
        quantity = rng.choice(["1"] * 36 + ['"3"', "250", "null", "-4"])
        seller, buyer = market.traders(rng, collection, is_wash=False)
        chance = rng.random()
        if chance < (0.7 if collection.is_minting else 0.03):
            seller = _ZERO
        elif chance > 0.99:
            buyer = _DEAD
        item, hash_ = _item(rng, collection), f"0x{rng.getrandbits(256):064x}"
        payload = _transfer(_head(rng, collection, moment), item, (seller, buyer), moment, hash_, quantity)
        return [_frame("item_transferred", collection, payload, arrival, number)]
    kind = "item_listed" if draw < sold + 0.46 else rng.choice((*_BIDS, "item_metadata_updated"))
    return [_frame(kind, collection, _order(rng, kind, collection, moment), arrival, number)]


def _frame(kind: str, collection: SampleCollection, payload: str, arrival: int, number: int) -> bytes:
    body = (
        f'{{"event_type":"{kind}","version":{arrival},"sent_at":"{_iso(arrival)}",'
        f'"payload":{payload}}}'
    )
    topic = f"collection:{collection.slug}"
    if number % 23 == 0:  # as the socket sends it without vsn=2.0.0
        return f'{{"topic":"{topic}","event":"{kind}","payload":{body},"ref":null}}'.encode()
    return f'["1",null,"{topic}","{kind}",{body}]'.encode()


def _iso(moment: int) -> str:
    time = datetime.fromtimestamp(moment // 1000, UTC)
    return f"{time:%Y-%m-%dT%H:%M:%S}.{moment % 1000:03}000Z"


def _account(address: str) -> str:
    return f'{{"address":"{address}"}}'


def _item(rng: random.Random, collection: SampleCollection, is_wash: bool = False) -> str:
    """An item. Wash trades pass the same few items around."""
    token = rng.randrange(3) if is_wash else int(rng.paretovariate(0.4)) % collection.supply
    nft = f"{collection.chain}/{collection.contract}/{token}"
    if rng.random() < 0.04:
        metadata = '{"name":null,"image_url":null,"animation_url":null,"metadata_url":null}'
    else:
        name = json.dumps(f"{collection.title} #{token}", ensure_ascii=False)
        metadata = (
            f'{{"name":{name},"image_url":"https://img.example/{collection.slug}/{token}.png",'
            '"animation_url":null,"metadata_url":null}'
        )
    return (
        f'{{"nft_id":"{nft}","permalink":"https://opensea.io/assets/{nft}",'
        f'"chain":{{"name":"{collection.chain}"}},"metadata":{metadata}}}'
    )


def _head(rng: random.Random, collection: SampleCollection, moment: int) -> str:
    known = f'{{"slug":"{collection.slug}"}}' if rng.random() > 0.003 else "null"
    return f'"chain":"{collection.chain}","collection":{known},"event_timestamp":"{_iso(moment)}"'


def _transfer(head: str, item: str, accounts: tuple[str, str], moment: int, hash_: str, quantity: str) -> str:
    source, target = map(_account, accounts)
    return (
        f'{{{head},"from_account":{source},"to_account":{target},"item":{item},"quantity":{quantity},'
        f'"transaction":{{"hash":"{hash_}","timestamp":"{_iso(moment)}"}}}}'
    )


def _amount(usd: float, token: SampleToken) -> str:
    """A price in the smallest unit of a token."""
    return str(int(usd / float(token.usd) * 10**9) * 10 ** (token.decimals - 6) // 1000 + 1)


def _token(token: SampleToken, eth: str, usd: str) -> str:
    return (
        f'{{"address":"{_ZERO}","decimals":{token.decimals},"eth_price":"{eth}","name":"{token.name}",'
        f'"symbol":"{token.symbol}","usd_price":"{usd}"}}'
    )


def _sale(rng: random.Random, collection: SampleCollection, moment: int) -> tuple[str, str]:
    """The payloads of a sale and of its transfer, from the seller to the buyer."""
    is_wash = collection.has_ring and rng.random() < 0.25
    is_offer = not is_wash and rng.random() < 0.3
    seller, buyer = market.traders(rng, collection, is_wash)
    floor = collection.floor_at(moment)
    if is_offer:  # a holder accepts an offer, a little below the floor
        usd, token, accounts = floor * rng.uniform(0.92, 0.995), collection.offer_token, (buyer, seller)
    else:
        usd, token, accounts = floor * (1 + rng.expovariate(4)), rng.choice(collection.tokens), (seller, buyer)
        if is_wash:
            usd *= rng.uniform(1.5, 3)
        elif rng.random() < 0.03:  # a rare item
            usd *= rng.uniform(2, 8)
    price = json.dumps(_amount(usd, token))
    chance = rng.random()
    if chance < 0.01:
        price = rng.choice(("null", '"1e400"', '"about 3"'))
    elif chance < 0.012:
        token, price = market.ETHER, "23000000000000000000"  # 23 ETH, as a number beyond 64 bits
    quantity = rng.choice(["1"] * 60 + ["5", '"2"', "0", "null", "1.5"])
    payment = _token(token, token.eth, token.usd)
    if rng.random() < 0.002:
        payment = '"ETH"'  # not an object, so the server cannot read the record
    item, head = _item(rng, collection, is_wash), _head(rng, collection, moment)
    hash_ = f"0x{rng.getrandbits(256):064x}"
    maker, taker = map(_account, accounts)
    sale = (
        f'{{{head},"order_hash":"0x{rng.getrandbits(256):064x}",'
        '"protocol_address":"0x0000000000000068f116a894984e2db1123eb395",'
        f'"item":{item},"quantity":{quantity},"sale_price":{price},"maker":{maker},"taker":{taker},'
        f'"listing_type":null,"closing_date":"{_iso(moment)}","is_private":false,"payment_token":{payment},'
        f'"transaction":{{"hash":"{hash_}","timestamp":"{_iso(moment)}"}}}}'
    )
    return sale, _transfer(head, item, (seller, buyer), moment, hash_, "1")


def _order(rng: random.Random, kind: str, collection: SampleCollection, moment: int) -> str:
    if kind == "item_metadata_updated":
        return f'{{"collection":{{"slug":"{collection.slug}"}},"item":{_item(rng, collection)}}}'
    is_listing = kind == "item_listed"
    token = rng.choice(collection.tokens) if is_listing else collection.offer_token
    floor = collection.floor_at(moment)
    price = _amount(floor * (1 + rng.expovariate(2)) if is_listing else floor * rng.uniform(0.5, 0.97), token)
    # On orders these are the order's value, not the token's rate.
    value = int(price) / 10**token.decimals
    eth, usd = value * float(token.eth), value * float(token.usd)
    item = {"collection_offer": "{}", "trait_offer": "null"}.get(kind) or _item(rng, collection)
    maker, _ = market.traders(rng, collection, is_wash=False)
    return (
        f'{{{_head(rng, collection, moment)},"item":{item},"quantity":1,"base_price":"{price}",'
        f'"listing_date":"{_iso(moment)}","expiration_date":"{_iso(moment + 86_400_000)}",'
        f'"maker":{_account(maker)},"taker":null,"order_hash":"0x{rng.getrandbits(256):064x}",'
        '"protocol_address":"0x0000000000000068f116a894984e2db1123eb395","protocol_data":null,'
        f'"is_private":false,"payment_token":{_token(token, f"{eth:.15f}", f"{usd:.12f}")}}}'
    )


def _odd(rng: random.Random, number: int, moment: int) -> bytes:
    """A frame that is broken, has an unknown event type, or is not an event."""
    time = _iso(moment)
    return rng.choice(
        (
            b'["1",null,"collection:tiny-otters","item_sold",{"event_type":"item_so',
            b'"just a text"',
            b'["1",null,"collection:tiny-otters","item_sold",{"payload":{"quantity":1}}]',
            f'["1",null,"collection:tiny-otters","item_sold",{{"event_type":"item_sold","sent_at":'
            f'"{time}","payload":{{"event_timestamp":"{time}","item":"none"}}}}]'.encode(),
            f'["1",null,"collection:tiny-otters","item_teleported",{{"event_type":"item_teleported",'
            f'"sent_at":"{time}","payload":{{}}}}]'.encode(),
            f'[null,"{number}","phoenix","phx_reply",{{"status":"ok","response":{{}}}}]'.encode(),
        )
    )
