"""The lock on a server: who wins, who is told what, and what a holder taken for dead can still do."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from opensea_metrics.deploy import commands
from opensea_metrics.deploy.client import GuardFailed, KsqlClient
from opensea_metrics.deploy.client.snapshot import look
from opensea_metrics.deploy.embedded import server
from opensea_metrics.deploy.migrations.errors import Locked, LockLost
from opensea_metrics.deploy.migrations.record import lock
from opensea_metrics.deploy.migrations.record.lock import LockStream
from opensea_metrics.deploy.migrations.record.store import RECORD_NAMES, RecordStore
from tests.deploy.projects import THREE
from tests.deploy.stub import Write

TTL = 1.0  # seconds


@pytest.fixture
def store(server_url: str) -> Iterator[RecordStore]:
    made = RecordStore(KsqlClient(server_url, wait=0.1))
    made.create()
    yield made
    lock.break_lock(made, force=True)
    for name in ("OML_X", "OML_Y"):
        made.client.execute(f"DROP STREAM IF EXISTS {name};")


def links(store: RecordStore) -> list[int]:
    return sorted(lock.topics_of(store.client))


def declare(store: RecordStore, name: str) -> str:
    return f"CREATE STREAM {name} (a STRING) WITH (KAFKA_TOPIC='{store.topic()}', VALUE_FORMAT='JSON');"


def test_held_and_released(store: RecordStore) -> None:
    assert lock.holder_of(store.client) is None
    with lock.held(store, "anna@here pid 1") as record:
        holder = lock.holder_of(store.client)
        assert holder is not None
        assert holder.holder == "anna@here pid 1"
        assert abs(holder.since / 1000 - time.time()) < 60
        record.client.execute(declare(store, "oml_x"))
    assert lock.holder_of(store.client) is None
    assert len(links(store)) == 1  # older links are cleared away


def test_the_record_is_made_under_the_lock(tmp_path: Path) -> None:
    """The first lock cannot lie on the record's topic; its own is nobody else's, and goes with it."""
    with server.running(tmp_path / "new") as url:
        new = RecordStore(KsqlClient(url, wait=0.1))
        dead = LockStream(1, "dead@there", 0, "t0ken")  # killed before it had made the record
        assert lock.append(new.client, new.topic(), dead, None)
        assert lock_topics(new) == {"embedded_ksql_OPENSEA_METRICS_LOCK_t0ken"}
        assert not lock.append(new.client, new.topic(), replace(dead, token="other"), None)
        assert new.topic() is None
        with lock.held(new, "anna", ttl=TTL):
            assert new.topic() is not None
            assert look(new.client).sources.keys() >= RECORD_NAMES
            assert len(lock_topics(new)) == 1
        assert lock_topics(new) == set()
        assert new.topic() in look(new.client).topics


def lock_topics(store: RecordStore) -> set[str]:
    return {each for each in look(store.client).topics if lock.PREFIX in each}


def test_the_second_is_told_who_holds_it(store: RecordStore) -> None:
    with (
        lock.held(store, "anna"),
        pytest.raises(Locked, match=r"anna holds the lock since 20.* UTC; its last heartbeat is \d+ s old"),
        lock.held(store, "bert"),
    ):
        raise AssertionError("two hold it")
    with lock.held(store, "bert"):
        pass


def dead_holder(store: RecordStore) -> KsqlClient:
    """Takes the lock as a process does that is then killed: no sign of life, no release."""
    last = lock.newest(store.client)
    number = last.number + 1 if last else 1
    mine = LockStream(number, "dead@there", int(time.time() * 1000), "t0ken")
    assert lock.append(store.client, store.topic(), mine, last)
    lock.drop_older(store.client, number)
    return store.client.under(mine.name)


def test_a_dead_holders_lock_expires_and_he_can_do_nothing_more(store: RecordStore) -> None:
    dead = dead_holder(store)
    dead.execute(declare(store, "oml_x"))  # as long as nobody has taken the lock
    with pytest.raises(Locked), lock.held(store, "bert", ttl=60):
        pass
    time.sleep(TTL)
    with lock.held(store, "bert", ttl=TTL):
        with pytest.raises(GuardFailed):
            dead.execute(declare(store, "oml_y"))
        with pytest.raises(GuardFailed):
            RecordStore(dead).write_heartbeat("t0ken", 0)
    assert "OML_Y" not in {each.name for each in store.client.streams()}


def test_a_living_holder_keeps_it_however_long_it_takes(store: RecordStore) -> None:
    with lock.held(store, "anna", ttl=TTL):
        time.sleep(2 * TTL)
        with pytest.raises(Locked), lock.held(store, "bert", ttl=TTL):
            pass


def test_a_clock_that_is_wrong_takes_nothing_away(
    store: RecordStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with lock.held(store, "anna", ttl=4 * TTL):
        monkeypatch.setattr(lock, "_age", lambda *_: 10_000.0)  # a year, it seems
        with pytest.raises(Locked), lock.held(store, "bert", ttl=4 * TTL):
            pass


def test_who_is_too_late_has_not_got_it(store: RecordStore) -> None:
    with lock.held(store, "anna"):
        pass
    old = lock.newest(store.client)
    with lock.held(store, "anna"):
        pass
    assert old is not None
    late = LockStream(old.number + 1, "late", 0, "late")
    assert not lock.append(store.client, store.topic(), late, old)


def test_a_run_that_loses_the_lock_says_so(store: RecordStore) -> None:
    def taken_away() -> None:
        with lock.held(store, "anna") as record:
            lock.break_lock(store, force=True)
            with lock.held(store, "bert"):
                record.client.execute(declare(store, "oml_x"))

    with pytest.raises(LockLost, match="bert took the lock"):
        taken_away()


def test_unlock(store: RecordStore) -> None:
    assert commands.unlock(store.client) is None
    dead_holder(store)
    assert "dead@there" in str(commands.lock_holder(store.client))
    with pytest.raises(Locked, match="--force"):
        commands.unlock(store.client, ttl=60)
    assert "dead@there" in str(commands.unlock(store.client, force=True))
    assert commands.lock_holder(store.client) is None
    dead_holder(store)
    assert commands.unlock(store.client, ttl=0) is not None


def test_an_apply_in_the_middle_of_another(store: RecordStore, write_project: Write) -> None:
    """The second ends with an error, the first goes on; nothing is done twice."""
    root = write_project(THREE)
    told: list[str] = []

    def meanwhile(_: object) -> None:
        if not told:
            with pytest.raises(Locked) as caught:
                commands.apply(KsqlClient(store.client.url), root)
            told.append(str(caught.value))

    try:
        made = commands.apply(store.client, root, report=meanwhile)
        assert len(made.steps) == 6
        assert " pid " in told[0]
    finally:
        commands.rollback(store.client, lambda _: True, root, target=0)


def test_the_metadata_is_all_that_is_left(store: RecordStore, tmp_path: Path) -> None:
    with lock.held(store, "anna"):
        pass
    names = {each.name for each in (*store.client.streams(), *store.client.tables())}
    left = {each for each in names if each in RECORD_NAMES or lock.is_lock(each)}
    assert left == {*RECORD_NAMES, f"OPENSEA_METRICS_LOCK_{links(store)[0]}"}
