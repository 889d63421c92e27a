"""One writer at a time, on any number of machines, by what ksqlDB itself does one at a time.

ksqlDB has no compare-and-set, but of two CREATE STREAM of one name it carries out one and refuses
the other. So the lock is a chain of streams ``OPENSEA_METRICS_LOCK_<generation>``; the newest one
that exists says who holds it (in the names of its columns), or that it is free:

- *acquire*: the newest generation n is free (or its holder is dead): CREATE n + 1, held by me. Who
  is refused has lost. Then older generations are dropped, and only then is anything done.
- *release*: CREATE n + 1, free, and drop n.
- *fence*: everything is sent together with ``DESCRIBE OPENSEA_METRICS_LOCK_<mine>``, and ksqlDB
  checks all statements of a request before it carries out the first. Who was taken for dead and
  wakes up is refused by the server, whatever he believes.

The holder gives a sign of life every quarter of ``ttl`` seconds (a row of the journal). Who finds a
sign older than ``ttl`` looks again after the time in which a living holder would have given another:
so a clock that is wrong takes no living holder's lock away.
"""

from __future__ import annotations

import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import structlog

from deploy.client import ClientError, GuardFailed, KsqlClient, KsqlError, literal, quoted
from deploy.migrations.certainty import LONGEST_WAIT, may_pass
from deploy.migrations.errors import Locked, LockLost
from deploy.migrations.store import Store

log = structlog.get_logger()

PREFIX = "OPENSEA_METRICS_LOCK_"
TTL = 60.0  # seconds


@dataclass(frozen=True)
class Generation:
    """One link of the chain. ``holder`` is None if it is free; ``since`` in ms since 1970.

    ``settled``: all that was recorded before it is to be seen in the tables of the record.
    """

    number: int
    holder: str | None = None
    since: int = 0
    token: str = ""
    settled: bool = False

    @property
    def name(self) -> str:
        """The stream's name."""
        return f"{PREFIX}{self.number}"

    def create(self, topic: str) -> str:
        """The statement that makes it, if nobody was quicker."""
        columns = [f"token {self.token}"]
        if self.holder is not None:
            columns += [f"holder {self.holder}", f"since {self.since}"]
        elif self.settled:
            columns.append("settled")
        names = ", ".join(f"{quoted(each)} STRING" for each in columns)
        return (
            f"CREATE STREAM {quoted(self.name)} ({names})"
            f" WITH (KAFKA_TOPIC={literal(topic)}, VALUE_FORMAT='JSON');"
        )


def is_lock(name: str) -> bool:
    """True for a stream that is part of a lock."""
    return name.startswith(PREFIX)


def newest(client: KsqlClient) -> Generation | None:
    """The newest generation, None if the lock was never taken."""
    while True:
        numbers = _numbers(client)
        if not numbers:
            return None
        found = _read(client, numbers[-1])
        if found is not None:  # else it was replaced just now
            return found


def holder_of(client: KsqlClient) -> Generation | None:
    """The generation of who holds the lock now, None if nobody does."""
    found = newest(client)
    return found if found is not None and found.holder is not None else None


@dataclass
class Lease:
    """The lock, held. ``client``: its statements are refused once the lock is lost.

    ``settled``: what was recorded so far is to be seen in the tables. Set it before the lease ends,
    if it is so then: it saves the next holder from waiting for it.
    """

    client: KsqlClient
    settled: bool


@contextmanager
def held(store: Store, who: str, ttl: float = TTL) -> Iterator[Lease]:
    """Hold the lock. Raises Locked if somebody else holds it, LockLost if it was taken away."""
    mine = _acquire(store, who, ttl)
    client = store.client.under(mine.name)
    stop = threading.Event()
    beating = threading.Thread(
        target=_beat, args=(store.of(client), mine.token, ttl / 4, stop), daemon=True
    )
    beating.start()
    lease = Lease(client, mine.settled)
    try:
        yield lease
    except GuardFailed as error:
        now = holder_of(store.client)
        by = f" by {now.holder}" if now else ""
        raise LockLost(
            f"the lock was taken away{by} while this run was held up: it has stopped, and what it"
            " did until then is recorded"
        ) from error
    finally:
        stop.set()
        _release(client, store.topic, mine, lease.settled)


def break_lock(store: Store, force: bool, ttl: float = TTL) -> Generation | None:
    """Free the lock of a dead holder; gives who held it, None if nobody did.

    Raises Locked if the holder has given a sign of life within ``ttl`` seconds, unless ``force``.
    """
    found = newest(store.client)
    if found is None or found.holder is None:
        return None
    if not force:
        age = _age(store, found)
        if age < ttl:
            raise Locked(f"{describe(found)} is alive ({age:.0f} s ago): see --force")
    if not _append(store.client, store.topic(), Generation(found.number + 1, token=_token()), found):
        raise Locked("the lock has just passed on to somebody else: look again")
    _drop_older(store.client, found.number + 1)
    return found


