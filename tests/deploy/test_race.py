"""Twenty processes that apply at once, twenty times, with kills in between.

Never is anything applied twice, and never does the record not fit what there is.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from opensea_metrics.deploy import commands
from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.client.snapshot import look
from opensea_metrics.deploy.migrations.record.records import StatementState, VersionState
from opensea_metrics.deploy.migrations.record.store import RecordStore
from tests.deploy.race import REAL, SITE, contend
from tests.deploy.stub import Write

PROCESSES = 20
ROUNDS = 5 if REAL else 20
PATIENCE = 900 if REAL else 240  # seconds for a round
KILLED = 8

FILES = {
    "V001__raw.sql": """
CREATE STREAM omr_raw (id VARCHAR KEY, price DOUBLE)
  WITH (KAFKA_TOPIC='omr.raw', PARTITIONS=1, VALUE_FORMAT='JSON');
""",
    "V002__sales.sql": """
CREATE STREAM omr_sales AS SELECT id, price FROM omr_raw EMIT CHANGES;
INSERT INTO omr_sales SELECT id, price * 2 AS price FROM omr_raw EMIT CHANGES;
INSERT INTO omr_sales SELECT id, price * 3 AS price FROM omr_raw EMIT CHANGES;
""",
    "V003__more.sql": """
CREATE STREAM omr_more AS SELECT id, price FROM omr_sales EMIT CHANGES;
""",
}


def _serve(directory: str, urls: multiprocessing.Queue[str]) -> None:
    from opensea_metrics.deploy.embedded.server import running

    with running(Path(directory)) as url:
        urls.put(url)
        while True:  # until killed
            time.sleep(3600)


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """A server in a process of its own, so that it does not share this one's time."""
    if found := os.environ.get("KSQLDB_URL"):
        yield found
        return
    context = multiprocessing.get_context("spawn")
    urls: multiprocessing.Queue[str] = context.Queue()
    server = context.Process(target=_serve, args=(str(tmp_path / "data"), urls), daemon=True)
    server.start()
    try:
        yield urls.get(timeout=120)
    finally:
        server.kill()
        server.join()


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_twenty_processes_apply_at_once(url: str, tmp_path: Path, write_project: Write) -> None:
    root = write_project(FILES)
    client = KsqlClient(url)
    chance = random.Random(7)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.deploy.race"])
    before = look(client)
    told: Counter[str] = Counter()
    for round_number in range(ROUNDS):
        results = [tmp_path / f"{round_number}-{each}" for each in range(PROCESSES)]
        start = time.time() + 0.5
        processes = [
            context.Process(target=contend, args=(url, str(root), str(r), start, start + PATIENCE))
            for r in results
        ]
        for each in processes:
            each.start()
        _kill_some(processes, chance, start)
        for each in processes:
            each.join()
        lines = [line for each in results if each.exists() for line in each.read_text().split("\n")]
        told.update(line.partition(":")[0] for line in lines)
        assert [line for line in lines if line.startswith("refused")] == []

        commands.apply(client, root, site=SITE)  # if all that had begun were killed
        recorded = RecordStore(client).read()
        # A server that other tests used has records of what they rolled back.
        assert [v.version for v in recorded.versions if v.state is not VersionState.PENDING] == [1, 2, 3]
        assert [v.state for v in recorded.versions[:3]] == [VersionState.MIGRATED] * 3
        applied = [each for each in recorded.statements if each.in_effect]
        assert [(s.version, s.number, s.state) for s in applied] == [
            (version, number, StatementState.DONE)
            for version, number in ((1, 1), (2, 1), (2, 2), (2, 3), (3, 1))
        ]
        server = look(client)
        assert {each.topic for each in server.sources.values()} <= server.topics
        assert len(server.writers("OMR_SALES")) == 3
        assert len(server.writers("OMR_MORE")) == 1
        made = {each.query_id for each in applied if each.query_id}
        assert made == {*server.writers("OMR_SALES"), *server.writers("OMR_MORE")}

        commands.rollback(client, lambda _: True, root, target=0, site=SITE)
        left = set(look(client).sources) - set(before.sources)
        assert not {each for each in left if each.startswith("OMR")}
    assert told["Locked"] > 0
    assert told["nothing to do"] > 0


def _kill_some(
    processes: Sequence[multiprocessing.process.BaseProcess], chance: random.Random, start: float
) -> None:
    """kill -9, one after the other, while they are at it."""
    time.sleep(max(0.0, start - time.time()))
    for each in chance.sample(processes, KILLED):
        time.sleep(chance.uniform(0.02, 0.4))
        if each.pid is not None and each.is_alive():
            os.kill(each.pid, signal.SIGKILL)
