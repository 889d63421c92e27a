"""The client against a real websocket server that misbehaves."""

from __future__ import annotations

import asyncio
import logging
import ssl
import subprocess
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs
from websockets.protocol import State

from opensea_metrics.producer.connection import Stream
from opensea_metrics.producer.envelope import DeadLetter, Record
from opensea_metrics.producer.metrics import Stats
from opensea_metrics.producer.session import Item, StreamError, StreamOptions
from tests.parts import phoenix
from tests.parts.phoenix import KEY, Behaviour, Session
from tests.producer.events import event

QUICK: dict[str, Any] = {
    "reconnect_delays": (0.01,),
    "rejoin_delays": (0.01, 0.05),
    "heartbeat_seconds": 30.0,
    "silence_seconds": 60.0,
    "close_seconds": 1.0,
}


class Run:
    """A stream whose items are kept in a list."""

    def __init__(self, url: str, key: str = KEY, **options: Any) -> None:
        self.items: list[Item] = []
        self.stats = Stats()
        self.room = True
        self.insisted: list[Item] = []
        made = StreamOptions(url=url, key=SecretStr(key), **{**QUICK, **options})
        self.stream = Stream(made, self.take, self.insist, self.stats)

    def take(self, item: Item) -> bool:
        if self.room:
            self.items.append(item)
        return self.room

    async def insist(self, item: Item) -> None:
        while not self.room:
            await asyncio.sleep(0.01)
        self.items.append(item)

    def until(self, condition: Callable[[], bool], timeout: float = 60) -> None:
        """Run until the condition holds, then stop in order."""

        async def main() -> None:
            async with asyncio.timeout(timeout):
                running = asyncio.create_task(self.stream.run())
                while not condition() and not running.done():
                    await asyncio.sleep(0.005)
                self.stream.stop()
                await running

        asyncio.run(main())

    @property
    def numbers(self) -> list[int]:
        return [each.timestamp_ms % 100_000 for each in self.items if isinstance(each, Record)]


async def send(session: Session, *numbers: int) -> None:
    for number in numbers:
        each = event(number)
        await session.send(each.kind, each.payload, each.topic)


def sender(*batches: tuple[int, ...]) -> Callable[[Session], Any]:
    """A script that sends a batch on each connection, then ends it: the n-th on the n-th."""

    async def script(session: Session) -> None:
        await send(session, *batches[min(session.number, len(batches) - 1)])
        if session.number < len(batches) - 1:
            await session.half_close()

    return script


@pytest.mark.parametrize("version", ["2.0.0", "1.0.0"])
def test_both_versions_join_beat_and_receive(version: Any) -> None:
    with phoenix.running(Behaviour(sender((1, 2, 3)))) as server:
        run = Run(
            server.url, version=version, slugs=("otters", "kobolds"), event_types=("item_listed",),
            heartbeat_seconds=0.05,
        )  # fmt: skip
        run.until(lambda: len(run.items) == 6 and beats(server) >= 3)
    (path,) = server.handshakes
    assert path == f"/socket/websocket?token={quote_plus(KEY)}&vsn={version}"
    join = {"event_types": ["item_listed"]}
    if version == "2.0.0":
        assert server.received[0] == ["1", "1", "collection:otters", "phx_join", join]
        assert [None, "3", "phoenix", "heartbeat", {}] in server.received
    else:
        assert server.received[0] == {
            "topic": "collection:otters", "event": "phx_join", "payload": join, "ref": "1"
        }  # fmt: skip
        assert {
            "topic": "phoenix",
            "event": "heartbeat",
            "payload": {},
            "ref": "3",
        } in server.received
    # Whatever the version, the record is the same, byte for byte.
    assert {each.value for each in run.items if isinstance(each, Record)} == {
        event(number).record for number in (1, 2, 3)
    }
    assert run.stats.connections == 1


