"""After every failure the thread that moves data continues, reports the failure, and recovers without a restart."""

from __future__ import annotations

import os
import random
import re
import resource
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import duckdb
import pytest
import structlog

from opensea_metrics.core.errors import SqlError
from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.embedded import health, rounds
from opensea_metrics.deploy.embedded.engine import Engine
from opensea_metrics.deploy.embedded.files.archive import Register
from opensea_metrics.deploy.embedded.queries import persistent
from opensea_metrics.deploy.embedded.queries.client_queries import TransientQuery
from opensea_metrics.deploy.embedded.statements import replies
from opensea_metrics.deploy.embedded.statements.statement_runner import (
    Statements,
    StatementsRequest,
)
from opensea_metrics.deploy.embedded.storage import Storage, StorageError
from opensea_metrics.sql.language.statements.parser import parse_statement
from tests.embedded.topic import CountedTopic, lines, rows, running


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses before retries are short."""
    monkeypatch.setattr(rounds, "_AGAIN", 0.0)
    monkeypatch.setattr(rounds, "_QUIET", 0.0)
    monkeypatch.setattr(health, "_LONGEST_PAUSE", 0.05)


@pytest.fixture
def topic(tmp_path: Path) -> Iterator[CountedTopic]:
    """A topic of an engine whose thread runs."""
    with running(tmp_path) as engine:
        topic = CountedTopic(engine, "t")
        engine.start()
        yield topic


def sums(topic: CountedTopic) -> dict[str, int]:
    return dict(rows(topic.engine, "SELECT k, n FROM t_sums;"))


def eventually(look: Callable[[], object], expected: object, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while (seen := look()) != expected and time.monotonic() < deadline:
        time.sleep(0.02)
    assert seen == expected


def shown(engine: Engine, statement: str = "SHOW QUERIES;") -> dict[str, Any]:
    """Queries as SHOW QUERIES returns them, by sink."""
    (reply,), status = Statements(engine).run(StatementsRequest(statement, {}, {}))
    assert status == 200
    kind = "queryDescriptions" if "EXTENDED" in statement else "queries"
    return {query["sinks"][0]: query for query in reply[kind]}


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("first line\nsecond line"), "first line"),
        (MemoryError(), "MemoryError"),
        (RecursionError("too deep"), "too deep"),
        (UnicodeEncodeError("utf-8", "\udcff", 0, 1, "no"), "'utf-8' codec can't encode character"),
        (StopIteration(), "StopIteration"),
        (duckdb.OutOfMemoryException("could not allocate"), "could not allocate"),
    ],
)
def test_a_failing_query_is_shown_and_the_others_go_on(
    topic: CountedTopic, monkeypatch: pytest.MonkeyPatch, error: Exception, message: str
) -> None:
    real = persistent.move
    fails, tries = [True], []

    def failing(cursor: Any, topics: Any, queries: Any, places: Any) -> persistent.Moved:
        if fails[0] and any(query.sink == "T_DIRECT" for query in queries):
            tries.append(time.monotonic())
            raise error
        return real(cursor, topics, queries, places)

    with structlog.testing.capture_logs() as logged:
        monkeypatch.setattr(persistent, "move", failing)
        topic.write("x.json", lines("x", 3))
        eventually(lambda: sums(topic), {"x": 3})
        eventually(lambda: len(tries) > 5, True)
        queries = shown(topic.engine)
        assert queries["T_DIRECT"]["state"] == "ERROR"
        assert queries["T_DIRECT"]["statusCount"] == {"ERROR": 1}
        assert queries["T_SUMS"]["state"] == "RUNNING"
        assert "queryErrors" not in queries["T_SUMS"]
        for query in (queries["T_DIRECT"], shown(topic.engine, "SHOW QUERIES EXTENDED;")["T_DIRECT"]):
            (shown_error,) = query["queryErrors"]
            assert shown_error["errorMessage"].startswith(message)
        reply = replies.healthcheck(topic.engine)
        assert not reply["isHealthy"]
        assert not reply["details"]["commandRunner"]["isHealthy"]
        assert f"query {queries['T_DIRECT']['id']}: {message}" in reply["details"]["commandRunner"]["message"]
        assert reply["details"]["kafka"] == reply["details"]["metastore"] == {"isHealthy": True}
        fails[0] = False
        eventually(lambda: topic.engine.faults(), {})
        eventually(lambda: dict(rows(topic.engine, "SELECT k, n FROM t_direct;")), {"x": 3})
    assert shown(topic.engine)["T_DIRECT"]["state"] == "RUNNING"
    events = [entry["event"] for entry in logged]
    assert events == ["query failed; the server will try again", "query works again"]


def test_a_failing_query_is_tried_less_and_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_LONGEST_PAUSE", 5.0)
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    state = health.Health()
    pauses = []
    for _ in range(10):
        state.query_failed("q", ValueError("no"))
        begun = clock[0]
        while state.must_wait("q"):
            clock[0] += 0.05
        pauses.append(round(clock[0] - begun, 1))
    assert pauses[:3] == [0.2, 0.4, 0.8]
    assert pauses[-1] == 5.0
    state.keep_only([])
    assert state.faults() == {}


@pytest.mark.parametrize(
    ("error", "part"),
    [
        (PermissionError(13, "Permission denied"), "kafka"),
        (RuntimeError("whatever"), "commandRunner"),
        (duckdb.IOException("IO Error: No space left on device"), "metastore"),
        (duckdb.Error("Corrupt database file"), "commandRunner"),
    ],
)
def test_the_search_for_files_may_fail(
    topic: CountedTopic, monkeypatch: pytest.MonkeyPatch, error: Exception, part: str
) -> None:
    topic.write("x.json", lines("x", 3))
    eventually(lambda: sums(topic), {"x": 3})
    real, fails = Register.discover, [True]

    def failing(*arguments: Any) -> Any:
        if fails[0] and threading.current_thread().name == "engine":
            raise error
        return real(*arguments)

    with structlog.testing.capture_logs() as logged:
        monkeypatch.setattr(Register, "discover", failing)
        eventually(lambda: {p.value: m for p, m in topic.engine.faults().items()}, {part: str(error)})
        topic.write("y.json", lines("y", 2))
        # Inserted records do not need a search for files.
        topic.engine.insert_values(
            [parse_statement(f"INSERT INTO t_raw (t, k, a) VALUES ({10**12}, 'inserted', 1);")]
        )
        eventually(lambda: sums(topic), {"x": 3, "inserted": 1})
        time.sleep(0.5)  # several looks
        fails[0] = False
        eventually(lambda: sums(topic), {"x": 3, "y": 2, "inserted": 1})
        eventually(lambda: topic.engine.faults(), {})
    assert [entry["event"] for entry in logged] == [
        "a part of the server fails; the server will try again",
        "a part of the server works again",
    ]


def test_a_client_that_never_pauses_does_not_stop_reading(
    topic: CountedTopic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "_QUIET", 1000.0)
    monkeypatch.setattr(rounds, "_PATIENCE", 0.2)
    insert = parse_statement(f"INSERT INTO t_raw (t, k, a) VALUES ({10**12}, 'inserted', 1);")
    topic.engine.insert_values([insert])
    topic.write("x.json", lines("x", 3))
    eventually(lambda: sums(topic), {"x": 3, "inserted": 1})


def test_a_log_that_cannot_be_written_stops_nothing(
    topic: CountedTopic, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(health, "log", type("Log", (), {"warning": staticmethod(full)}))
    with topic.engine.turn():  # the thread must not read the file before it is gone
        path = topic.write("x.json.gz", lines("x", 3))
        topic.register()
        path.unlink()
    topic.write("y.json", lines("y", 2))
    eventually(lambda: sums(topic), {"y": 2})
    assert topic.engine.faults() == {}
    eventually(lambda: len(topic.reports()), 2)


def test_two_servers_of_one_process_do_not_share_a_directory(topic: CountedTopic) -> None:
    with pytest.raises(StorageError, match="another server uses the data directory"):
        Storage(topic.engine.root.parent)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_has_ended_is_a_fault(
    topic: CountedTopic, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end(*_: Any) -> bool:
        raise SystemExit

    assert replies.healthcheck(topic.engine)["isHealthy"]
    monkeypatch.setattr(Engine, "work", end)
    eventually(lambda: replies.healthcheck(topic.engine)["isHealthy"], False)
    details = replies.healthcheck(topic.engine)["details"]
    assert details["commandRunner"]["message"] == "the thread that moves data has ended; restart the server"


def test_a_query_may_be_closed_while_it_looks_for_rows(topic: CountedTopic) -> None:
    query = TransientQuery(topic.engine, parse_statement("SELECT * FROM t_raw EMIT CHANGES;"), {})
    began, ended = threading.Event(), threading.Event()

    def look() -> None:
        began.set()
        with suppress(duckdb.Error):
            query._cursor.execute("SELECT count(*) FROM range(10**7) a, range(10**7) b").fetchall()
        ended.set()

    threading.Thread(target=look).start()
    began.wait()
    time.sleep(0.2)
    query.close()
    assert ended.wait(20)


# -- the disk -----------------------------------------------------------------------------------


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Limits the size of this process's files, so that writing fails as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("seed", range(4))
def test_a_disk_that_fills_and_empties(topic: CountedTopic, seed: int) -> None:
    """Nothing is lost or counted twice. A client that does not read its push query blocks nobody."""
    chance = random.Random(seed)
    engine, expected, waiting = topic.engine, {}, []
    data = engine.root.parent
    for number in range(9):
        count = chance.choice([1, 100, 20_000])
        expected[f"k{number}"] = count
        content = b"".join(
            b'{"t":%d,"k":"k%d","a":%d}\n' % (10**12, number, chance.getrandbits(60)) for _ in range(count)
        )
        waiting.append(topic.write(f".waiting{number}.json", content))
    idle = TransientQuery(engine, parse_statement("SELECT * FROM t_raw EMIT CHANGES;"), {})
    list(idle.rows())
    for turn in range(3):
        used = max(path.stat().st_size for path in data.glob("embedded.duckdb*"))
        with largest_file(used + chance.choice([1, 20_000, 500_000, 3_000_000])):
            for path in waiting[3 * turn : 3 * turn + 3]:
                path.rename(path.with_name(path.name.removeprefix(".")))
                time.sleep(chance.uniform(0, 0.2))
            with suppress(SqlError, duckdb.Error):
                engine.insert_values([parse_statement(f"INSERT INTO t_raw (t, k) VALUES ({10**12}, 'in');")])
                expected["in"] = expected.get("in", 0) + 1
            time.sleep(chance.uniform(0, 0.5))
            assert engine.failures == {} or not replies.healthcheck(engine)["isHealthy"]
        seen = {key: n for key, n in expected.items() if key < f"k{3 * turn + 3}"}
        eventually(lambda: _asked(topic), seen)
        eventually(engine.faults, {})
    assert dict(rows(engine, "SELECT k, n FROM t_direct;")) == expected
    idle.close()
    engine.stop()
    with running(data) as again:
        assert CountedTopic(again, "t").counts() == expected


def _asked(topic: CountedTopic) -> object:
    try:
        return sums(topic)
    except (duckdb.Error, SqlError) as error:
        return error


def test_a_full_disk_is_reported_and_statements_are_refused(topic: CountedTopic) -> None:
    engine = topic.engine
    insert = f"INSERT INTO t_raw (t, k) VALUES ({10**12}, '{'long' * 20_000}');"
    path = topic.write(".x.json", lines("x", 50_000))
    with engine.turn():
        path.rename(topic.folder / "x.json")
        topic.register()
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard))
    try:
        eventually(lambda: replies.healthcheck(engine)["details"]["metastore"]["isHealthy"], False)
        assert "File too large" in replies.healthcheck(engine)["details"]["metastore"]["message"]
        assert {query["state"] for query in shown(engine).values()} & {"ERROR"}
        reply, status = Statements(engine).run(StatementsRequest(insert, {}, {}))
        assert (status, reply["error_code"]) == (500, 50000)
        # The second message is for the time while the database is being reopened.
        assert re.match("The server failed|the embedded server cannot use its database", reply["message"])
        assert "File too large" in reply["message"]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    eventually(engine.faults, {})
    eventually(lambda: _asked(topic), {"x": 50_000})
    assert Statements(engine).run(StatementsRequest(insert, {}, {}))[1] == 200


def test_a_server_may_be_stopped_on_a_full_disk(tmp_path: Path) -> None:
    with running(tmp_path) as engine:
        topic = CountedTopic(engine, "t")
        topic.write("x.json", lines("x", 50_000))
        engine.start()
        with largest_file(1):
            eventually(lambda: replies.healthcheck(engine)["isHealthy"], False)
            engine.stop()
    with running(tmp_path) as engine:
        assert CountedTopic(engine, "t").counts() == {"x": 50_000}


def test_a_client_that_writes_delays_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "_MUCH_WAL", 0)
    with running(tmp_path) as engine:
        counted = CountedTopic(engine, "t")
        client = engine.cursor()
        client.execute("BEGIN")
        client.execute("INSERT INTO meta.refused VALUES ('t', 'path', 'reason')")
        counted.write("a.json", lines("k"))
        counted.work()
        assert engine._storage.wal_bytes() > 0
        engine._safely(engine._write_checkpoint)
        assert engine.faults() == {}
        client.execute("ROLLBACK")
        engine._safely(engine._write_checkpoint)
        assert engine._storage.wal_bytes() == 0


# -- the database -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def left_behind(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory of a server that was killed: some rows are in the database, some in the log."""
    data = tmp_path_factory.mktemp("killed")
    code = (
        "import os, pathlib, sys; from opensea_metrics.deploy.embedded.storage import Storage;"
        "c = Storage(pathlib.Path(sys.argv[1])).cursor();"
        "c.execute('CREATE TABLE log.x AS SELECT i, md5(i::VARCHAR) AS b FROM range(50000) t(i)');"
        "c.execute('CHECKPOINT'); c.execute('INSERT INTO log.x SELECT i, md5(i::VARCHAR) FROM range(999) t(i)');"
        "os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code, str(data)], check=True)
    return data


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.999])
def test_a_database_cut_in_half_is_a_clear_error(left_behind: Path, tmp_path: Path, share: float) -> None:
    data = tmp_path / "data"
    shutil.copytree(left_behind, data)
    database = data / "embedded.duckdb"
    os.truncate(database, int(database.stat().st_size * share))
    with pytest.raises(StorageError) as caught:
        Engine(Storage(data))
    first, advice = str(caught.value).splitlines()
    assert first.startswith(f"cannot use {database}: ")
    assert "move embedded.duckdb and embedded.duckdb.wal away" in advice
    assert "opensea-metrics apply" in advice
    for path in data.glob("embedded.duckdb*"):
        path.unlink()
    Engine(Storage(data)).stop()  # as the advice says; and the directory was not left locked


