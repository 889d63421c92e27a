"""Invented events in OpenSea's exact message format. The same arguments give the same bytes.

They resemble real events (shared/opensea-stream.md). There are a long tail of collections, several chains and
payment tokens, quantities above 1, and prices beyond 64 bits. Some events are out of order or arrive twice, some
lack metadata, and a few frames are broken. All names are invented.
"""

from __future__ import annotations

import bisect
import gzip
import itertools
import json
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path

from opensea_metrics.producer.replay import ReplayCounts, replay
from opensea_metrics.producer.sinks import ArchiveSink

BUNDLED = "sample_events.ndjson.gz"
BUNDLED_EVENTS = 6_000
BUNDLED_START = 1_789_466_400_000
"""2026-09-15T10:00:00Z in epoch milliseconds; the bundled events cover two hours from then."""
HOUR = 3_600_000
DAY_START = 1_789_430_400_000
"""2026-09-15T00:00:00Z."""

_COLLECTIONS = 400
_CHAINS = ("ethereum", "ethereum", "ethereum", "base", "base", "matic", "solana")
_ZERO = "0x" + "0" * 40
# symbol, name, decimals, rate in ETH, rate in USD
_TOKENS = (
    ("ETH", "Ether", 18, "1.000000000000000", "2500.000000000000000000"),
    ("WETH", "Wrapped Ether", 18, "1.000863124510729", "2502.157811276822"),
    ("USDC", "USD Coin", 6, "0.000400000000000", "1.000000000000000000"),
)
_AGAIN = 0.004
_ODD = 0.004
"""_AGAIN is the share of draws whose event is sent twice, and _ODD that of draws followed by an odd frame."""
_BIDS = ("item_received_bid", "collection_offer", "trait_offer", "item_cancelled")
_NAMES = ("Otters", "Kobolds", "Lanterns", "Müllpunks", "月の猫", "Tiny Bricks", "Neon Fjord")


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
) -> ReplayCounts:
    """Write an archive of a day's events under ``out/topics``. Raises ArchiveError."""
    sink = ArchiveSink(out, partitions)
    day = frames(events, seed, DAY_START, 24 * HOUR, 0.06)
    try:
        return replay(day, sink, progress=progress or (lambda _: None))
    finally:
        sink.close()


def _frames(
    events: int, seed: int, start_ms: int, duration_ms: int, sales_share: float
) -> Iterator[bytes]:
    rng = random.Random(seed)
    weights = list(itertools.accumulate(1 / (rank + 2) for rank in range(_COLLECTIONS)))
    # A draw gives a second frame if it is a sale, and sometimes an odd frame or the same frame again.
    frames_per_draw = 1 + _sold(sales_share) + _AGAIN + _ODD
    step = duration_ms * frames_per_draw / max(events, 1)
    for number in itertools.count():
        arrival = start_ms + min(int(number * step), duration_ms - 1)
        # Events arrive up to 20 s late, most of them within two seconds.
        late = rng.random()
        moment = max(start_ms, arrival - int(20_000 * late**6) - rng.randrange(900))
        collection = bisect.bisect(weights, rng.random() * weights[-1])
        frame = _event(rng, number, moment, arrival, collection, sales_share)
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
    rng: random.Random, number: int, moment: int, arrival: int, collection: int, sales_share: float
) -> list[bytes]:
    sold = _sold(sales_share)
    draw = rng.random()
    if draw < sold:
        hash_ = f"0x{rng.getrandbits(256):064x}"
        item = _item(rng, collection)
        sale = _sale(rng, item, collection, moment, hash_)
        quantity = '"quantity":1'
        transfer = _transfer(rng, item, collection, moment, hash_, quantity)
        return [
            _frame("item_sold", collection, sale, arrival, number),
            _frame("item_transferred", collection, transfer, arrival, number),
        ]
    if draw < sold + 0.12:
        hash_ = f"0x{rng.getrandbits(256):064x}"
        amount = rng.choice(
            ['"quantity":1'] * 12
            + ['"quantity":"3"', '"quantity":3000000000', '"quantity":null', '"quantity":-4']
        )
        payload = _transfer(rng, _item(rng, collection), collection, moment, hash_, amount)
        return [_frame("item_transferred", collection, payload, arrival, number)]
    kind = "item_listed" if draw < sold + 0.46 else rng.choice((*_BIDS, "item_metadata_updated"))
    return [_frame(kind, collection, _order(rng, kind, collection, moment), arrival, number)]


def _frame(kind: str, collection: int, payload: str, arrival: int, number: int) -> bytes:
    body = (
        f'{{"event_type":"{kind}","version":{arrival},"sent_at":"{_iso(arrival)}",'
        f'"payload":{payload}}}'
    )
    topic = f"collection:{_slug(collection)}"
    if number % 23 == 0:  # as the socket sends it without vsn=2.0.0
        return f'{{"topic":"{topic}","event":"{kind}","payload":{body},"ref":null}}'.encode()
    return f'["1",null,"{topic}","{kind}",{body}]'.encode()


def _slug(collection: int) -> str:
    return f"{('otters', 'kobolds', 'lanterns', 'muellpunks', 'tsuki')[collection % 5]}-{collection:03}"