def beats(server: phoenix.Server) -> int:
    return sum("heartbeat" in frame or "heartbeat" in str(frame) for frame in server.received)


def test_reconnects_and_rejoins_with_new_join_refs() -> None:
    with phoenix.running(Behaviour(sender((1, 2), (3,), (4, 5)))) as server:
        run = Run(server.url)
        run.until(lambda: len(run.items) == 5)
    assert run.numbers == [1, 2, 3, 4, 5]
    assert run.stats.connections == 3
    assert len(server.handshakes) == 3


def test_a_heartbeat_without_answer_reconnects() -> None:
    behaviour = Behaviour(sender((1,)), answers_heartbeats=lambda session: session.number > 0)
    with phoenix.running(behaviour) as server, capture_logs() as logs:
        run = Run(server.url, heartbeat_seconds=0.1)
        run.until(lambda: run.stats.connections == 2 and run.numbers == [1, 1])
    assert "no answer to the heartbeat" in str(logs)


def test_a_full_sink_is_not_taken_for_a_dead_connection() -> None:
    """While the sink has no room nothing is read, so no answer to a heartbeat either."""
    with phoenix.running(Behaviour(sender(tuple(range(50))))) as server:
        run = Run(server.url, heartbeat_seconds=0.05)
        run.room = False

        def later() -> bool:
            if beats(server) > 8:
                run.room = True
            return len(run.items) == 50

        run.until(later)
    assert run.numbers == list(range(50))
    assert run.stats.connections == 1


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_ends_it_at_once(status: int) -> None:
    with phoenix.running(Behaviour(status=status)) as server:
        run = Run(server.url)
        with pytest.raises(
            StreamError, match=f"refuses the API key .HTTP {status}.*OPENSEA_API_KEY"
        ):
            run.until(lambda: False)
    assert len(server.handshakes) == 1, "a refused key must not be tried again"


def test_a_wrong_address_ends_it_at_once() -> None:
    complaint = r"no stream at this address \(HTTP 404\)"
    with (
        phoenix.running(Behaviour(status=404)) as server,
        pytest.raises(StreamError, match=complaint),
    ):
        Run(server.url).until(lambda: False)
    assert len(server.handshakes) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_in_trouble_is_tried_again(status: int) -> None:
    behaviour = Behaviour(sender((1,)), status=status)
    with phoenix.running(behaviour) as server:
        run = Run(server.url)

        def mended() -> bool:
            if len(server.handshakes) >= 3:
                behaviour.status = None
            return run.numbers == [1]

        run.until(mended)


def test_nobody_listens_then_somebody_does() -> None:
    with phoenix.running(Behaviour()) as server:
        url = server.url
    with capture_logs() as logs:
        run = Run(url)
        run.until(lambda: len([each for each in logs if each["event"] == "connection lost"]) >= 3)
    assert "ConnectionRefusedError" in logs[0]["reason"]


def test_a_refused_join_ends_it() -> None:
    refuse = {"status": "error", "response": {"reason": "unmatched topic"}}
    behaviour = Behaviour(join_reply=lambda topic, attempt: refuse)
    complaint = "refuses collection:nope: unmatched topic"
    with phoenix.running(behaviour) as server, pytest.raises(StreamError, match=complaint):
        Run(server.url, slugs=("nope",)).until(lambda: False)
    assert len(server.handshakes) == 1


def test_a_late_join_reply_is_waited_for_and_a_missing_one_asked_for_again() -> None:
    ok = {"status": "ok", "response": {}}
    behaviour = Behaviour(
        sender((1,)), join_delay=0.2, join_reply=lambda topic, attempt: ok if attempt else None
    )
    with phoenix.running(behaviour) as server:
        run = Run(server.url, join_seconds=1.0)
        run.until(lambda: run.numbers == [1])
    joins = [frame for frame in server.received if frame[3] == "phx_join"]
    assert [frame[0] for frame in joins] == ["1", "2"]
    assert len(server.handshakes) == 1


