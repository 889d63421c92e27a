"""The command ``produce`` between a real websocket server and a real Kafka broker: nothing is lost,
doubled, invented or out of order, whatever breaks in between."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path

import pytest
from confluent_kafka import Message
from confluent_kafka.admin import AdminClient
from websockets.protocol import State

from opensea_metrics.producer.envelope import DEAD_LETTER_TOPIC, TOPIC
from opensea_metrics.producer.recording import Recording
from tests.parts import kafka, phoenix
from tests.parts.phoenix import Behaviour, Session
from tests.producer.events import (
    Event,
    ended,
    event,
    number_of,
    producing,
    run_command,
    until,
)

REPLAYED = 20_000
"""Events that the server sends again after a reset: more than all buffers in between hold (the
kernel's receive buffer grows to 6 MB, the server's own is 256 KB, and an event has 400 bytes)."""


class Feed:
    """Sends events in order over as many connections as it takes, cutting them at given numbers.

    At a half-close all that was sent arrives, and the next connection goes on behind it. At a reset
    what is under way may be lost: as OpenSea does, the next connection then sends old events again.
    """

    def __init__(self, events: list[Event], cuts: dict[int, str]) -> None:
        self.events = events
        self.cuts = sorted(cuts.items())
        self.position = 0
        self.sent = 0
        self.furthest = 0
        self.done = threading.Event()

    async def __call__(self, session: Session) -> None:
        while self.position < len(self.events):
            cut, how = self.cuts[0] if self.cuts else (len(self.events), "")
            batch = self.events[
                self.position : min(self.position + 50, max(cut, self.position + 1))
            ]
            frames = [session.frame(each.kind, each.payload, each.topic) for each in batch]
            await session.write(b"".join(map(phoenix.encoded, frames)))
            self.position += len(batch)
            self.sent += len(batch)
            self.furthest = max(self.furthest, self.position)
            if self.position >= cut and self.cuts:
                self.cuts.pop(0)
                if how == "half-close":
                    await session.half_close()
                else:
                    self.position = max(0, self.position - REPLAYED)
                    session.cut()
                return
        self.done.set()
        await session.socket.wait_closed()


def check(messages: list[Message], events: list[Event]) -> None:
    """Each event is there once, as sent, and in order among those of its key."""
    by_number = {each.number: each for each in events}
    order: dict[str, list[int]] = defaultdict(list)
    for message in messages:
        value = message.value()
        assert value is not None
        sent = by_number[number_of(value)]  # KeyError: invented
        assert value == sent.record
        assert message.key() == sent.slug.encode()
        order[sent.slug].append(sent.number)
    found = Counter(number for numbers in order.values() for number in numbers)
    twice = sorted(number for number, times in found.items() if times > 1)
    assert not twice, f"{len(twice)} events are there twice, the first are {twice[:5]}"
    lost = sorted(by_number.keys() - found.keys())
    assert not lost, f"{len(lost)} events are lost, the first are {lost[:5]}"
    late = [pair for numbers in order.values() for pair in pairwise(numbers) if pair[0] > pair[1]]
    assert not late, f"{len(late)} events come after newer ones of their key, the first are {late[:5]}"


@pytest.mark.slow
def test_socket_cut_fifty_times_and_broker_killed(tmp_path: Path) -> None:
    events = [event(number) for number in range(200_000)]
    cuts = {4_000 * n - 1_234: "reset" if n % 5 == 0 else "half-close" for n in range(1, 51)}
    feed = Feed(events, cuts)
    with (
        kafka.running(tmp_path / "kafka") as broker,
        phoenix.running(Behaviour(feed)) as server,
        producing(tmp_path, server.url, "--bootstrap", broker.bootstrap) as process,
    ):
        until(lambda: feed.furthest > 70_000, "a third of the events sent")
        broker.kill()
        broker.start()
        until(feed.done.is_set, "all events sent")
        code, out = ended(process)
        assert code == 0, (tmp_path / "stderr").read_text()
        check(kafka.read_topic(broker.bootstrap, TOPIC), events)
        assert kafka.read_topic(broker.bootstrap, DEAD_LETTER_TOPIC) == []
    assert server.sessions == 51
    assert "200000 delivered" in out
    assert f"{feed.sent} events received" in out or feed.sent > 200_000  # resets lose some
    assert "50 reconnects" in out


@pytest.mark.parametrize("seed", range(3))
def test_sigterm_loses_nothing_that_was_received(
    seed: int, broker: kafka.Broker, tmp_path: Path
) -> None:
    """The server counts what it had sent when it got the closing handshake: TCP delivers that."""
    clear(broker)
    sent = 0

    async def endless(session: Session) -> None:
        nonlocal sent
        while session.socket.state is State.OPEN:
            batch = [event(number) for number in range(sent, sent + 50)]
            frames = [session.frame(each.kind, each.payload, each.topic) for each in batch]
            sent += 50
            await session.write(b"".join(map(phoenix.encoded, frames)))

    rng = random.Random(seed)
    with (
        phoenix.running(Behaviour(endless)) as server,
        producing(tmp_path, server.url, "--bootstrap", broker.bootstrap) as process,
    ):
        until(lambda: sent > 1_000 + rng.randrange(60_000), "some events sent")
        code, _ = ended(process)
        assert code == 0, (tmp_path / "stderr").read_text()
        check(kafka.read_topic(broker.bootstrap, TOPIC), [event(number) for number in range(sent)])


@pytest.mark.slow
def test_sigterm_without_a_broker_puts_events_into_a_file(tmp_path: Path) -> None:
    feed = Feed([event(number) for number in range(150_000)], {})
    with (
        kafka.running(tmp_path / "kafka") as broker,
        phoenix.running(Behaviour(feed)) as server,
        producing(
            tmp_path, server.url, "--bootstrap", broker.bootstrap, "--shutdown-seconds", "4"
        ) as process,
    ):
        until(lambda: feed.furthest > 5_000, "some events sent")
        broker.kill()
        until(lambda: stalled(feed), "the full queue holds the sender back")
        assert not feed.done.is_set()
        code, _ = ended(process)
        assert code == 1
        error = (tmp_path / "stderr").read_text()
        (file,) = (tmp_path / ".opensea-metrics/undelivered").iterdir()
        assert "could not be delivered to Kafka" in error
        broker.start()
        in_topic = kafka.read_topic(broker.bootstrap, TOPIC)
        # The advice that the error gives.
        replayed = run_command(
            tmp_path, "replay", str(file), "--sink", "kafka", "--bootstrap", broker.bootstrap
        )
        assert f"replay .opensea-metrics/undelivered/{file.name} --sink kafka" in error
        messages = kafka.read_topic(broker.bootstrap, TOPIC)
    kept = [number_of(value) for value in Recording(file).frames() if isinstance(value, bytes)]
    assert f"{len(kept)} records" in replayed
    assert len(messages) == len(in_topic) + len(kept)
    # What was in flight when the broker died may be in both.
    numbers = sorted({number_of(message.value() or b"") for message in messages})
    assert numbers == list(range(len(numbers))), "something that was received is missing"
    assert len(numbers) > 15_000, "the queue holds 12 MiB"


def stalled(feed: Feed) -> bool:
    before = feed.sent
    time.sleep(2)
    return feed.sent == before


def clear(broker: kafka.Broker) -> None:
    """Delete the producer's topics."""
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    present = [name for name in (TOPIC, DEAD_LETTER_TOPIC) if name in admin.list_topics().topics]
    for future in admin.delete_topics(present).values() if present else ():
        future.result()
    until(lambda: TOPIC not in admin.list_topics().topics, "topics deleted")
