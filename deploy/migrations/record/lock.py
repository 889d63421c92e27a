"""The lock: one run at a time, on any number of machines.

ksqlDB has no compare-and-set. But of two CREATE STREAM with the same name it executes one and refuses the other.
So the lock is a chain of streams ``OPENSEA_METRICS_LOCK_<number>``. The names of the newest stream's columns say
who holds the lock, or that the lock is free:

- *acquire*: the newest stream n is free, or its holder is dead. CREATE n + 1, held by me. A run that is refused
  has lost. Then drop the older streams, and only then do anything else.
- *release*: CREATE n + 1, free, and drop n.
- *fence*: every request begins with ``DESCRIBE OPENSEA_METRICS_LOCK_<mine>``. ksqlDB checks all statements of a
  request before it executes the first one. So the server refuses a run that seemed dead and wakes up.

The holder writes a heartbeat every quarter of ``ttl`` seconds. If the last heartbeat is older than ``ttl``, another
run waits for one interval and checks again. So a wrong clock never takes the lock from a living holder.
"""

from __future__ import annotations

import re
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from opensea_metrics.core.quoting import ksqldb_quoted, ksqldb_text
from opensea_metrics.deploy.client import ClientError, GuardFailed, KsqlClient
from opensea_metrics.deploy.client.delivery import StatementRefused, deliver, effect_if, warn
from opensea_metrics.deploy.migrations.errors import Locked, LockLost
from opensea_metrics.deploy.migrations.record.store import RecordStore, topic_prefix
from opensea_metrics.sql.language.statements.statements import dropping

PREFIX = "OPENSEA_METRICS_LOCK_"
TTL = 60.0  # seconds


@dataclass(frozen=True)
class LockStream:
    """One stream of the chain. ``holder`` is None if the lock is free; ``since`` in ms since 1970.

    ``settled``: the tables of the record show everything that was written before this stream was created.
    """

    number: int
    holder: str | None = None
    since: int = 0
    token: str = field(default_factory=lambda: uuid.uuid4().hex)
    settled: bool = False

    @property
    def name(self) -> str:
        return f"{PREFIX}{self.number}"

    def __str__(self) -> str:
        since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(self.since / 1000))
        return f"{self.holder} holds the lock since {since}"

    def create(self, topic: str) -> str:
        """The statement that creates the stream, and the topic if that belongs to this stream alone."""
        columns = [f"token {self.token}"]
        if self.holder is not None:
            columns += [f"holder {self.holder}", f"since {self.since}"]
        elif self.settled:
            columns.append("settled")
        names = ", ".join(f"{ksqldb_quoted(column)} STRING" for column in columns)
        partitions = ", PARTITIONS=1" if PREFIX in topic else ""
        return (
            f"CREATE STREAM {ksqldb_quoted(self.name)} ({names})"
            f" WITH (KAFKA_TOPIC={ksqldb_text(topic)}, VALUE_FORMAT='JSON'{partitions});"
        )


@contextmanager
def held(store: RecordStore, who: str, ttl: float = TTL) -> Iterator[RecordStore]:
    """Hold the lock; gives the record, under the lock. The server refuses its statements once the lock is lost.

    The record exists, and its tables show everything that was written before. The caller settles the record after
    its last write. Raises Locked if another run holds the lock, LockLost if another run took it meanwhile.
    """
    mine = _acquire(store, who, ttl)
    guarded = RecordStore(store.client.under(mine.name))
    stop, settled = threading.Event(), mine.settled
    heart = threading.Thread(target=_beat, args=(guarded, mine.token, ttl / 4, stop), daemon=True)
    try:
        guarded.create()
        heart.start()
        if not settled:
            guarded.settle()
        settled = False
        yield guarded
        settled = True
    except GuardFailed as error:
        now = holder_of(store.client)
        raise LockLost(
            f"{now.holder if now else 'another run'} took the lock because this run seemed dead. This run has"
            " stopped, and everything that it did is recorded\n  hint: see status, then start this run again"
        ) from error
    finally:
        stop.set()
        free = LockStream(mine.number + 1, settled=settled)
        try:
            if append(guarded.client, guarded.topic(), free, mine):
                drop_older(guarded.client, free.number)
        except ClientError as error:  # the next run takes the lock when the last heartbeat is too old
            warn("the lock could not be released", reason=str(error))


def break_lock(store: RecordStore, force: bool, ttl: float = TTL) -> LockStream | None:
    """Free the lock of a dead holder; returns the holder's stream, None if nobody holds the lock.

    Raises Locked if the last heartbeat is less than ``ttl`` seconds old, unless ``force``.
    """
    last = holder_of(store.client)
    if last is None:
        return None
    if not force and (age := _age(store, last)) < ttl:
        raise Locked(f"{last}, and is alive: its last heartbeat is {age:.0f} s old\n  hint: see --force")
    if not append(store.client, store.topic(), LockStream(last.number + 1), last):
        raise Locked("another run took the lock just now\n  hint: see status, and try again")
    drop_older(store.client, last.number + 1)
    return last


