"""Random schedules of events that may happen to a server, its files, its disk, its clock and its clients.

The records of each file have their own key, so the table of counts shows how many records of each file were counted.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from opensea_metrics.deploy.client import ClientError, KsqlClient
from tests.embedded.soak_server import Server

STATEMENTS = (
    "CREATE STREAM raw (t BIGINT, k VARCHAR, a BIGINT) WITH (KAFKA_TOPIC='raw', VALUE_FORMAT='JSON',"
    " PARTITIONS=2, TIMESTAMP='t');",
    "CREATE STREAM flat AS SELECT k, a FROM raw EMIT CHANGES;",
    "CREATE TABLE sums AS SELECT k, COUNT(*) AS n FROM flat GROUP BY k EMIT CHANGES;",
    "CREATE TABLE direct AS SELECT k, COUNT(*) AS n FROM raw GROUP BY k EMIT CHANGES;",
    "CREATE TABLE daily AS SELECT k, COUNT(*) AS n FROM raw WINDOW TUMBLING (SIZE 1 DAYS,"
    " RETENTION 1000 DAYS, GRACE PERIOD 900 DAYS) GROUP BY k EMIT CHANGES;",
)
LATER = "CREATE TABLE later AS SELECT k, COUNT(*) AS n FROM raw GROUP BY k EMIT CHANGES;"
TABLES = ("sums", "direct", "daily", "later")
DISK = 48 * 1024 * 1024
_TIME = 1_789_467_000_000
_DAY = 86_400_000


@dataclass
class File:
    """A file: its final content, its current place, and the changes to it.

    ``keys`` has the number of its records by key. ``put_back`` undoes a temporary change.
    """

    path: Path
    key: str
    content: bytes
    keys: dict[str, int] = field(default_factory=dict)
    put_back: Callable[[], None] | None = None
    is_destroyed: bool = False
    is_garbled: bool = False

    def packed(self, content: bytes | None = None) -> bytes:
        content = self.content if content is None else content
        return gzip.compress(content, 1) if self.path.suffix == ".gz" else content

    def visible(self) -> dict[str, int]:
        """The records that a reader of the file as it is now could read, by key."""
        try:
            raw = self.path.read_bytes()
            lines = (gzip.decompress(raw) if self.path.suffix == ".gz" else raw).split(b"\n")
        except (OSError, EOFError, zlib.error):
            lines = []
        ends = [*lines[:-1]] if self.path.suffix != ".gz" else lines
        counts: dict[str, int] = {}
        for key in self.keys:
            mark = b'"k":"%s","a":' % key.encode()
            counts[key] = sum(line.startswith(b'{"t":') and mark in line and line.endswith(b"}") for line in ends)
        return counts


class Schedule:
    """One run. Everything random comes from the seed."""

    def __init__(self, seed: int, data: Path, aside: Path, can_fill: bool) -> None:
        self.seed = seed
        self.chance = random.Random(seed)
        self.server = Server(data, aside)
        self.aside = aside
        self.topic = aside / "topics" / "raw"
        self.can_fill = can_fill
        self.files: list[File] = []
        self.inserted: dict[str, bool] = {}  # whether the server has confirmed it
        self.sockets: list[socket.socket] = []
        self.filler = data / "filler"
        self.has_later = False
        self.done: list[str] = []

    # -- the run ------------------------------------------------------------------------------

    def run(self) -> None:
        """Carry out the schedule. Raises AssertionError if something was lost or counted twice."""
        self.topic.mkdir(parents=True)
        (self.server.data / "topics").symlink_to(self.topic.parent)
        self.server.start()
        client = self.client()
        for statement in STATEMENTS:
            client.execute(statement)
        actions = [getattr(self, name) for name in ACTIONS for _ in range(ACTIONS[name])]
        try:
            for _ in range(self.chance.randint(15, 30)):
                action = self.chance.choice(actions)
                self.done.append(action.__name__)
                action()
                time.sleep(self.chance.choice([0, 0.02, 0.1, 0.3]))
            self._settle()
            self._check()
            self.server.stop(self.chance.choice([signal.SIGTERM, signal.SIGKILL]))
            self.server.start()
            self._check()
        finally:
            for connection in self.sockets:
                connection.close()
            self.server.stop(signal.SIGKILL)
        for failure in _failures(self.server.log.read_text()):
            # A client's query may fail because of the database. Nothing else may fail.
            assert "No space left" in failure or "has been invalidated" in failure, failure

    def client(self) -> KsqlClient:
        return KsqlClient(self.server.url, timeout=30)

    def _settle(self) -> None:
        """Undo all temporary changes."""
        self.filler.unlink(missing_ok=True)
        for file in self.files:
            if file.put_back:
                file.put_back()
        # Whatever is half written now stays so.
        self.server.set_clock(600)
        self.server.start()
        if not self.has_later:
            self._create_later()

    def _check(self) -> None:
        """Wait until the counts are right, and check that missing records were reported."""
        client = self.client()
        deadline = time.monotonic() + 90
        problems = ["nothing was looked at"]
        while problems and time.monotonic() < deadline:
            time.sleep(0.2)
            try:
                problems = self._problems(client)
            except (ClientError, httpx.HTTPError) as error:
                problems = [str(error)]
        assert not problems, problems

    def _problems(self, client: KsqlClient) -> list[str]:
        reports = "\n".join(
            row["M"] or ""
            for row in client.pull(
                "SELECT message->deserializationError->errorMessage AS m FROM KSQL_PROCESSING_LOG;"
            )
        )
        problems = []
        reply = httpx.get(f"{self.server.url}/healthcheck", timeout=30).json()
        if not reply["isHealthy"]:
            problems.append(f"the server is not healthy: {reply}")
        # An overwritten digit may move a record centuries ahead, and what comes after it is late, as in ksqlDB.
        is_late = any(file.is_garbled for file in self.files)
        for table in TABLES:
            if table == "daily" and is_late:
                continue
            counts: dict[str, int] = {}
            for row in client.pull(f"SELECT k, n FROM {table};"):
                counts[row["K"]] = counts.get(row["K"], 0) + row["N"]
            for file in self.files:
                seen = {key: counts.pop(key, 0) for key in file.keys}
                if seen == file.keys:
                    continue
                where = f"{file.path.name} in {table}: {seen} of {file.keys}"
                if any(seen[k] > n for k, n in file.keys.items()) and not file.is_garbled:
                    problems.append(f"counted twice: {where}")
                elif not file.is_destroyed:
                    problems.append(f"missing: {where}")
                elif file.path.name not in reports and seen != file.visible():
                    problems.append(f"missing and not reported: {where}, {file.visible()} can be read")
            for key, is_confirmed in self.inserted.items():
                count = counts.pop(key, 0)
                if count > 1 or count < is_confirmed:
                    problems.append(f"inserted {key} counts {count} in {table}, confirmed: {is_confirmed}")
            if counts and not any(file.is_garbled for file in self.files):
                problems.append(f"nobody wrote {counts} in {table}")
        return problems

    # -- files --------------------------------------------------------------------------------

    def _file(self, suffixes: tuple[str, ...] = (".json", ".json.gz")) -> File:
        number = len(self.files)
        # Damage may change a letter of it, but does not make it another file's.
        key = f"{number}-{self.chance.getrandbits(48):012x}"
        name = self.chance.choice(
            [f"raw+{number % 2}+{number:010}", f"f{number}", f"f{number}[0-9]*", f"it's {number}", f"ü\n{number}"]
        )
        folder = self.topic / self.chance.choice(["", "year=2026/month=09", "deep/er"])
        folder.mkdir(parents=True, exist_ok=True)
        count = self.chance.choice([1, 3, 50, 1_000, 20_000])
        file = File(folder / (name + self.chance.choice(suffixes)), key, self._lines(key, count), {key: count})
        self.files.append(file)
        return file

    def _lines(self, key: str, count: int) -> bytes:
        return b"".join(
            b'{"t":%d,"k":"%s","a":%d}\n' % (_TIME + n % 30 * _DAY, key.encode(), n) for n in range(count)
        )

    def _some(self) -> File | None:
        """A file to which nothing has been done yet."""
        free = [f for f in self.files if not f.put_back and not f.is_destroyed]
        return self.chance.choice(free) if free else None

    def new_file(self) -> None:
        file = self._file()
        if self.chance.random() < 0.5:
            file.path.write_bytes(file.packed())
        else:
            self._publish(file, file.packed())

    def _publish(self, file: File, content: bytes) -> None:
        hidden = file.path.with_name("." + file.key)
        hidden.write_bytes(content)
        hidden.rename(file.path)

    def half_written(self) -> None:
        """A file whose rest is written later, in place."""
        file = self._file()
        packed = file.packed()
        cut = self.chance.randrange(len(packed))
        file.path.write_bytes(packed[:cut])

        def finish() -> None:
            with file.path.open("ab", buffering=0) as opened:
                opened.write(packed[cut:])
            file.put_back = None

        file.put_back = finish

    def grow(self) -> None:
        """More records, perhaps up to the middle of a line, or the rest of them."""
        file = self._some()
        if file is None or file.path.suffix == ".gz":
            return
        more = self._lines(file.key, self.chance.choice([1, 10, 5_000]))
        file.content += more
        file.keys[file.key] = file.content.count(b"\n")
        cut = self.chance.choice([len(more), self.chance.randrange(len(more))])
        with file.path.open("ab", buffering=0) as opened:
            opened.write(more[:cut])

        def finish() -> None:
            with file.path.open("ab", buffering=0) as opened:
                opened.write(more[cut:])
            file.put_back = None

        file.put_back = finish if cut < len(more) else None

    def put_back(self) -> None:
        """End what was done to a file for a while."""
        waiting = [file for file in self.files if file.put_back]
        if waiting:
            put_back = self.chance.choice(waiting).put_back
            assert put_back is not None
            put_back()

    def vanish(self) -> None:
        if file := self._some():
            self._replaced_by(file, lambda path: None)

    def disguise(self) -> None:
        """Something that cannot be read stands in the place of a file."""
        if file := self._some():
            outside = self.aside / "outside.json"
            outside.write_bytes(self._lines("outside", 3))
            self._replaced_by(
                file,
                self.chance.choice(
                    [
                        os.mkdir,
                        os.mkfifo,
                        lambda path: path.symlink_to(path),
                        lambda path: path.symlink_to("nowhere"),
                        lambda path: path.symlink_to(outside),
                    ]
                ),
            )

    def _replaced_by(self, file: File, make: Callable[[Path], None]) -> None:
        away = self.aside / f"away {file.key}"
        file.path.rename(away)
        make(file.path)

        def put_back() -> None:
            with contextlib.suppress(FileNotFoundError, IsADirectoryError, PermissionError):
                file.path.unlink()
            if file.path.is_dir():
                file.path.rmdir()
            away.rename(file.path)
            file.put_back = None

        file.put_back = put_back

    def folder_vanishes(self) -> None:
        """All files of a topic are gone for a moment."""
        away = self.topic.with_name(".away")
        self.topic.rename(away)
        time.sleep(self.chance.uniform(0, 0.5))
        away.rename(self.topic)

    def cut(self) -> None:
        """A file is cut, and written again later."""
        if file := self._some():
            packed = file.path.read_bytes()
            os.truncate(file.path, self.chance.randrange(len(packed)))

            def put_back() -> None:
                file.path.write_bytes(packed)
                file.put_back = None

            file.put_back = put_back

    def destroy(self) -> None:
        """A file is deleted, cut, overwritten or rewritten for good."""
        file = self._some()
        if file is None:
            return
        file.is_destroyed = True
        size = file.path.stat().st_size
        how = self.chance.choice(["delete", "cut", "overwrite", "rewrite", "replace"])
        self.done[-1] += f" {how} {file.key}"
        if how == "delete":
            file.path.unlink()
        elif how == "cut":
            os.truncate(file.path, self.chance.randrange(size))
        elif how == "overwrite":
            # Some letters may change unnoticed. The CRC of a compressed file is at its end.
            file.is_garbled = True
            with file.path.open("r+b", buffering=0) as opened:
                opened.seek(self.chance.randrange(size))
                opened.write(b"\xff{{" * self.chance.randint(1, 20))
        else:
            key = f"new of {file.key}"
            file.keys[key] = self.chance.choice([1, 50, 20_000])
            packed = file.packed(self._lines(key, file.keys[key]))
            if how == "rewrite":
                file.path.write_bytes(packed)
            else:
                self._publish(file, packed)

    # -- the server ---------------------------------------------------------------------------

    def kill(self) -> None:
        self.server.stop(signal.SIGKILL)
        if self.chance.random() < 0.7:
            self._start(wait=self.chance.random() < 0.7)

    def terminate(self) -> None:
        self.server.stop(signal.SIGTERM)
        if self.chance.random() < 0.7:
            self._start(wait=self.chance.random() < 0.7)

    def start(self) -> None:
        self._start(wait=True)

    def _start(self, wait: bool) -> None:
        # A server does not start on a full disk.
        self.filler.unlink(missing_ok=True)
        self.server.start(wait)

    def second_server(self) -> None:
        if self.server.is_up and self.server.answers():
            code, said = self.server.start_second(self.aside)
            assert code == 1, said
            assert "another server uses the data directory" in " ".join(said.split())
            assert "Traceback" not in said
            assert self.server.is_up

    def clock(self) -> None:
        self.server.set_clock(self.chance.choice([-86_400, -3_600, -5, 0, 0.5, 3_600]))

    def fill_disk(self) -> None:
        if self.can_fill:
            with contextlib.suppress(OSError), self.filler.open("ab", buffering=0) as opened:
                leave = self.chance.choice([0, 0, 4_096, 300_000])
                for size in (1 << 20, 1 << 12, 1):
                    while shutil.disk_usage(self.server.data).free > leave + size:
                        opened.write(b"x" * size)

    def empty_disk(self) -> None:
        self.filler.unlink(missing_ok=True)

    # -- clients ------------------------------------------------------------------------------

    def insert(self) -> None:
        key = f"inserted {len(self.inserted)}"
        self.inserted[key] = False
        with contextlib.suppress(ClientError, httpx.HTTPError):
            # Not by the client of the project, which tries again.
            reply = httpx.post(
                f"{self.server.url}/ksql",
                json={"ksql": f"INSERT INTO raw (t, k, a) VALUES ({_TIME}, '{key}', 1);"},
                timeout=30,
            )
            self.inserted[key] = reply.status_code == 200

    def later_query(self) -> None:
        if not self.has_later and self.server.is_up:
            with contextlib.suppress(ClientError, httpx.HTTPError):
                self._create_later()

    def _create_later(self) -> None:
        client = self.client()
        if "LATER" not in {source.name for source in client.tables()}:
            client.execute(LATER)
        self.has_later = True

    def ask(self) -> None:
        """Queries that come to their end, or to an error that is JSON."""
        for path, body in (
            ("/ksql", {"ksql": "DESCRIBE flat EXTENDED; SHOW QUERIES; SHOW TOPICS;"}),
            ("/query-stream", {"sql": "SELECT * FROM sums;"}),
            ("/query-stream", {"sql": "SELECT k, a FROM raw EMIT CHANGES LIMIT 3;"}),
        ):
            with contextlib.suppress(httpx.TransportError):
                reply = httpx.post(self.server.url + path, json=body, timeout=httpx.Timeout(30, read=2))
                assert reply.text.startswith(("{", "[")), f"{reply.status_code} {reply.text}"

    def half_a_request(self) -> None:
        self._raw(b"POST /ksql HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                  b"Content-Length: 1000\r\n\r\n{\"ksql\":")  # fmt: skip

    def half_a_head(self) -> None:
        self._raw(b"GET /info HTTP/1.1\r\nHost: 127.0")

    def query_that_nobody_reads(self) -> None:
        body = b'{"sql":"SELECT * FROM raw EMIT CHANGES;","properties":{"auto.offset.reset":"earliest"}}'
        self._raw(
            b"POST /query-stream HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
        )

    def _raw(self, sent: bytes) -> None:
        with contextlib.suppress(OSError):
            opened = socket.create_connection(("127.0.0.1", self.server.port), timeout=5)
            self.sockets.append(opened)
            opened.sendall(sent)

    def client_vanishes(self) -> None:
        if self.sockets:
            self.sockets.pop(self.chance.randrange(len(self.sockets))).close()


ACTIONS = {
    "new_file": 8, "half_written": 3, "grow": 4, "put_back": 6, "vanish": 2, "disguise": 2,
    "folder_vanishes": 1, "cut": 2, "destroy": 2, "kill": 2, "terminate": 1, "start": 2, "second_server": 1,
    "clock": 2, "fill_disk": 2, "empty_disk": 2, "insert": 3, "later_query": 1, "ask": 2, "half_a_request": 1,
    "half_a_head": 1, "query_that_nobody_reads": 2, "client_vanishes": 1,
}  # fmt: skip
"""What may happen, and how often."""


def _failures(log: str) -> Iterator[str]:
    """The tracebacks in a log, each with the last line, which names the error."""
    for part in log.split("Traceback (most recent call last):")[1:]:
        lines = part.splitlines()
        yield next((line for line in lines[1:] if line and not line.startswith(" ")), lines[-1]) + part


@contextmanager
def small_disk(path: Path) -> Iterator[bool]:
    """A directory on a disk of its own, if this user may mount one; whether it is so."""
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(path)]
    try:
        is_small = subprocess.run(mount, capture_output=True).returncode == 0
    except FileNotFoundError:
        is_small = False
    try:
        yield is_small
    finally:
        if is_small:
            subprocess.run(["umount", "-l", str(path)], check=True)


def run_one(seed: int) -> str | None:
    """Run a schedule; what was wrong, or None."""
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        data, aside = Path(folder) / "data", Path(folder) / "aside"
        aside.mkdir()
        with small_disk(data) as can_fill:
            schedule = Schedule(seed, data, aside, can_fill)
            try:
                schedule.run()
            except AssertionError as error:
                return f"seed {seed}: {error}\nafter {schedule.done}"
    return None
