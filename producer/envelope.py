"""One websocket frame → one record of the topic ``OpenSeaRawEvents``, or a dead letter.

Frames are Phoenix messages (``phoenix.py``) with an event of OpenSea's Stream API. Both forms that
the protocol has become one shape, a JSON object on one line:

    {"event_time":1789467000000,"topic":"collection:<slug>","event":"item_sold","payload":{…}}

Keys have this order. ``event_time`` is the time on the chain or market in epoch milliseconds, and ``payload`` is the
frame's, byte for byte (line breaks between its tokens become blanks). It is the object frame with a
field more, so it is itself a frame: an archive can be replayed like a recording of the socket, and
keeps the ``event_time`` that it has.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import msgspec

from opensea_metrics.producer import phoenix
from opensea_metrics.producer.phoenix import FrameError, Message

TOPIC = "OpenSeaRawEvents"
DEAD_LETTER_TOPIC = "OpenSeaRawEvents.dlq"
DEAD_FRAME_LIMIT = 150 * 1024
"""Bytes of a frame that a dead letter keeps: even if each became an escape of six it stays under Kafka's 1 MB."""


class Record(msgspec.Struct, frozen=True, gc=False):
    """A record of ``OpenSeaRawEvents``.

    ``key`` is the collection's slug (None: unknown), ``timestamp_ms`` the event time, ``value`` the
    envelope as UTF-8 without a line break. Records of equal ``identity`` tell of one event.
    ``has_own_key`` says that the key came with the record and not from the value.
    """

    key: str | None
    timestamp_ms: int
    event: str
    chain: str | None
    value: bytes
    identity: Hashable = None
    has_own_key: bool = False

    def at(self, timestamp_ms: int) -> Record:
        """The same record at another event time; the payload stays as it is."""
        rest = self.value[self.value.index(b",") :]
        value = b'{"event_time":%d%b' % (timestamp_ms, rest)
        return Record(self.key, timestamp_ms, self.event, self.chain, value, self.identity, self.has_own_key)


class DeadLetter(msgspec.Struct, frozen=True):
    """A frame that cannot become a record, and why."""

    reason: str
    frame: bytes

    @property
    def value(self) -> bytes:
        """The record's value in ``OpenSeaRawEvents.dlq``: ``{"reason": …, "frame": …}``.

        What is not UTF-8 in the frame becomes replacement characters. Of a frame longer than
        DEAD_FRAME_LIMIT the beginning is kept, and ``"bytes"`` tells its length.
        """
        letter: dict[str, object] = {"reason": self.reason}
        letter["frame"] = self.frame[:DEAD_FRAME_LIMIT].decode("utf-8", "replace")
        if len(self.frame) > DEAD_FRAME_LIMIT:
            letter["bytes"] = len(self.frame)
        return msgspec.json.encode(letter)


class _Slug(msgspec.Struct, gc=False):
    slug: str | None = None


class _Hash(msgspec.Struct, gc=False):
    hash: str | None = None


class _Item(msgspec.Struct, gc=False):
    nft_id: str | None = None


class _Account(msgspec.Struct, gc=False):
    address: str | None = None


class _Inner(msgspec.Struct, gc=False):
    event_timestamp: str | None = None
    collection: _Slug | None = None
    chain: str | None = None
    order_hash: str | None = None
    transaction: _Hash | None = None
    item: _Item | None = None
    quantity: msgspec.Raw = msgspec.Raw()
    from_account: _Account | None = None
    to_account: _Account | None = None


class _Payload(msgspec.Struct, gc=False):
    sent_at: str | None = None
    payload: _Inner | None = None


_decode_payload = msgspec.json.Decoder(_Payload).decode
_json = msgspec.json.encode