def newest(client: KsqlClient) -> LockStream | None:
    """The newest stream, None if the lock was never taken."""
    while numbers := topics_of(client):
        if (last := _read(client, max(numbers))) is not None:  # None: the stream was replaced just now
            return last
    return None


def holder_of(client: KsqlClient) -> LockStream | None:
    """The stream of the current holder, None if the lock is free."""
    last = newest(client)
    return last if last is not None and last.holder is not None else None


def is_lock(name: str) -> bool:
    """True for a stream of the lock."""
    return name.startswith(PREFIX)


def append(client: KsqlClient, topic: str | None, mine: LockStream, last: LockStream | None) -> bool:
    """Create ``mine`` after ``last``, on ``topic`` (None: a topic of its own). False if another run was first.

    Raises ClientError if the server cannot be reached.
    """
    if topic is None:  # two runs must not name the same new topic: see RecordStore.create
        topic = f"{topic_prefix(client)}{PREFIX}{mine.token}"
    if last is not None:
        client = client.under(last.name)  # the new stream is in the right place only while ``last`` exists
    refusal = None
    try:
        delivered = deliver(client, mine.create(topic), {}, effect_if(lambda: _read(client, mine.number) is not None))
        if delivered.defined is not None:  # the server's answer to this very statement
            return True
    except GuardFailed:
        pass  # after an attempt without an answer, my own stream may be the one that followed ``last``
    except StatementRefused as error:
        refusal = error
    current = _read(client, mine.number)
    if refusal is not None and current is None and "already exists" not in str(refusal):
        raise refusal
    return current is not None and current.token == mine.token


def topics_of(client: KsqlClient) -> dict[int, str]:
    """The numbers of the streams that exist, with their topics."""
    streams = {s.name.removeprefix(PREFIX): s.topic for s in client.streams() if is_lock(s.name)}
    return {int(number): topic for number, topic in streams.items() if number.isdigit()}


def drop_older(client: KsqlClient, number: int) -> None:
    """Drop the streams before ``number``, the oldest first, so that the chain has no gap."""
    for older, topic in sorted(topics_of(client).items()):
        if older < number:
            _drop(client, older, topic)


def _drop(client: KsqlClient, number: int, topic: str) -> None:
    """Drop a stream, and its topic if that belongs to this stream alone."""
    name = f"{PREFIX}{number}"
    statement = dropping("STREAM", name, delete_topic=PREFIX in topic, if_exists=True)
    deliver(client.under(None) if client.guard == name else client, statement.text)


def _read(client: KsqlClient, number: int) -> LockStream | None:
    described = client.describe_all([f"{PREFIX}{number}"])
    if not described:
        return None
    values = dict(column.name.partition(" ")[::2] for column in described[0].columns)
    return LockStream(number, values.get("holder"), int(values.get("since", 0)), values["token"], "settled" in values)


def _acquire(store: RecordStore, who: str, ttl: float) -> LockStream:
    client, topic = store.client, store.topic()
    for _ in range(10):
        last = newest(client)
        if last is not None and last.holder is not None:
            _refuse_unless_dead(store, last, ttl)
        number, settled = (last.number + 1, last.settled) if last else (1, False)
        mine = LockStream(number, re.sub(r"[^\w@.:, -]", "_", who), int(time.time() * 1000), settled=settled)
        if append(client, topic, mine, last):
            topics = topics_of(client)
            if max(topics) == mine.number:
                drop_older(client, mine.number)
                return mine
            # A run that slept since it looked may have created a stream that the others passed long ago.
            _drop(client, mine.number, topics.get(mine.number, ""))
    raise Locked("the lock changed its holder ten times while this run waited\n  hint: try again")


def _refuse_unless_dead(store: RecordStore, last: LockStream, ttl: float) -> None:
    age = _age(store, last)
    if age >= ttl:
        warn("the holder of the lock seems dead, checking again", holder=last.holder)
        before = store.last_heartbeat()
        time.sleep(ttl / 4 + 1 if ttl >= 4 else ttl / 2)
        if store.last_heartbeat() == before:
            return
        age = 0
    raise Locked(
        f"{last}; its last heartbeat is {age:.0f} s old\n"
        f"  hint: wait for that run. {ttl:g} s after its last heartbeat another run can take the lock, and"
        " 'unlock' frees it at once"
    )


def _age(store: RecordStore, last: LockStream) -> float:
    """Seconds since the holder's last heartbeat, by this machine's clock."""
    heartbeat = store.last_heartbeat()
    moment = heartbeat[1] if heartbeat is not None and heartbeat[0] == last.token else last.since
    return max(0.0, time.time() - moment / 1000)


def _beat(store: RecordStore, token: str, interval: float, stop: threading.Event) -> None:
    while not stop.wait(interval):
        try:
            store.write_heartbeat(token, int(time.time() * 1000))
        except GuardFailed:
            return
        except ClientError as error:
            warn("a heartbeat could not be written", reason=str(error))