@pytest.mark.parametrize("seed", range(30))
def test_any_damage_to_the_database_is_a_clear_error_or_harmless(
    left_behind: Path, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    data = tmp_path / "data"
    shutil.copytree(left_behind, data)
    path = chance.choice(sorted(data.glob("embedded.duckdb*")))
    with path.open("r+b") as file:
        file.seek(chance.randrange(min(path.stat().st_size, chance.choice([20_000, 10**9]))))
        file.write(chance.randbytes(64))
    with suppress(StorageError):
        Engine(Storage(data)).stop()


def test_a_second_server_on_a_directory_is_refused(tmp_path: Path) -> None:
    """The kernel holds the lock, so a killed server leaves nothing to clean up."""
    main = "from opensea_metrics.deploy.cli import main; main()"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-c", main, "serve", "--data-dir", str(tmp_path), "--port"]
    first = subprocess.Popen([*command, str(port)], stderr=subprocess.DEVNULL)
    try:
        eventually(KsqlClient(f"http://127.0.0.1:{port}").healthcheck, True)
        before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
        second = subprocess.run([*command, "0"], capture_output=True, text=True)
        assert second.returncode == 1
        said = " ".join((second.stdout + second.stderr).split())
        assert "another server uses the data directory" in said
        assert "--data-dir" in said
        assert "Traceback" not in said
        assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before
    finally:
        first.kill()
        first.wait()
    Engine(Storage(tmp_path)).stop()