def decode(frame: bytes) -> Record | DeadLetter | Message:
    """The record in a frame; a control frame (reply, heartbeat, join, close) as its message.

    Never raises, whatever the bytes are. Only the header and the few fields of a record are
    decoded, but the whole frame is checked to be JSON in UTF-8. An event type that is not known is
    no reason for a dead letter, nor are wrong types in the payload: who reads them decides.
    """
    try:
        message = phoenix.decode(frame)
        if phoenix.is_control(message):
            return message
        if not message.event:
            return DeadLetter("no event type", frame)
        payload = bytes(message.payload)
        if payload[:1] != b"{":
            return DeadLetter("payload is not an object", frame)
        sent_at, event_timestamp, slug, chain, identity = _body(message.event, payload)
    except FrameError as error:
        return DeadLetter(str(error), frame)
    except msgspec.DecodeError as error:  # a number without end, say, that the header passed over
        return DeadLetter(f"not JSON: {error}", frame)
    except RecursionError:
        return DeadLetter("nested too deeply", frame)
    time = _kept_time(message)
    if time is None:
        time = epoch_ms(event_timestamp)
    if time is None:
        time = epoch_ms(sent_at)
    if time is None:
        return DeadLetter("no event time: neither event_timestamp nor sent_at is a time", frame)
    if b"\n" in payload or b"\r" in payload:
        # In JSON they stand between tokens only: within strings they are escaped.
        payload = payload.replace(b"\r", b" ").replace(b"\n", b" ")
    value = b'{"event_time":%d,"topic":%b,"event":%b,"payload":%b}' % (
        time, _json(message.topic), _json(message.event), payload,
    )  # fmt: skip
    return Record(slug, time, message.event, chain, value, identity)


def payload_time_ms(frame: bytes) -> int | None:
    """The event time (epoch ms) that the payload of an object frame tells, as :func:`decode` takes it:
    ``payload.payload.event_timestamp``, else ``payload.sent_at``. None if neither is a time."""
    try:
        message = msgspec.json.decode(frame)
    except (msgspec.DecodeError, RecursionError):
        return None
    outer = _member(message, "payload")
    time = epoch_ms(_text(_member(_member(outer, "payload"), "event_timestamp")))
    return epoch_ms(_text(_member(outer, "sent_at"))) if time is None else time


def _kept_time(message: Message) -> int | None:
    """The event time that a line of an archive has already."""
    time = message.event_time if type(message) is phoenix.ObjectMessage else None
    return time if type(time) is int and 0 <= time < _END_MS else None


def _body(
    event: str, payload: bytes
) -> tuple[str | None, str | None, str | None, str | None, Hashable]:
    """sent_at, event_timestamp, slug, chain (None for what is missing or of another type), identity.

    Events of one type are one event if order, transaction, item, event time, quantity and the
    accounts are the same: two transfers of a token can share a transaction, and fills of an order
    differ in theirs. Without an event time, or both hashes, only the whole body tells.
    """
    try:
        outer = _decode_payload(payload)
    except msgspec.ValidationError:
        return (*_odd_body(msgspec.json.decode(payload)), payload)
    inner = outer.payload
    if inner is None:
        return outer.sent_at, None, None, None, payload
    slug = inner.collection.slug if inner.collection is not None else None
    order, transaction = inner.order_hash, inner.transaction
    hash_ = transaction.hash if transaction is not None else None
    identity: Hashable = payload
    if inner.event_timestamp and (order or hash_):
        identity = (
            event,
            order,
            hash_,
            inner.item.nft_id if inner.item is not None else None,
            inner.event_timestamp,
            bytes(inner.quantity),
            inner.from_account.address if inner.from_account is not None else None,
            inner.to_account.address if inner.to_account is not None else None,
        )
    return outer.sent_at, inner.event_timestamp, slug, inner.chain, identity


def _odd_body(outer: Any) -> tuple[str | None, str | None, str | None, str | None]:
    """The same, without identity, for a payload in which something is not of its usual type."""
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
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9])"
    r"(?:\.([0-9]{1,9}))?(Z|[+-](?:[01][0-9]|2[0-3]):?[0-5][0-9])?"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
_END_MS = 253_402_300_800_000
"""Year 10000, which archive paths have no room for."""


def epoch_ms(text: str | None) -> int | None:
    """Epoch milliseconds of an ISO-8601 time, further digits cut off; without an offset it is UTC.

    None for what is not such a time, and for times before 1970 (Kafka has no negative timestamps)
    or after 9999.
    """
    if not text:
        return None
    if len(text) == 27 and text[4] == text[7] == "-" and text[10::16] == "TZ" and text[19] == ".":
        if text[11:13] == "24":  # midnight at the end of a day, which only newer Pythons take
            return None
        try:  # the form that OpenSea sends, three times as fast
            time = (datetime.fromisoformat(text) - _EPOCH) // _MS
        except ValueError:
            return None
        return time if 0 <= time < _END_MS else None
    match = _TIME.fullmatch(text)
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
