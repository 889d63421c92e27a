"""Kills a server with SIGKILL before a given statement to its database, in a separate process."""

from __future__ import annotations

import gzip
import os
import signal
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from opensea_metrics.deploy.embedded.files import segments
from opensea_metrics.deploy.embedded.queries import persistent
from opensea_metrics.deploy.embedded.queries.ordered import moving
from opensea_metrics.deploy.embedded.topics import chunks, log_tables, retention
from tests.embedded.inside import Inside, inside

_CONTEXT = get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.embedded.killed", "opensea_metrics.deploy.embedded.server", "pyarrow.compute"])
TIME = 1_789_467_000_000
STATEMENTS = (
    "CREATE STREAM raw (k VARCHAR KEY, t BIGINT, f VARCHAR) WITH (KAFKA_TOPIC='raw', VALUE_FORMAT='JSON', PARTITIONS=2,"
    " TIMESTAMP='t', RETENTION_MS=1000);",
    "CREATE STREAM copied WITH (RETENTION_MS=1000) AS SELECT k, f, ROWPARTITION AS p, ROWOFFSET AS o FROM raw;",
    "CREATE TABLE sums AS SELECT f, COUNT(*) AS n FROM copied GROUP BY f;",
    "CREATE TABLE direct AS SELECT f, COUNT(*) AS n FROM raw GROUP BY f;",
    "CREATE TABLE daily AS SELECT f, COUNT(*) AS n FROM raw WINDOW TUMBLING (SIZE 1 DAYS, RETENTION 9 DAYS,"
    " GRACE PERIOD 8 DAYS) GROUP BY f;",
    "CREATE TABLE visits AS SELECT f, AS_VALUE(f) AS g, COUNT(*) AS n FROM raw"
    " WINDOW SESSION (1 DAYS, RETENTION 9 DAYS, GRACE PERIOD 8 DAYS) GROUP BY f;",
    "CREATE TABLE names (f VARCHAR PRIMARY KEY, name VARCHAR) WITH (KAFKA_TOPIC='names', VALUE_FORMAT='JSON',"
    " PARTITIONS=1);",
    "CREATE STREAM named AS SELECT raw.f AS f, name FROM raw LEFT JOIN names ON raw.f = names.f;",
    "CREATE TABLE joined AS SELECT f, COUNT(*) AS n FROM named GROUP BY f;",
    "CREATE TABLE selected AS SELECT f, n, AS_VALUE(f) AS g FROM sums WHERE n > 0;",
)
HELD = (
    "CREATE STREAM raw2 (t BIGINT, f VARCHAR) WITH (KAFKA_TOPIC='raw2', VALUE_FORMAT='JSON', PARTITIONS=2,"
    " TIMESTAMP='t');",
    "CREATE STREAM held AS SELECT f, ROWPARTITION AS p, ROWOFFSET AS o FROM raw2;",
)
"""A stream whose rows can be rebuilt from files: they are dropped and rebuilt."""
MIX = (
    "CREATE TABLE undone AS SELECT g AS f, SUM(n) AS n FROM selected GROUP BY g;",
    "CREATE TABLE both AS SELECT sums.f AS f, sums.n AS n FROM sums JOIN direct ON sums.f = direct.f;",
    "CREATE TABLE on_foreign_key AS SELECT selected.f AS f, n, name FROM selected LEFT JOIN names ON g = names.f;",
    "CREATE TABLE hourly AS SELECT f, COUNT(*) AS n FROM raw WINDOW TUMBLING (SIZE 1 HOURS, RETENTION 1 DAYS,"
    " GRACE PERIOD 1 HOURS) GROUP BY f EMIT FINAL;",
    "CREATE TABLE final_visits AS SELECT f, COUNT(*) AS n FROM raw WINDOW SESSION (1 HOURS, RETENTION 1 DAYS,"
    " GRACE PERIOD 1 HOURS) GROUP BY f EMIT FINAL;",
    # The two topics have the same files. A record that was inserted has no match, and gives its row when time goes on.
    "CREATE STREAM met AS SELECT raw.f AS f, raw2.f AS other FROM raw LEFT JOIN raw2 WITHIN 1 HOURS"
    " GRACE PERIOD 1 HOURS ON raw.f = raw2.f WHERE raw2.t IS NULL OR raw.t = raw2.t;",
    "CREATE TABLE matches AS SELECT f, COUNT(*) AS n FROM met GROUP BY f;",
    # Each value of F has one session, which grows.
    "CREATE STREAM grown (f VARCHAR KEY, g VARCHAR, n BIGINT) WITH (KAFKA_TOPIC='VISITS', VALUE_FORMAT='JSON',"
    " WINDOW_TYPE='SESSION');",
    "CREATE STREAM grown_too AS SELECT * FROM grown;",
    "CREATE STREAM same_sessions AS SELECT a.f AS f, a.g AS g, a.n AS n FROM grown_too a JOIN grown b WITHIN 1 DAYS"
    " ON a.f = b.f WHERE a.n = b.n;",
    "CREATE TABLE newest_sessions AS SELECT g AS f, LATEST_BY_OFFSET(n) AS n FROM grown_too GROUP BY g;",
    "CREATE TABLE joined_sessions AS SELECT g AS f, LATEST_BY_OFFSET(n) AS n FROM same_sessions GROUP BY g;",
)
"""More kinds of queries, which take longer."""
LATER = "CREATE TABLE later AS SELECT f, COUNT(*) AS n FROM held GROUP BY f;"
TABLES = ("sums", "direct", "daily", "visits", "joined", "selected")
MIXED = (
    "undone", "both", "on_foreign_key", "matches", "hourly", "final_visits", "newest_sessions", "joined_sessions",
)  # fmt: skip
FINAL = ("hourly", "final_visits")
CLOSING = "closing"
"""The value of F in the record that closes all windows."""
TOPICS = ("raw", "raw2")
FILES = {"raw+0+0.json": 40, "raw+1+0.json.gz": 30, "plain.json": 25, "later/raw+0+40.json": 35, "later/x.json.gz": 20}
INSERTED = 6


