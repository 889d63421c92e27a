"""A stream joined with a table: the embedded server beside DuckDB's SQL, written by hand, over the same files.

1,000,000 events meet a table of 100,000 keys, half of which change once among the events. Both read JSON lines and
write the joined rows into a database on the disk. Paired runs, wall time.

Run: [EVENTS=1000000] [KEYS=100000] [RUNS=5] python -m tests.bench.join
"""

from __future__ import annotations

import json
import os
import random
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import duckdb

from opensea_metrics.deploy.embedded.topics.record_topic import TopicRecord
from tests.embedded.inside import inside

EVENTS, KEYS = int(os.environ.get("EVENTS", 1_000_000)), int(os.environ.get("KEYS", 100_000))
RUNS = int(os.environ.get("RUNS", 5))
STATEMENTS = """
CREATE STREAM e (k INT, v INT, ts BIGINT) WITH (KAFKA_TOPIC='e', VALUE_FORMAT='JSON', TIMESTAMP='ts', PARTITIONS=1);
CREATE TABLE t (k INT PRIMARY KEY, name VARCHAR, ts BIGINT)
  WITH (KAFKA_TOPIC='t', VALUE_FORMAT='JSON', TIMESTAMP='ts', PARTITIONS=1);
"""
JOIN = "CREATE STREAM j AS SELECT e.k AS k, v, name FROM e LEFT JOIN t ON e.k = t.k;"
BY_HAND = """
CREATE TEMP TABLE e AS FROM read_json('{events}', format='newline_delimited',
  columns={{'K': 'INTEGER', 'V': 'INTEGER', 'TS': 'BIGINT'}});
CREATE TEMP TABLE t AS FROM read_json('{table}', format='newline_delimited',
  columns={{'K': 'INTEGER', 'NAME': 'VARCHAR', 'TS': 'BIGINT'}});
CREATE TABLE j AS SELECT e.k, e.v, t.name, e.ts FROM e ASOF LEFT JOIN t ON e.k = t.k AND e.ts > t.ts;
CHECKPOINT;
"""
"""Into tables first: DuckDB needs minutes for an ASOF join whose sides it cannot estimate."""


def changes() -> Iterator[dict[str, object]]:
    for key in range(KEYS):
        yield {"K": key, "NAME": f"name {key}", "TS": 1}
    for key in range(0, KEYS, 2):
        yield {"K": key, "NAME": f"new {key}", "TS": 1_000 + EVENTS // 2}


def prepare(folder: Path) -> None:
    """Write the events and the table's changes as JSON lines."""
    chosen = random.Random(1)
    with (folder / "events.json").open("w") as file:
        for number in range(EVENTS):
            file.write(json.dumps({"K": chosen.randrange(KEYS), "V": number % 1_000, "TS": 1_000 + number}) + "\n")
    with (folder / "table.json").open("w") as file:
        file.writelines(json.dumps(change) + "\n" for change in changes())


def of_server(folder: Path, data: Path) -> tuple[float, int]:
    """The seconds from the query's start to its last row, and the number of rows that met the table."""
    topic = data / "topics" / "e"
    topic.mkdir(parents=True)
    (topic / "e+0+0000000000.json").hardlink_to(folder / "events.json")
    with inside(data) as server:
        server.done(STATEMENTS)
        records = [
            TopicRecord(0, json.dumps({"K": change["K"]}), json.dumps({"NAME": change["NAME"], "TS": change["TS"]}))
            for change in changes()
        ]
        server.engine.insert(server.engine.catalog.sources["T"], records)
        begun = time.perf_counter()
        server.done(JOIN)
        server.settle()
        seconds = time.perf_counter() - begun
        assert server.engine.failures == {}
        (row,) = server.ask("SELECT COUNT(*) AS n FROM j WHERE name LIKE 'new %' EMIT CHANGES;")
    return seconds, int(row["N"])


def by_hand(folder: Path, data: Path) -> tuple[float, int]:
    database = duckdb.connect(data / "by_hand.duckdb")
    begun = time.perf_counter()
    database.execute(BY_HAND.format(events=folder / "events.json", table=folder / "table.json"))
    seconds = time.perf_counter() - begun
    (count,) = database.execute("SELECT count(*) FROM j WHERE name LIKE 'new %'").fetchone()  # type: ignore[misc]
    database.close()
    return seconds, int(count)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        times: dict[str, list[float]] = {"server": [], "by hand": []}
        for run in range(RUNS):
            counts = set()
            for kind, measure in (("server", of_server), ("by hand", by_hand)):
                data = folder / f"{kind} {run}"
                data.mkdir()
                seconds, count = measure(folder, data)
                times[kind].append(seconds)
                counts.add(count)
            assert len(counts) == 1, counts
    server, hand = (median(times[kind]) for kind in ("server", "by hand"))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"{EVENTS:,} events, {KEYS:,} keys: server {server:.2f} s, by hand {hand:.2f} s, {server / hand:.1f} times")
    print(f"greatest memory {memory:,} MB")


if __name__ == "__main__":
    main()