def test_events_before_the_join_reply_are_kept() -> None:
    with phoenix.running(Behaviour(before_join=sender((1, 2)))) as server:
        run = Run(server.url)
        run.until(lambda: run.stats.joined == 1)
    assert run.numbers == [1, 2]


@pytest.mark.parametrize("version", ["2.0.0", "1.0.0"])
@pytest.mark.parametrize("end", ["phx_error", "phx_close"])
def test_the_end_of_a_channel_is_joined_again(end: str, version: Any) -> None:
    joined = 0

    async def script(session: Session) -> None:
        nonlocal joined
        joined += 1
        await send(session, joined)
        if joined < 3:
            await session.send(end, b"{}")

    with phoenix.running(Behaviour(script)) as server:
        run = Run(server.url, slugs=("otters",), version=version)
        run.until(lambda: run.numbers == [1, 2, 3])
    assert len(server.handshakes) == 1


def test_the_end_of_the_channel_joined_before_is_old_news() -> None:
    """Phoenix closes the older channel when a topic is joined twice."""

    async def script(session: Session) -> None:
        await session.raw(b'["0",null,"%b","phx_close",{}]' % session.topic.encode())
        await session.raw(b'["1",null,"collection:others","phx_close",{}]')
        await send(session, 1)
        await asyncio.sleep(0.5)  # long enough to join again
        await send(session, 2)

    with phoenix.running(Behaviour(script)) as server:
        run = Run(server.url)
        run.until(lambda: 2 in run.numbers)
        assert run.numbers == [1, 2]
        assert sum(frame[3] == "phx_join" for frame in server.received) == 1


def test_stopping_takes_what_was_sent_before_the_closing_handshake() -> None:
    sent = 0

    async def endless(session: Session) -> None:
        nonlocal sent
        while session.socket.state is State.OPEN:
            sent += 1
            await send(session, sent)

    with phoenix.running(Behaviour(endless)) as server:
        run = Run(server.url)
        run.until(lambda: len(run.items) > 2_000)
    assert run.numbers == list(range(1, sent + 1))


def test_silence_raises_an_alarm_and_reconnects_when_all_collections_are_wanted() -> None:
    with phoenix.running(Behaviour()) as server, capture_logs() as logs:
        run = Run(server.url, silence_seconds=0.1)
        run.until(lambda: run.stats.connections == 3)
    assert run.stats.silences >= 2
    assert any("no event for a long time" in each["event"] for each in logs)


def test_silence_of_a_single_collection_only_raises_an_alarm() -> None:
    with phoenix.running(Behaviour()) as server:
        run = Run(server.url, silence_seconds=0.1, slugs=("otters",))
        run.until(lambda: run.stats.silences >= 3)
    assert len(server.handshakes) == 1


def test_garbage_is_kept_as_dead_letters() -> None:
    bad = [
        b"\xff\xfe",
        b"",
        b"[",
        b'["1",null,"t","e"]',
        b'{"topic":1}',
        b"[" * 5000,
        b"null",
        b"1e999",
    ]

    async def script(session: Session) -> None:
        for each in bad:
            await session.raw(each)
        await session.write(b"\x82\x02{}")  # a binary frame
        await session.write(b"\x01\x01[\x80\x01]")  # a text in two fragments
        await session.write(b"\x89\x02hi")  # a ping
        await send(session, 1)

    with phoenix.running(Behaviour(script)) as server:
        run = Run(server.url)
        run.until(lambda: run.numbers == [1])
    letters = [each.frame for each in run.items if isinstance(each, DeadLetter)]
    assert letters == [*bad, b"{}", b"[]"]
    assert run.stats.received == len(bad) + 3


