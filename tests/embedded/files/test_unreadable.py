"""Files that cannot be read for a while are reported, and each of their records counts once later."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from opensea_metrics.deploy.embedded.queries.client_queries import TransientQuery
from opensea_metrics.deploy.embedded.statements import replies
from opensea_metrics.producer.archive import text as texts
from opensea_metrics.sql.language.statements.parser import parse_statement
from tests.embedded.files.disturbances import (
    NOT_GZIP,
    Faulty,
    lead_outside,
    make_a_directory,
    make_a_fifo,
    settled,
    take_away,
)
from tests.embedded.topic import CountedTopic, lines, rows, running


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.EMFILE, errno.ESTALE])
@pytest.mark.parametrize("name", ["x.json", "x.json.gz"])
def test_an_unreadable_file_is_read_when_it_can_be(
    topic: CountedTopic, monkeypatch: pytest.MonkeyPatch, name: str, number: int
) -> None:
    topic.write(name, lines("x", 3))
    topic.write("y.json", lines("y", 2))
    faulty = Faulty(monkeypatch, "open", f"{topic.name}/x.", number)
    for _ in range(3):
        assert topic.counts() == {"y": 2}
    reason = f"cannot read this file: {os.strerror(number)}"
    assert all(message.startswith(f"Skipped a file of topic: {topic.name}. {reason}") for _, message in topic.reports())
    # A plain file is opened to register it, a compressed one by each query.
    assert len(topic.reports()) == (1 if name == "x.json" else 2)
    faulty.is_on = False
    for _ in range(3):
        assert topic.counts() == {"x": 3, "y": 2}
    assert len(topic.reports()) == (1 if name == "x.json" else 2)


@pytest.mark.parametrize("disturb", [take_away, make_a_directory, make_a_fifo, lead_outside])
@pytest.mark.parametrize("name", ["x.json", "x.json.gz"])
def test_a_registered_file_that_is_gone_counts_when_it_is_back(
    topic: CountedTopic, disturb: Callable[[Path], Callable[[], None]], name: str
) -> None:
    path = topic.write(name, lines("x", 3))
    topic.write("a.json", lines("a", 1))
    topic.write("z.json.gz", lines("z", 2))
    topic.register()
    undo = disturb(path)
    for _ in range(3):
        assert topic.counts() == {"a": 1, "z": 2}
    of_queries = [message for logger, message in topic.reports() if logger != "processing.files"]
    assert len(of_queries) == 2  # one for each query that reads the files
    assert all("cannot read this file: " in message and str(path) in message for message in of_queries)
    undo()
    for _ in range(3):
        assert topic.counts() == {"a": 1, "x": 3, "z": 2}


@pytest.mark.parametrize("name", ["x.json", "x.json.gz"])
def test_a_file_deleted_before_a_clients_query_is_reported_once(topic: CountedTopic, name: str) -> None:
    """Queries of clients read files themselves. The other queries had read the file before."""
    path = topic.write(name, lines("x", 3))
    topic.write("a.json", lines("a", 1))
    assert topic.counts() == {"a": 1, "x": 3}
    select = f"SELECT k FROM {topic.name}_raw;"
    for time_ in (1, 2):
        undo = take_away(path)
        for _ in range(3):
            assert rows(topic.engine, select) == [["a"]]
        report = (
            "processing.files",
            f"Skipped a file of topic: {topic.name}. cannot read this file: No such file or directory;"
            f" the server reads it as soon as this is possible ({path})",
        )
        assert topic.reports() == [report] * time_
        undo()
        assert sorted(rows(topic.engine, select)) == [["a"], ["x"], ["x"], ["x"]]
        assert topic.counts() == {"a": 1, "x": 3}


def test_a_push_query_reports_a_damaged_file_and_goes_on(topic: CountedTopic) -> None:
    query = TransientQuery(topic.engine, parse_statement(f"SELECT k FROM {topic.name}_raw EMIT CHANGES;"), {})
    try:
        settled(topic.write("x.json", lines("x", 2))).rename(topic.folder / "x.json.gz")
        assert list(query.rows()) == []
        assert [message for logger, message in topic.reports() if logger == "processing.files"] == [
            f"Skipped a file of topic: {topic.name}. {NOT_GZIP}; compress it, or rename it to .json"
            f" ({topic.folder / 'x.json.gz'})"
        ]
        topic.write("x.json.gz", lines("x", 2))
        assert list(query.rows()) == [["x"], ["x"]]
    finally:
        query.close()


def test_a_query_reports_a_file_once_over_restarts(tmp_path: Path) -> None:
    with running(tmp_path) as first:
        topic = CountedTopic(first, "t")
        path = topic.write("x.json.gz", lines("x", 3))
        (topic.folder / "pipe.json").write_bytes(b"")
        os.remove(topic.folder / "pipe.json")
        os.mkfifo(topic.folder / "pipe.json")
        topic.register()
        undo = take_away(path)
        assert topic.counts() == {}
        assert len(topic.reports()) == 3
    with running(tmp_path) as second:
        topic = CountedTopic(second, "t")
        assert topic.counts() == {}
        assert len(topic.reports()) == 3
        undo()
        assert topic.counts() == {"x": 3}
    with running(tmp_path) as third:
        assert CountedTopic(third, "t").counts() == {"x": 3}


def test_a_new_query_reads_what_an_old_one_could_not_and_the_other_way_round(topic: CountedTopic) -> None:
    early, late = topic.write("a.json.gz", lines("early")), topic.write("b.json.gz", lines("late"))
    topic.register()
    undo = take_away(early)
    assert topic.counts() == {"late": 1}
    undo()
    undo = take_away(late)
    other = CountedTopic(topic.engine, topic.name)
    assert other.counts() == {"early": 1, "late": 1}
    topic.engine.execute(
        parse_statement(
            f"CREATE TABLE {topic.name}_new AS SELECT k, COUNT(*) AS n FROM {topic.name}_raw"
            " GROUP BY k EMIT CHANGES;"
        ),
        {},
    )
    topic.work()
    select = f"SELECT k, n FROM {topic.name}_new;"
    assert dict(rows(topic.engine, select)) == {"early": 1}
    undo()
    assert topic.counts() == {"early": 1, "late": 1}
    assert dict(rows(topic.engine, select)) == {"early": 1, "late": 1}
    topic.engine.execute(parse_statement(f"DROP TABLE {topic.name}_new DELETE TOPIC;"), {})


@pytest.mark.parametrize("name", ["x.json", "x.json.gz"])
def test_a_read_that_fails_midway_is_resumed(
    topic: CountedTopic, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    content = b"".join(lines(f"{n}" * 200, 50) for n in range(10, 99))
    path = topic.write(name, content if name == "x.json" else os.urandom(0) + content)
    topic.register()
    real, is_on = os.pread, [True]
    size = path.stat().st_size
    monkeypatch.setattr(texts, "_STEP", size // 5 + 1)

    def failing(descriptor: int, count: int, offset: int) -> bytes:
        if is_on[0] and offset > size // 2 and os.readlink(f"/proc/self/fd/{descriptor}") == str(path):
            raise OSError(errno.EIO, "Input/output error")
        return real(descriptor, count, offset)

    monkeypatch.setattr(os, "pread", failing)
    some = topic.counts()
    assert 0 < sum(some.values()) < 89 * 50
    is_on[0] = False
    for _ in range(2):
        assert topic.counts() == {f"{n}" * 200: 50 for n in range(10, 99)}
    assert len([r for r in topic.reports() if "Input/output error" in r[1]]) == 2


@pytest.mark.parametrize("call", ["open", "scandir", "stat"])
def test_a_file_deleted_between_two_calls_is_not_a_failure(
    topic: CountedTopic, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    topic.write("sub/x.json", lines("x"))
    topic.write("y.json", lines("y"))
    faulty = Faulty(monkeypatch, call, f"{topic.name}/sub", errno.ENOENT)
    if call != "stat":  # entries of a directory are asked through themselves
        assert topic.counts() == {"y": 1}
    faulty.is_on = False
    assert topic.counts() == {"x": 1, "y": 1}
    assert topic.reports() == []


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO])
def test_a_directory_that_cannot_be_listed_is_a_fault_until_it_can(
    topic: CountedTopic, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    topic.write("sub/x.json", lines("x"))
    topic.write("y.json", lines("y"))
    faulty = Faulty(monkeypatch, "scandir", f"{topic.name}/sub", number)
    assert topic.counts() == {"y": 1}
    health = replies.healthcheck(topic.engine)
    assert not health["isHealthy"]
    assert health["details"]["metastore"] == health["details"]["commandRunner"] == {"isHealthy": True}
    where = f"{topic.folder}/sub: cannot list this directory: {os.strerror(number)}"
    assert health["details"]["kafka"] == {"isHealthy": False, "message": where}
    assert topic.counts() == {"y": 1}
    assert len(topic.reports()) == 1
    faulty.is_on = False
    assert topic.counts() == {"x": 1, "y": 1}
    assert replies.healthcheck(topic.engine)["isHealthy"]


def test_a_topics_directory_replaced_by_a_file(topic: CountedTopic) -> None:
    topic.write("x.json", lines("x"))
    topic.register()
    aside = topic.folder.with_name(f".{topic.name}")
    topic.folder.rename(aside)
    topic.folder.write_bytes(lines("no"))
    assert topic.counts() == {}
    message = replies.healthcheck(topic.engine)["details"]["kafka"]["message"]
    assert message == f"{topic.folder}: cannot list this directory: Not a directory"
    topic.folder.unlink()
    aside.rename(topic.folder)
    assert topic.counts() == {"x": 1}
