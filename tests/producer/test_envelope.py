"""Frames → records, dead letters, control messages."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opensea_metrics.producer import phoenix, sample
from opensea_metrics.producer.envelope import DEAD_FRAME_LIMIT, DeadLetter, Record, decode
from opensea_metrics.producer.event_time import epoch_ms

TIME = 1_789_466_400_123
ISO = "2026-09-15T10:00:00.123456Z"
# As a server may send it: spaces, escapes, key order, long numbers and unicode are to stay.
BODY = (
    '{ "event_type":"item_sold", "sent_at":"2026-09-15T10:00:09Z","payload":{"chain":"matic",'
    f'"event_timestamp":"{ISO}","collection":{{"slug":"otters"}},"quantity":1e2,"n":1.50,'
    '"name":"\\u00fc \\n \\/ 月","big":340282366920938463463374607431768211456}}'
).encode()
VALUE = b'{"event_time":%d,"topic":"collection:otters","event":"item_sold","payload":%b}' % (
    TIME,
    BODY,
)


def array(
    payload: bytes = BODY, topic: str = "collection:otters", event: str = "item_sold"
) -> bytes:
    return b'["1",null,%b,%b,%b]' % (
        json.dumps(topic).encode(),
        json.dumps(event).encode(),
        payload,
    )


def inner(**fields: Any) -> bytes:
    """A payload with an inner payload."""
    return orjson.dumps({"sent_at": ISO, "payload": fields})


def record(frame: bytes) -> Record:
    found = decode(frame)
    assert isinstance(found, Record), found
    return found


@pytest.mark.parametrize(
    "frame",
    [
        array(),
        b" \n" + array(),
        b'{"topic":"collection:otters","event":"item_sold","payload":%b,"ref":null}' % BODY,
        b'{"ref":null,"payload": %b ,"event":"item_sold","topic":"collection:otters","x":[1]}'
        % BODY,
        VALUE,
    ],
    ids=["array", "array after blanks", "object", "object in another order", "line of an archive"],
)
def test_every_form_becomes_one_record_byte_for_byte(frame: bytes) -> None:
    found = record(frame)
    assert found.value == VALUE
    assert (found.key, found.timestamp_ms, found.event, found.chain) == (
        "otters", TIME, "item_sold", "matic"
    )  # fmt: skip


def test_line_breaks_between_tokens_become_blanks() -> None:
    pretty = json.dumps(orjson.loads(inner(event_timestamp=ISO, name="a\nb")), indent=1)
    found = record(array(pretty.replace("\n", "\r\n").encode()))
    assert found.value.count(b"\n") == found.value.count(b"\r") == 0
    assert orjson.loads(found.value)["payload"] == orjson.loads(pretty)


def test_a_line_of_an_archive_keeps_its_event_time() -> None:
    shifted = record(array()).at(TIME + 5_000)
    assert shifted.timestamp_ms == TIME + 5_000
    assert shifted.value == VALUE.replace(b"%d" % TIME, b"%d" % (TIME + 5_000))
    assert record(shifted.value) == shifted
    for odd in (b"-1", b"true", b"1.5", b"null", b'"5"', b"253402300800000"):
        assert record(VALUE.replace(b"%d" % TIME, odd)).timestamp_ms == TIME


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"event_timestamp": ISO}, TIME),
        ({"event_timestamp": "yesterday"}, TIME),  # then sent_at
        ({"event_timestamp": 5}, TIME),
        ({}, TIME),
        ({"event_timestamp": "2026-09-15T12:00:01+02:00"}, TIME - 123 + 1000),
    ],
)
def test_event_time(fields: dict[str, Any], expected: int) -> None:
    assert record(array(inner(**fields))).timestamp_ms == expected


def test_the_whole_inner_payload_may_be_missing_or_odd() -> None:
    for body in (
        b'{"sent_at":"%b"}',
        b'{"sent_at":"%b","payload":null}',
        b'{"sent_at":"%b","payload":7}',
    ):
        found = record(array(body % ISO.encode()))
        assert (found.key, found.chain, found.timestamp_ms) == (None, None, TIME)


@pytest.mark.parametrize(
    ("fields", "key", "chain"),
    [
        ({"chain": {"name": "base"}, "collection": {"slug": "a"}}, "a", "base"),
        ({"chain": 5, "collection": {"slug": "a"}}, "a", None),
        ({"chain": "base", "collection": "a"}, None, "base"),
        ({"chain": "base", "collection": {"slug": None}, "item": "none"}, None, "base"),
        ({"chain": None, "collection": None, "transaction": 3}, None, None),
        ({"chain": "base", "collection": {"slug": "a"}, "quantity": {"x": [1, {}]}}, "a", "base"),
    ],
)
def test_fields_of_odd_types_cost_only_themselves(
    fields: dict[str, Any], key: str | None, chain: str | None
) -> None:
    found = record(array(inner(event_timestamp=ISO, **fields)))
    assert (found.key, found.chain, found.timestamp_ms) == (key, chain, TIME)


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (b"", "not JSON"),
        (b"\xff", "not UTF-8: invalid start byte at byte 0"),
        (array(b'{"sent_at":"\xff"}'), "not UTF-8"),
        (array()[:-9], "not JSON"),
        (array() + b"x", "not JSON"),
        (b"[1,2]", "not a frame"),
        (b'"text"', "not a frame"),
        (b'{"topic":"t","payload":{}}', "not a frame: Object missing required field `event`"),
        (b'["1",null,"t","e",{},6]', "not a frame"),
        (array(event=""), "no event type"),
        (array(b"[]"), "payload is not an object"),
        (array(b"null"), "payload is not an object"),
        (array(b"{}"), "no event time"),
        (array(b'{"sent_at":"2026-13-45T10:00:00Z"}'), "no event time"),
        (b"[" * 100_000, "nested too deeply"),
        (
            array(b'{"sent_at":"%b","payload":%b}' % (ISO.encode(), b"[" * 20_000 + b"]" * 20_000)),
            "nested",
        ),
    ],
)
def test_what_is_no_event_is_a_dead_letter(frame: bytes, reason: str) -> None:
    found = decode(frame)
    assert isinstance(found, DeadLetter)
    assert found.reason.startswith(reason)
    assert found.frame == frame


def test_a_dead_letter_is_json_whatever_the_frame() -> None:
    letter = orjson.loads(DeadLetter("why", b'a"\xff\n').value)
    assert letter == {"reason": "why", "frame": 'a"\ufffd\n'}
    long = DeadLetter("why", b"\x00" * (DEAD_FRAME_LIMIT + 7))
    assert orjson.loads(long.value)["bytes"] == DEAD_FRAME_LIMIT + 7
    assert len(orjson.loads(long.value)["frame"]) == DEAD_FRAME_LIMIT


def test_control_frames_are_given_as_messages() -> None:
    reply = decode(b'["1","2","collection:*","phx_reply",{"status":"ok","response":{}}]')
    assert isinstance(reply, phoenix.ArrayMessage)
    assert (reply.join_ref, reply.ref, phoenix.refusal(reply)) == ("1", "2", None)
    beat = decode(b'{"topic":"phoenix","event":"heartbeat","payload":{},"ref":"5"}')
    assert isinstance(beat, phoenix.ObjectMessage)
    assert beat.ref == "5"


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b'{"status":"ok","response":{}}', None),
        (b'{"status":"error","response":{"reason":"unmatched topic"}}', "unmatched topic"),
        (b'{"status":"error","response":{"code":5}}', '{"code":5}'),
        (b'{"status":"error"}', "null"),
        (b"[]", "[]"),
    ],
)
def test_refusals(payload: bytes, reason: str | None) -> None:
    reply = decode(b'["1","2","t","phx_reply",%b]' % payload)
    assert isinstance(reply, phoenix.ArrayMessage)
    assert phoenix.refusal(reply) == reason


def test_requests_byte_for_byte() -> None:
    types = ("item_sold", "item_transferred")
    assert phoenix.join("2.0.0", "1", "collection:example-otters", types) == (
        '["1","1","collection:example-otters","phx_join",'
        '{"event_types":["item_sold","item_transferred"]}]'
    )
    assert phoenix.join("1.0.0", "1", "collection:*", ()) == (
        '{"topic":"collection:*","event":"phx_join","payload":{},"ref":"1"}'
    )
    assert phoenix.heartbeat("2.0.0", "2") == '[null,"2","phoenix","heartbeat",{}]'
    assert phoenix.heartbeat("1.0.0", "2") == (
        '{"topic":"phoenix","event":"heartbeat","payload":{},"ref":"2"}'
    )


SALE = {
    "event_timestamp": ISO, "order_hash": "0x1", "transaction": {"hash": "0x2"}, "quantity": 1,
    "item": {"nft_id": "ethereum/0x3/4"}, "from_account": None, "to_account": None,
}  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"event_timestamp": "2026-09-15T10:00:00.124000Z"},
        {"order_hash": "0x5"},
        {"transaction": {"hash": "0x5"}},
        {"transaction": None},
        {"quantity": 2},
        {"item": {"nft_id": "ethereum/0x3/5"}},
        {"from_account": {"address": "0x6"}},
        {"to_account": {"address": "0x6"}},
    ],
)
def test_identity_tells_events_apart(change: dict[str, Any]) -> None:
    first = record(array(inner(**SALE)))
    assert first.identity != record(array(inner(**{**SALE, **change}))).identity
    assert first.identity != record(array(inner(**SALE), event="item_listed")).identity


def test_identity_is_the_same_when_an_event_is_sent_again() -> None:
    first = record(array(inner(**SALE)))
    again = {"version": 2, "sent_at": "2026-09-15T10:09:00Z", "payload": {**SALE, "extra": 1}}
    assert first.identity == record(array(orjson.dumps(again), topic="collection:*")).identity


def test_identity_of_events_without_hashes_or_time_is_their_whole_body() -> None:
    """Metadata updates have neither, and one that is sent back to an earlier state is another event."""
    nameless = {"item": {"nft_id": "a"}, "event_timestamp": ISO}
    timeless = {"item": {"nft_id": "a"}, "order_hash": "0x1"}
    for fields in (nameless, timeless, {**SALE, "item": 5}):
        first = record(array(inner(**fields)))
        assert first.identity == record(array(inner(**fields))).identity
        assert first.identity != record(array(inner(**fields, version=2))).identity


@given(st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31)), st.integers(0, 6))
def test_epoch_ms_of_iso_times(moment: datetime, digits: int) -> None:
    text = moment.strftime("%Y").zfill(4) + moment.strftime("-%m-%dT%H:%M:%S")
    if digits:
        text += f".{moment.microsecond:06}"[: digits + 1]
        moment = moment.replace(
            microsecond=moment.microsecond // 10 ** (6 - digits) * 10 ** (6 - digits)
        )
    else:
        moment = moment.replace(microsecond=0)
    passed = moment.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    assert epoch_ms(text + "Z") == passed // timedelta(milliseconds=1)


@pytest.mark.parametrize(
    "text",
    [None, "", "2026", "1789466400", "1969-12-31T23:59:59Z", "2026-02-30T00:00:00Z", "２026-09-15T10:00:00Z",
     "2026-W38-2T10:00:00.123000Z", "2026-09-15 10:00:00Z", "2026-09-15T10:00:00Zx"],
)  # fmt: skip
def test_what_is_no_time(text: str | None) -> None:
    assert epoch_ms(text) is None


def check_total(frame: bytes) -> None:
    """Whatever the bytes are: a message, or a record that is one line of JSON, or a dead letter."""
    found = decode(frame)
    if isinstance(found, Record):
        assert b"\n" not in found.value
        assert 0 <= found.timestamp_ms < 253_402_300_800_000
        hash(found.identity)
        parsed = json.loads(found.value)
        assert list(parsed) == ["event_time", "topic", "event", "payload"]
    elif isinstance(found, DeadLetter):
        assert found.frame == frame
        assert json.loads(found.value)["reason"] == found.reason
    else:
        assert found.event.startswith("phx_") or found.topic == "phoenix"


_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20)
    | st.sampled_from([ISO, "phx_reply", "phoenix"]),
    lambda inside: st.lists(inside, max_size=5) | st.dictionaries(
        st.sampled_from(["topic", "event", "payload", "ref", "sent_at", "event_timestamp", "chain",
                         "collection", "slug", "order_hash", "quantity", "event_time"]) | st.text(max_size=5),
        inside, max_size=6,
    ),
    max_leaves=25,
)  # fmt: skip


@settings(max_examples=2_000, deadline=None)
@given(_JSON | st.tuples(st.none(), st.none(), st.text(), st.text(), _JSON))
def test_any_json_is_read_without_an_exception(value: Any) -> None:
    check_total(json.dumps(value).encode())


@settings(max_examples=3_000, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_read_without_an_exception(frame: bytes) -> None:
    check_total(frame)


def test_100_000_damaged_frames_are_read_without_an_exception() -> None:
    """Real frames with bytes changed, cut out, doubled or put in."""
    rng = random.Random(7)
    frames = list(sample.bundled())[:1_000]
    pieces = [b'"', b"{", b"}", b"[", b"]", b",", b":", b"\\", b"\\u", b"\xff", b"\x00", b"1e999", b"null",
              b"-", b"\xed\xa0\x80", b"\n", b'"payload":', b'"event_timestamp":', b"9" * 400]  # fmt: skip
    kinds = {Record: 0, DeadLetter: 0}
    for _ in range(100_000):
        frame = bytearray(rng.choice(frames))
        for _ in range(rng.randrange(1, 4)):
            at = rng.randrange(len(frame) + 1)
            end = min(len(frame), at + rng.choice((0, 0, 1, 1, 2, 10, 200)))
            frame[at:end] = rng.choice(
                (rng.choice(pieces), b"", rng.randbytes(2), bytes(frame[at:end]) * 2)
            )
        check_total(bytes(frame))
        kind = type(decode(bytes(frame)))
        kinds[kind] = kinds.get(kind, 0) + 1
    assert min(kinds[Record], kinds[DeadLetter]) > 1_000, kinds
