"""One websocket frame → one record of the topic ``OpenSeaRawEvents``, or a dead letter.

Frames are Phoenix messages (``phoenix.py``) with an event of OpenSea's Stream API. The protocol has two
forms of messages. Both become a JSON object on one line:

    {"event_time":1789467000000,"topic":"collection:<slug>","event":"item_sold","payload":{…}}

Keys have this order. ``event_time`` is the time on the chain or market in epoch milliseconds. ``payload`` is the
frame's payload, byte for byte, except that line breaks between its tokens become spaces. The record is the object
frame with one more field, so it is itself a frame. An archive can therefore be replayed like a recording of the
socket, and its records keep their ``event_time``.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import msgspec

from opensea_metrics.producer import phoenix
from opensea_metrics.producer.event_time import END_MS, epoch_ms
from opensea_metrics.producer.phoenix import FrameError, Message

TOPIC = "OpenSeaRawEvents"
DEAD_LETTER_TOPIC = "OpenSeaRawEvents.dlq"
DEAD_FRAME_LIMIT = 150 * 1024
"""Bytes of a frame that a dead letter keeps. Even if each becomes an escape of six, the letter has less than 1 MB."""


class Record(msgspec.Struct, frozen=True, gc=False):
    """A record of ``OpenSeaRawEvents``.

    ``key`` is the collection's slug (None: unknown), ``timestamp_ms`` is the event time, and ``value`` is the
    envelope as UTF-8 without a line break. Records with the same ``identity`` report the same event.
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
        """The same record at another event time, with an unchanged payload."""
        rest = self.value[self.value.index(b",") :]
        value = b'{"event_time":%d%b' % (timestamp_ms, rest)
        return Record(self.key, timestamp_ms, self.event, self.chain, value, self.identity, self.has_own_key)


class DeadLetter(msgspec.Struct, frozen=True):
    """A frame that cannot become a record, with the reason."""

    reason: str
    frame: bytes

    @property
    def value(self) -> bytes:
        """The record's value in ``OpenSeaRawEvents.dlq``: ``{"reason": …, "frame": …}``.

        Bytes of the frame that are not UTF-8 become replacement characters. If a frame is longer than
        DEAD_FRAME_LIMIT, the letter keeps its beginning, and ``"bytes"`` is the frame's length.
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
    """The record in a frame, or the message of a control frame (reply, heartbeat, join, close).

    Never raises, whatever the bytes are. Decodes only the header and a few fields, but checks that the whole frame
    is JSON in UTF-8. Unknown event types and wrong types in the payload are not reasons for a dead letter: the
    readers of the topic decide about them.
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
    except msgspec.DecodeError as error:  # such as an endless number, which decoding the header skipped
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
        # JSON has line breaks only between tokens. In strings, they are escaped.
        payload = payload.replace(b"\r", b" ").replace(b"\n", b" ")
    value = b'{"event_time":%d,"topic":%b,"event":%b,"payload":%b}' % (
        time, _json(message.topic), _json(message.event), payload,
    )  # fmt: skip
    return Record(slug, time, message.event, chain, value, identity)


def payload_time_ms(frame: bytes) -> int | None:
    """The event time (epoch ms) in the payload of an object frame, by the rule of :func:`decode`.

    It is ``payload.payload.event_timestamp``, or else ``payload.sent_at``. None if neither is a time.
    """
    try:
        message = msgspec.json.decode(frame)
    except (msgspec.DecodeError, RecursionError):
        return None
    outer = _member(message, "payload")
    time = epoch_ms(_text(_member(_member(outer, "payload"), "event_timestamp")))
    return epoch_ms(_text(_member(outer, "sent_at"))) if time is None else time


def _kept_time(message: Message) -> int | None:
    """The event time in a line of an archive; None for a frame without one."""
    time = message.event_time if type(message) is phoenix.ObjectMessage else None
    return time if type(time) is int and 0 <= time < END_MS else None


def _body(
    event: str, payload: bytes
) -> tuple[str | None, str | None, str | None, str | None, Hashable]:
    """sent_at, event_timestamp, slug, chain, identity. The first four are None if missing or of another type.

    Two events of one type are the same event if order, transaction, item, event time, quantity and
    accounts are equal. Two transfers of a token can share a transaction, and the fills of an order have
    different transactions. Without an event time, or without both hashes, the whole body is the identity.
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
    """The first four values of :func:`_body`, for a payload in which a field has an unusual type."""
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