@pytest.mark.parametrize(
    "last_words",
    [
        b"\x81\x7e\x04\x00half a frame",
        b"\x81\x7f\x00\x00\x00\x00\x7f\xff\xff\xff",  # 2 GB are to come
        b"\x83\x00",  # an opcode that there is not
        b"\x88\x02\x03\xe8",  # a close
        b"\x01\x02[1",  # the first of several fragments
    ],
    ids=["cut mid-frame", "oversized", "bad opcode", "closed", "cut between fragments"],
)
def test_a_connection_that_ends_badly_loses_nothing_sent_before(last_words: bytes) -> None:
    async def script(session: Session) -> None:
        await send(session, 2 * session.number, 2 * session.number + 1)
        if session.number == 0:
            await session.write(last_words)
            await session.half_close()

    with phoenix.running(Behaviour(script)) as server:
        run = Run(server.url)
        run.until(lambda: len(run.items) == 4)
    assert run.numbers == [0, 1, 2, 3]
    assert run.stats.connections == 2


def test_a_large_frame_is_passed_on() -> None:
    large = b'{"sent_at":"2026-09-15T10:00:00Z","payload":{},"x":"%b"}' % (b"x" * 5_000_000)

    async def script(session: Session) -> None:
        await session.send("item_listed", large)

    with phoenix.running(Behaviour(script)) as server:
        run = Run(server.url)
        run.until(lambda: len(run.items) == 1)
    (item,) = run.items
    assert isinstance(item, Record)
    assert item.value.endswith(large + b"}")


def certificate(folder: Path) -> ssl.SSLContext:
    """A server's side of TLS, with a certificate that nobody vouches for."""
    subprocess.run(
        ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout",
         "key.pem", "-out", "cert.pem", "-subj", "/CN=127.0.0.1",
         "-addext", "subjectAltName=IP:127.0.0.1"),
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


def test_tls_is_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with phoenix.running(Behaviour(sender((1,))), ssl=certificate(tmp_path)) as server:
        with capture_logs() as logs:
            run = Run(server.url)
            run.until(lambda: len(logs) >= 2)
        assert "CERTIFICATE_VERIFY_FAILED" in logs[0]["reason"]
        assert run.stats.connections == 0
        assert server.handshakes == []
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
        run = Run(server.url)
        run.until(lambda: run.numbers == [1])


def redirect(location: str) -> Behaviour:
    return Behaviour(status=302, location=location)


@pytest.mark.parametrize(
    ("behaviour", "ends"),
    [
        (Behaviour(sender((1,), (2,))), False),
        (Behaviour(key="another"), True),
        (Behaviour(status=404), True),
        (Behaviour(status=503), False),
        (redirect(f"https://u:{KEY}@[::1/?token={quote(KEY, safe='')}"), False),
        (redirect(f"/elsewhere?token={quote(KEY)}"), False),
        (None, False),
    ],
    ids=["works", "key refused", "not found", "unavailable", "bad redirect", "redirects", "nobody"],
)
def test_the_key_is_in_no_log_error_or_repr(
    behaviour: Behaviour | None, ends: bool, caplog: pytest.LogCaptureFixture, capfd: Any
) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("websockets.client").setLevel(logging.DEBUG)
    told: list[str] = []
    with phoenix.running(behaviour or Behaviour()) as server, capture_logs() as logs:
        run = Run(server.url if behaviour else "ws://127.0.0.1:1/socket/websocket")
        try:
            run.until(lambda: len(logs) >= 5)
        except StreamError as error:
            told += [str(error), repr(error), "".join(traceback.format_exception(error))]
        told += [repr(run.stream.__dict__), str(logs)]
    assert (len(told) == 5) == ends
    told += [f"{record.getMessage()} {record.exc_text}" for record in caplog.records
             if not record.name.startswith("websockets.server")]  # fmt: skip
    out, err = capfd.readouterr()
    everything = "\n".join([*told, out, err])
    for form in (KEY, quote(KEY), quote(KEY, safe=""), quote_plus(KEY)):
        assert form not in everything