def _iso(moment: int) -> str:
    time = datetime.fromtimestamp(moment // 1000, UTC)
    return f"{time:%Y-%m-%dT%H:%M:%S}.{moment % 1000:03}000Z"


def _address(rng: random.Random) -> str:
    return f'{{"address":"0x{rng.randrange(1, 3000):040x}"}}'


def _item(rng: random.Random, collection: int) -> str:
    chain = _CHAINS[collection % len(_CHAINS)]
    token = int(rng.paretovariate(0.9)) % 5_000
    nft = f"{chain}/0x{collection + 4096:040x}/{token}"
    if rng.random() < 0.04:
        metadata = '{"name":null,"image_url":null,"animation_url":null,"metadata_url":null}'
    else:
        name = json.dumps(f"{_NAMES[collection % len(_NAMES)]} #{token}", ensure_ascii=False)
        metadata = (
            f'{{"name":{name},"image_url":"https://img.example/{collection}/{token}.png",'
            '"animation_url":null,"metadata_url":null}'
        )
    return (
        f'{{"nft_id":"{nft}","permalink":"https://opensea.io/assets/{nft}",'
        f'"chain":{{"name":"{chain}"}},"metadata":{metadata}}}'
    )


def _head(rng: random.Random, collection: int, moment: int) -> str:
    known = f'{{"slug":"{_slug(collection)}"}}' if rng.random() > 0.003 else "null"
    chain = _CHAINS[collection % len(_CHAINS)]
    return f'"chain":"{chain}","collection":{known},"event_timestamp":"{_iso(moment)}"'


def _transfer(
    rng: random.Random, item: str, collection: int, moment: int, hash_: str, quantity: str
) -> str:
    minted = rng.random() < 0.1
    source = f'{{"address":"{_ZERO}"}}' if minted else _address(rng)
    return (
        f'{{{_head(rng, collection, moment)},"from_account":{source},"to_account":{_address(rng)},'
        f'"item":{item},{quantity},"transaction":{{"hash":"{hash_}","timestamp":"{_iso(moment)}"}}}}'
    )


def _price(rng: random.Random, collection: int, token: int) -> str:
    usd = 4_000 / (collection + 3) * rng.lognormvariate(0, 0.7)
    decimals, rate = _TOKENS[token][2], float(_TOKENS[token][4])
    return str(int(usd / rate * 10**9) * 10 ** (decimals - 6) // 1000 + 1)


def _token(token: int, eth: str, usd: str) -> str:
    symbol, name, decimals, _, _ = _TOKENS[token]
    return (
        f'{{"address":"{_ZERO}","decimals":{decimals},"eth_price":"{eth}","name":"{name}",'
        f'"symbol":"{symbol}","usd_price":"{usd}"}}'
    )


def _sale(rng: random.Random, item: str, collection: int, moment: int, hash_: str) -> str:
    token = rng.choice((0, 0, 0, 1, 1, 2))
    price = json.dumps(_price(rng, collection, token))
    chance = rng.random()
    if chance < 0.01:
        price = rng.choice(("null", '"1e400"', '"about 3"', "63000000000000000000"))
    quantity = rng.choice(["1"] * 20 + ["5", '"2"', "0", "null", "1.5"])
    payment = _token(token, _TOKENS[token][3], _TOKENS[token][4])
    if rng.random() < 0.002:
        payment = '"ETH"'  # not an object, so the server sets the record aside
    return (
        f'{{{_head(rng, collection, moment)},"order_hash":"0x{rng.getrandbits(256):064x}",'
        '"protocol_address":"0x0000000000000068f116a894984e2db1123eb395",'
        f'"item":{item},"quantity":{quantity},"sale_price":{price},"maker":{_address(rng)},'
        f'"taker":{_address(rng)},"listing_type":null,"closing_date":"{_iso(moment)}",'
        f'"is_private":false,"payment_token":{payment},'
        f'"transaction":{{"hash":"{hash_}","timestamp":"{_iso(moment)}"}}}}'
    )


def _order(rng: random.Random, kind: str, collection: int, moment: int) -> str:
    if kind == "item_metadata_updated":
        return f'{{"collection":{{"slug":"{_slug(collection)}"}},"item":{_item(rng, collection)}}}'
    token = rng.choice((0, 1, 1, 2))
    price = _price(rng, collection, token)
    # On orders these are the order's value, not the token's rate.
    value = int(price) / 10 ** _TOKENS[token][2]
    eth, usd = value * float(_TOKENS[token][3]), value * float(_TOKENS[token][4])
    item = {"collection_offer": "{}", "trait_offer": "null"}.get(kind) or _item(rng, collection)
    return (
        f'{{{_head(rng, collection, moment)},"item":{item},"quantity":1,"base_price":"{price}",'
        f'"listing_date":"{_iso(moment)}","expiration_date":"{_iso(moment + 86_400_000)}",'
        f'"maker":{_address(rng)},"taker":null,"order_hash":"0x{rng.getrandbits(256):064x}",'
        '"protocol_address":"0x0000000000000068f116a894984e2db1123eb395","protocol_data":null,'
        f'"is_private":false,"payment_token":{_token(token, f"{eth:.15f}", f"{usd:.12f}")}}}'
    )


def _odd(rng: random.Random, number: int, moment: int) -> bytes:
    """A frame that is broken, has an unknown event type, or is not an event."""
    time = _iso(moment)
    return rng.choice(
        (
            b'["1",null,"collection:otters-000","item_sold",{"event_type":"item_so',
            b'"just a text"',
            b'["1",null,"collection:otters-000","item_sold",{"payload":{"quantity":1}}]',
            f'["1",null,"collection:otters-000","item_sold",{{"event_type":"item_sold","sent_at":'
            f'"{time}","payload":{{"event_timestamp":"{time}","item":"none"}}}}]'.encode(),
            f'["1",null,"collection:otters-000","item_teleported",{{"event_type":"item_teleported",'
            f'"sent_at":"{time}","payload":{{}}}}]'.encode(),
            f'[null,"{number}","phoenix","phx_reply",{{"status":"ok","response":{{}}}}]'.encode(),
        )
    )