def prepare(data: Path, is_mixed: bool = False) -> None:
    """Prepare a data directory: carry out the statements, and put files aside that are published later.

    With ``is_mixed``, it has all kinds of queries.
    """
    with inside(data) as server:
        for statement in (*STATEMENTS, *HELD, *(MIX if is_mixed else ())):
            server.done(statement)
    for topic in TOPICS:
        for name, count in FILES.items():
            path = _aside(data, topic, name)
            path.parent.mkdir(exist_ok=True)
            content = b"".join(b'{"t":%d,"f":"%s","n":%d}\n' % (TIME + n, name.encode(), n) for n in range(count))
            path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)


def publish(data: Path, is_later: bool) -> None:
    """Move the files into their topics, unless they are there already."""
    for topic in TOPICS:
        for name in FILES:
            path = _aside(data, topic, name)
            if path.exists() and name.startswith("later/") <= is_later:
                target = data / "topics" / topic / name.replace("raw", topic)
                target.parent.mkdir(parents=True, exist_ok=True)
                path.rename(target)


def _aside(data: Path, topic: str, name: str) -> Path:
    return data / "aside" / f"{topic} {name.replace('/', '%')}"


def work(server: Inside, confirmed: Path) -> None:
    """Read files in small batches, insert records, and delete old data. Steps that are done already are left out."""
    publish(server.data, is_later=False)
    server.settle()
    for number in range(INSERTED):
        with confirmed.open("a") as file:
            file.write(f"begun {number}\n")
        server.done(f"INSERT INTO raw (k, t, f) VALUES ('{number}', {TIME}, 'inserted {number}');")
        with confirmed.open("a") as file:
            file.write(f"done {number}\n")
        server.settle()
    finish(server)


def finish(server: Inside) -> None:
    """The rest of :func:`work`, which can be repeated."""
    sweep(server)
    publish(server.data, is_later=True)
    server.settle()
    for name in FILES:
        server.done(f"INSERT INTO names VALUES ('{name}', 'name of {name}');")
    server.settle()
    sweep(server)
    for key in ("a", "b", "c", "d"):  # in both partitions
        server.done(f"INSERT INTO raw (k, t, f) VALUES ('{key}', {TIME + 5 * 3_600_000}, '{CLOSING}');")
    server.settle()
    sweep(server)


def sweep(server: Inside) -> None:
    engine = server.engine
    retention.sweep(engine._cursor, engine._topics(), 2**60, {})
    engine._logs = log_tables.logs(engine._cursor)
    retention.delete_read_files(engine._cursor, engine._topics(), 2**60, {})


class Killing:
    """A connection that kills its process before the statement with a given number."""

    def __init__(self, cursor: Any, number: int) -> None:
        self._cursor = cursor
        self._number = number
        self.count = 0

    def execute(self, *arguments: Any) -> Any:
        self.count += 1
        if self.count == self._number:
            os.kill(os.getpid(), signal.SIGKILL)
        return self._cursor.execute(*arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)


def _run(data: Path, number: int) -> None:
    small()
    with inside(data) as server:
        killing = Killing(server.engine._cursor, number)
        server.engine._cursor = killing  # type: ignore[assignment]
        work(server, data / "confirmed")
        (data / "count").write_text(str(killing.count))


def small() -> None:
    """Make batches, chunks and merges so small that all of them happen."""
    persistent.MOST_BYTES = 500  # type: ignore[attr-defined]
    moving.MOST_BYTES = 500  # type: ignore[attr-defined]
    moving.MOST_RECORDS = 20
    chunks.CHUNK_ROWS = 30
    chunks.KEPT = 0
    segments._FEW = 1


def run(data: Path, number: int) -> int | None:
    """Work in a separate process that is killed before statement ``number``. Returns its exit code."""
    process = _CONTEXT.Process(target=_run, args=(data, number))
    process.start()
    process.join(120)
    return process.exitcode
