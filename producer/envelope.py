"""One websocket frame → one record of the topic ``OpenSeaRawEvents``, or a dead letter.

Frames are Phoenix messages with an event of OpenSea's Stream API, either
``[join_ref, ref, topic, event, payload]`` (``vsn=2.0.0``) or, before that, objects
``{topic, event, payload, ref}``. Both become one shape, a JSON object on one line:

    {"event_time":1789467000000,"topic":"collection:<slug>","event":"item_sold","payload":{…}}

Keys have this order. ``event_time`` is the time on the chain or market in epoch milliseconds, and ``payload`` is the
frame's, byte for byte (line breaks between its tokens become blanks). It is the object frame with a
field more, so it is itself a frame: an archive can be replayed like a recording of the socket.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import msgspec

TOPIC = "OpenSeaRawEvents"
DEAD_LETTER_TOPIC = "OpenSeaRawEvents.dlq"


@dataclass(frozen=True, slots=True)
class Record:
    """A record of ``OpenSeaRawEvents``.

    ``key`` is the collection's slug (None: unknown), ``timestamp_ms`` the event time, ``value`` the
    envelope as UTF-8 without a line break.
    """

    key: str | None
    timestamp_ms: int
    event: str
    chain: str | None
    value: bytes


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A frame that cannot become a record, and why."""

    reason: str
    frame: bytes

    @property
    def value(self) -> bytes:
        """The record's value in ``OpenSeaRawEvents.dlq``: ``{"reason": …, "frame": …}``.

        What is not UTF-8 in the frame becomes replacement characters.
        """
        text = self.frame.decode("utf-8", "replace")
        return msgspec.json.encode({"reason": self.reason, "frame": text})


class _ArrayFrame(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    join_ref: msgspec.Raw
    ref: msgspec.Raw
    topic: str
    event: str
    payload: msgspec.Raw


class _ObjectFrame(msgspec.Struct):
    topic: str
    event: str
    payload: msgspec.Raw


class _Collection(msgspec.Struct):
    slug: str | None = None


class _Inner(msgspec.Struct):
    event_timestamp: str | None = None
    collection: _Collection | None = None
    chain: str | None = None


class _Payload(msgspec.Struct):
    sent_at: str | None = None
    payload: _Inner | None = None


_array_frame = msgspec.json.Decoder(_ArrayFrame)
_object_frame = msgspec.json.Decoder(_ObjectFrame)
_payload = msgspec.json.Decoder(_Payload)


def decode(frame: bytes) -> Record | DeadLetter | None:
    """The record in a frame; None for control frames (replies, heartbeats, joins, closes).

    Never raises, whatever the bytes are. Only the header and the few fields of a record are
    decoded, but the whole frame is checked to be JSON in UTF-8. An event type that is not known is
    no reason for a dead letter, nor are wrong types in the payload: who reads them decides.
    """
    try:
        frame.decode()  # msgspec does not check text that it passes over
        decoder = _array_frame if frame.lstrip()[:1] == b"[" else _object_frame
        header: _ArrayFrame | _ObjectFrame = decoder.decode(frame)
        if header.topic == "phoenix" or header.event.startswith("phx_"):
            return None
        if not header.event:
            return DeadLetter("no event type", frame)
        payload = bytes(header.payload)
        if payload[:1] != b"{":
            return DeadLetter("payload is not an object", frame)
        sent_at, event_timestamp, slug, chain = _body(payload)
    except UnicodeDecodeError as error:
        return DeadLetter(f"not UTF-8: {error.reason} at byte {error.start}", frame)
    except msgspec.ValidationError as error:
        return DeadLetter(f"not a frame: {error}", frame)
    except msgspec.DecodeError as error:
        return DeadLetter(f"not JSON: {error}", frame)
    except RecursionError:
        return DeadLetter("nested too deeply", frame)
    time = epoch_ms(event_timestamp)
    if time is None:
        time = epoch_ms(sent_at)
    if time is None:
        return DeadLetter("no event time: neither event_timestamp nor sent_at is a time", frame)
    if b"\n" in payload or b"\r" in payload:
        # In JSON they stand between tokens only: within strings they are escaped.
        payload = payload.replace(b"\r", b" ").replace(b"\n", b" ")
    topic, event = msgspec.json.encode(header.topic), msgspec.json.encode(header.event)
    value = b'{"event_time":%d,"topic":%b,"event":%b,"payload":%b}' % (time, topic, event, payload)
    return Record(slug, time, header.event, chain, value)


def _body(payload: bytes) -> tuple[str | None, str | None, str | None, str | None]:
    """sent_at, event_timestamp, slug, chain; None for what is missing or of another type."""
    try:
        outer = _payload.decode(payload)
    except msgspec.ValidationError:
        return _odd_body(msgspec.json.decode(payload))
    inner = outer.payload
    if inner is None:
        return outer.sent_at, None, None, None
    slug = inner.collection.slug if inner.collection else None
    return outer.sent_at, inner.event_timestamp, slug, inner.chain


def _odd_body(outer: Any) -> tuple[str | None, str | None, str | None, str | None]:
    """The same for a payload in which something is not of its usual type."""
    inner = _member(outer, "payload")
    chain = _member(inner, "chain")
    return (
        _text(_member(outer, "sent_at")),
        _text(_member(inner, "event_timestamp")),
        _text(_member(_member(inner, "collection"), "slug")),
        # order_invalidate and order_revalidate once had {"name": …} here.
        _text(_member(chain, "name")) or _text(chain),
    )


def _member(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


_TIME = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})"
    r"(?:\.([0-9]{1,9}))?(Z|[+-][0-9]{2}:?[0-9]{2})?"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_END_MS = 253_402_300_800_000
"""Year 10000, which archive paths have no room for."""


def epoch_ms(text: str | None) -> int | None:
    """Epoch milliseconds of an ISO-8601 time, further digits cut off; without an offset it is UTC.

    None for what is not such a time, and for times before 1970 (Kafka has no negative timestamps)
    or after 9999.
    """
    match = _TIME.fullmatch(text) if text else None
    if match is None:
        return None
    seconds, fraction, zone = match.groups()
    whole = _epoch_seconds(seconds, zone)
    if whole is None:
        return None
    time = whole * 1000 + (int(fraction[:3].ljust(3, "0")) if fraction else 0)
    return time if 0 <= time < _END_MS else None


@lru_cache(maxsize=4096)  # events of one second come together
def _epoch_seconds(seconds: str, zone: str | None) -> int | None:
    try:
        moment = datetime.fromisoformat(seconds + (zone or "Z"))
    except ValueError:
        return None
    return (moment - _EPOCH) // timedelta(seconds=1)
