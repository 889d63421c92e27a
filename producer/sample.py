"""Generates events in OpenSea's exact message format. The same arguments give the same bytes.

They resemble real events (shared/opensea-stream.md), in a market that :mod:`producer.market` describes. There are
several chains and payment tokens, quantities above 1, and prices beyond 64 bits. Some events are out of order or
arrive twice, some lack metadata, and a few frames are broken. All names are fictional.
"""

from __future__ import annotations

import gzip
import itertools
import random
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path

from opensea_metrics.producer import market
from opensea_metrics.producer.market import SampleCollection
from opensea_metrics.producer.replay import ReplayCounts, replay
from opensea_metrics.producer.sample_payloads import iso, order, sale, transfer
from opensea_metrics.producer.sinks import ArchiveSink

BUNDLED = "sample_events.ndjson.gz"
BUNDLED_EVENTS = 6_000
BUNDLED_START = 1_789_466_400_000
"""2026-09-15T10:00:00Z in epoch milliseconds; the bundled events cover two hours from then."""
HOUR = 3_600_000
_HALF_HOUR = HOUR // 2
DAY_START = 1_789_430_400_000
"""2026-09-15T00:00:00Z."""

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
        sold_payload, moved_payload = sale(rng, collection, moment)
        return [
            _frame("item_sold", collection, sold_payload, arrival, number),
            _frame("item_transferred", collection, moved_payload, arrival, number),
        ]
    if draw < sold + 0.12:
        return [_frame("item_transferred", collection, transfer(rng, collection, moment), arrival, number)]
    kind = "item_listed" if draw < sold + 0.46 else rng.choice((*_BIDS, "item_metadata_updated"))
    return [_frame(kind, collection, order(rng, kind, collection, moment), arrival, number)]


def _frame(kind: str, collection: SampleCollection, payload: str, arrival: int, number: int) -> bytes:
    body = (
        f'{{"event_type":"{kind}","version":{arrival},"sent_at":"{iso(arrival)}",'
        f'"payload":{payload}}}'
    )
    topic = f"collection:{collection.slug}"
    if number % 23 == 0:  # as the socket sends it without vsn=2.0.0
        return f'{{"topic":"{topic}","event":"{kind}","payload":{body},"ref":null}}'.encode()
    return f'["1",null,"{topic}","{kind}",{body}]'.encode()


def _odd(rng: random.Random, number: int, moment: int) -> bytes:
    """A frame that is malformed, has an unknown event type, or is not an event."""
    time = iso(moment)
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
