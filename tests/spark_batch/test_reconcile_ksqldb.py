"""reconcile against a real ksqlDB: records go to its topic through Kafka, and into an archive."""

from __future__ import annotations

import json
import os
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from opensea_metrics.deploy import cli
from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.producer.archive.layout import HOUR_MS
from tests.spark_batch.archives import folder_of

SLUGS = ("otters", "kobolds", "lanterns")
SETTINGS = "raw_topic: {topic}\n"
STATEMENTS = """
CREATE STREAM {name}_events (event_time BIGINT, slug VARCHAR, amount DOUBLE)
  WITH (KAFKA_TOPIC='{name}', VALUE_FORMAT='JSON', PARTITIONS=1, RETENTION_MS=-1, TIMESTAMP='event_time');
CREATE TABLE {name}_sums WITH (KAFKA_TOPIC='{name}_sums', VALUE_FORMAT='JSON', PARTITIONS=1, RETENTION_MS=-1) AS
  SELECT slug, COUNT(*) AS n, SUM(amount) AS total, MIN(amount) AS least, WINDOWEND AS we
  FROM {name}_events WINDOW TUMBLING (SIZE 30 MINUTES, RETENTION 2 DAYS, GRACE PERIOD 1 HOUR)
  GROUP BY slug EMIT CHANGES;
"""


def record(moment: int, slug: str, amount: float) -> bytes:
    return json.dumps({"event_time": moment, "slug": slug, "amount": amount}, separators=(",", ":")).encode()


@dataclass
class Real:
    """A stream and table of the test's own on the server, with the records of their topic in order."""

    client: KsqlClient
    name: str
    start: int
    records: list[bytes]

    @property
    def table(self) -> str:
        return f"{self.name.upper()}_SUMS"

    def archive(self, to: Path, *, without: frozenset[int] = frozenset(), twice: bool = False) -> Path:
        """The records as a sink files them, without those of some offsets, or some twice."""
        topic = to / self.name
        hours: dict[int, list[tuple[int, bytes]]] = {}
        for offset, line in enumerate(self.records):
            moment = json.loads(line)["event_time"]
            # A file has records of one hour with adjoining offsets.
            last = hours.setdefault(moment // HOUR_MS, [])
            last.append((offset, line))
        for hour, lines in hours.items():
            folder = folder_of(topic, hour * HOUR_MS)
            folder.mkdir(parents=True, exist_ok=True)
            runs: list[list[tuple[int, bytes]]] = []
            for offset, line in lines:
                if offset in without:
                    continue
                if not runs or runs[-1][-1][0] + 1 != offset:
                    runs.append([])
                runs[-1].append((offset, line))
            for run in runs:
                text = b"".join(line + b"\n" for _, line in run)
                (folder / f"{self.name}+0+{run[0][0]:010d}.json").write_bytes(text)
                if twice and hour == self.start // HOUR_MS + 1:
                    (folder / f"{self.name}+0+{run[0][0] + 500_000:010d}.json").write_bytes(text)
        return topic


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    url, brokers = os.environ.get("KSQLDB_URL"), os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
    if not url or not brokers:
        pytest.skip("needs KSQLDB_URL and KAFKA_BOOTSTRAP_SERVERS, a real ksqlDB and its brokers")
    client = KsqlClient(url)
    name = f"reconcile_{uuid.uuid4().hex[:8]}"
    now = int(time.time() * 1000)
    start = now - now % HOUR_MS - 6 * HOUR_MS
    records = [record(start + n * 20_000, SLUGS[n % 3], n % 17 + 0.1) for n in range(4 * 180)]
    # Of the first window, when the time has come to the fourth hour: beyond end and grace.
    records += [record(start + 60_000, "otters", 1000.0), record(start + 60_000, "latecomer", 1.0)]
    for statement in STATEMENTS.format(name=name).split(";")[:2]:
        client.execute(statement + ";", {"ksql.streams.auto.offset.reset": "earliest"})
    producer = Producer({"bootstrap.servers": brokers})
    for line in records:
        producer.produce(name, line, partition=0)
    assert producer.flush(60) == 0
    try:
        _wait(client, name)
        yield Real(client, name, start, records)
    finally:
        client.execute(f"DROP TABLE {name}_sums DELETE TOPIC;")
        client.execute(f"DROP STREAM {name}_events DELETE TOPIC;")


def _wait(client: KsqlClient, name: str) -> None:
    """Until the table has counted all that is in time."""
    deadline = time.monotonic() + 180
    while True:
        rows = client.pull(f"SELECT n FROM {name}_sums;")
        if sum(row["N"] for row in rows) == 4 * 180:
            time.sleep(5)  # and has seen what is late
            return
        assert time.monotonic() < deadline, rows
        time.sleep(0.5)


Run = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def differing(
    real: Real, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Runs the command; gives what differs."""
    sql = tmp_path / "sql"
    (sql / "migrations").mkdir(parents=True)
    (sql / "settings.yml").write_text(SETTINGS.format(topic=real.name))
    (sql / "migrations/V001__own.sql").write_text(STATEMENTS.format(name=real.name))
    monkeypatch.chdir(tmp_path)

    def runs(source: Path) -> list[dict[str, Any]]:
        words = ("--source", str(source), "--sql", str(sql), "--server", real.client.url, "--json")
        monkeypatch.setattr(sys, "argv", ["opensea-metrics", "reconcile", "--table", real.table, *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        assert ended.value.code in (0, None, 2), err
        found: list[dict[str, Any]] = json.loads(out)["differences"]
        assert bool(found) == (ended.value.code == 2)
        return found

    return runs


def test_equal(real: Real, differing: Run, tmp_path: Path) -> None:
    last = len(real.records)
    assert differing(real.archive(tmp_path, without=frozenset({last - 1, last - 2}))) == []


def test_late_rows(real: Real, differing: Run, tmp_path: Path) -> None:
    found = differing(real.archive(tmp_path))
    assert {each["cause"] for each in found} == {"late beyond grace"}
    assert {each["key"]["SLUG"]: each["kind"] for each in found} == {
        "otters": "differs", "latecomer": "missing",
    }  # fmt: skip
    (otters,) = (each for each in found if each["kind"] == "differs")
    columns = {each["column"]: each["absolute"] for each in otters["columns"]}
    assert columns == {"N": -1, "TOTAL": pytest.approx(-1000)}


def test_a_gap(real: Real, differing: Run, tmp_path: Path) -> None:
    last = len(real.records)
    hour = range(180, 360)  # the second hour
    found = differing(real.archive(tmp_path, without=frozenset({*hour, last - 1, last - 2})))
    assert {each["cause"] for each in found} == {"archive gap"}
    assert len(found) == 6


def test_duplicates(real: Real, differing: Run, tmp_path: Path) -> None:
    last = len(real.records)
    source = real.archive(tmp_path, without=frozenset({last - 1, last - 2}), twice=True)
    found = differing(source)
    assert {each["cause"] for each in found} == {"duplicates in the archive"}
    assert len(found) == 6


def test_an_open_window(real: Real, differing: Run, tmp_path: Path) -> None:
    found = differing(real.archive(tmp_path, without=frozenset(range(700, len(real.records)))))
    assert {each["cause"] for each in found} == {"window not closed yet"}
