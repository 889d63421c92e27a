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

from opensea_metrics.deploy.client import ClientError, GuardFailed, KsqlClient
from opensea_metrics.deploy.migrations.chain import (
    Generation,
    append,
    drop,
    drop_older,
    holder_of,
    newest,
    topics_of,
)
from opensea_metrics.deploy.migrations.errors import Locked, LockLost
from opensea_metrics.deploy.migrations.store import Store

log = structlog.get_logger()

TTL = 60.0  # seconds


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
    """Hold the lock, and make the record if there is none.

    Raises Locked if somebody else holds it, LockLost if it was taken away.
    """
    mine = _acquire(store, who, ttl)
    client = store.client.under(mine.name)
    stop = threading.Event()
    beating = threading.Thread(
        target=_beat, args=(store.of(client), mine.token, ttl / 4, stop), daemon=True
    )
    lease = Lease(client, mine.settled)
    try:
        store.of(client).create()
        beating.start()
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
    if not append(store.client, store.topic(), Generation(found.number + 1, token=_token()), found):
        raise Locked("the lock has just passed on to somebody else: look again")
    drop_older(store.client, found.number + 1)
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
        if not append(client, topic, mine, last):
            continue
        # Who slept since it looked may have made a link that the others have long passed.
        links = topics_of(client)
        if max(links) != mine.number:
            drop(client, mine.number, links.get(mine.number, ""))
            continue
        drop_older(client, mine.number)
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


def _release(
    client: KsqlClient, topic: Callable[[], str | None], mine: Generation, settled: bool
) -> None:
    free = Generation(mine.number + 1, token=_token(), settled=settled)
    try:
        if append(client, topic(), free, mine):
            drop_older(client, free.number)
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


def describe(generation: Generation) -> str:
    """Who holds the lock since when."""
    since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(generation.since / 1000))
    return f"{generation.holder} holds the lock since {since}"


def _printable(who: str) -> str:
    return re.sub(r"[^\w@.:, -]", "_", who)


def _token() -> str:
    return uuid.uuid4().hex