def _acquire(store: Store, who: str, ttl: float) -> Generation:
    client, topic = store.client, store.topic()
    for _ in range(10):
        last = newest(client)
        if last is not None and last.holder is not None:
            _refuse_unless_dead(store, last, ttl)
        now = int(time.time() * 1000)
        settled = last is not None and last.settled
        number = last.number + 1 if last else 1
        mine = Generation(number, _printable(who), now, _token(), settled)
        if not _append(client, topic, mine, last):
            continue
        # Who slept since it looked may have made a link that the others have long passed.
        if _numbers(client)[-1] != mine.number:
            _drop(client, mine.name)
            continue
        _drop_older(client, mine.number)
        return mine
    raise Locked("the lock changes hands all the time: try again")


def _refuse_unless_dead(store: Store, last: Generation, ttl: float) -> None:
    age = _age(store, last)
    if age >= ttl:
        log.warning("holder of the lock seems dead, looking again", holder=last.holder)
        before = store.last_beat()
        time.sleep(ttl / 4 + 1 if ttl >= 4 else ttl / 2)
        if store.last_beat() == before:
            return
        age = 0
    raise Locked(
        f"{describe(last)}; last sign of life {age:.0f} s ago\n"
        f"  hint: wait for it; {ttl:g} s after its last sign of life the lock can be taken, and"
        " 'unlock' frees it at once"
    )


def _age(store: Store, held_by: Generation) -> float:
    """Seconds since the holder's last sign of life, by this machine's clock."""
    beat = store.last_beat()
    last = beat[1] if beat is not None and beat[0] == held_by.token else held_by.since
    return max(0.0, time.time() - last / 1000)


def _append(client: KsqlClient, topic: str, link: Generation, last: Generation | None) -> bool:
    """Add a link after ``last``; False if somebody else has added one.

    Raises ClientError if the server stays away.
    """
    if last is not None:
        client = client.under(last.name)  # its place in the chain is right only while that exists
    deadline = time.monotonic() + client.patience
    wait = client.wait
    while True:
        try:
            client.execute(link.create(topic))
            return True
        except GuardFailed:
            # After an attempt without an answer it may be one's own link that has followed.
            return _is_mine(client, link)
        except ClientError as error:
            there = _read(client, link.number)
            if there is not None:
                return there.token == link.token
            refused = isinstance(error, KsqlError) and not may_pass(error)
            if refused and "already exists" in str(error):
                return False  # it was there, and has been dropped already
            if refused or time.monotonic() > deadline:
                raise
        time.sleep(wait)
        wait = min(2 * wait, LONGEST_WAIT)


def _is_mine(client: KsqlClient, link: Generation) -> bool:
    there = _read(client, link.number)
    return there is not None and there.token == link.token


def _release(
    client: KsqlClient, topic: Callable[[], str], mine: Generation, settled: bool
) -> None:
    free = Generation(mine.number + 1, token=_token(), settled=settled)
    try:
        if _append(client, topic(), free, mine):
            _drop_older(client, free.number)
    except ClientError as error:
        # It is found free when it has expired.
        log.warning("the lock could not be released", reason=str(error))


def _beat(store: Store, token: str, every: float, stop: threading.Event) -> None:
    while not stop.wait(every):
        try:
            store.beat(token, int(time.time() * 1000))
        except GuardFailed:
            return
        except ClientError as error:
            log.warning("no sign of life could be given", reason=str(error))


def _numbers(client: KsqlClient) -> list[int]:
    names = [each.name.removeprefix(PREFIX) for each in client.streams() if is_lock(each.name)]
    return sorted(int(each) for each in names if each.isdigit())


def _read(client: KsqlClient, number: int) -> Generation | None:
    found = client.describe_all([f"{PREFIX}{number}"])
    if not found:
        return None
    values: dict[str, str] = {}
    for column in found[0].columns:
        name, _, value = column.name.partition(" ")
        values[name] = value
    since = int(values.get("since", 0))
    settled = "settled" in values and "holder" not in values
    return Generation(number, values.get("holder"), since, values["token"], settled)


def _drop_older(client: KsqlClient, number: int) -> None:
    """Drop the links before ``number``, the oldest first, so that the chain has no gap."""
    for older in _numbers(client):
        if older < number:
            _drop(client, f"{PREFIX}{older}")


def _drop(client: KsqlClient, name: str) -> None:
    client = client.under(None) if client.guard == name else client
    deadline = time.monotonic() + client.patience
    while True:
        try:
            client.execute(f"DROP STREAM IF EXISTS {quoted(name)};")
            return
        except ClientError as error:
            if not may_pass(error) or time.monotonic() > deadline:
                raise
            time.sleep(client.wait)


def describe(generation: Generation) -> str:
    """Who holds the lock since when."""
    since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(generation.since / 1000))
    return f"{generation.holder} holds the lock since {since}"


def _printable(who: str) -> str:
    return re.sub(r"[^\w@.:, -]", "_", who)


def _token() -> str:
    return uuid.uuid4().hex
