"""Whatever happens to files, every readable record counts once, and unreadable records and files are reported."""

from __future__ import annotations

import errno
import gzip
import itertools
import os
import socket
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from opensea_metrics.deploy.embedded import health, rounds
from opensea_metrics.deploy.embedded.engine import Engine
from opensea_metrics.deploy.embedded.files import file_look
from opensea_metrics.deploy.embedded.files.lines import FileLines
from opensea_metrics.deploy.embedded.files.segments import Segment
from opensea_metrics.deploy.embedded.files.unread import WHEN_IT_GOES_ON, Why
from opensea_metrics.deploy.embedded.queries import persistent
from opensea_metrics.deploy.embedded.queries.client_queries import TransientQuery
from opensea_metrics.deploy.embedded.statements import replies
from opensea_metrics.deploy.embedded.storage import Storage, StorageError
from opensea_metrics.producer.archive import listing
from opensea_metrics.producer.archive import text as texts
from opensea_metrics.sql.language.statements.parser import parse_statement
from tests.embedded.inside import inside
from tests.embedded.topic import CountedTopic, lines, rows, running

_NAMES = itertools.count()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with running(tmp_path_factory.mktemp("data")) as running_engine:
        yield running_engine


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server retries immediately."""
    monkeypatch.setattr(rounds, "_AGAIN", 0.0)
    monkeypatch.setattr(health, "_LONGEST_PAUSE", 0.0)


@pytest.fixture
def topic(server: Engine) -> Iterator[CountedTopic]:
    counted = CountedTopic(server, f"t{next(_NAMES)}")
    yield counted
    server.work()
    assert server.faults() == {}
    counted.drop()


def settled(path: Path) -> Path:
    """Make a file look as if it was written long ago."""
    os.utime(path, (1_000_000_000, 1_000_000_000))
    return path


# -- names --------------------------------------------------------------------------------------

ODD_NAMES = (
    "k1", "k2", "k[12]", "k*", "k?", "k{1,2}", "[!a]", "**", "it's", '"quoted"', "new\nline", "tab\t",
    "back\\slash", "\\*", "semi;colon--", "%41", "ünïcode 中文", " leading", "trailing ", "-rf", "a=b", "$HOME",
    "~", "#", "x" * 240, "year=2026", "file:x", "s3:x", "a,b", "\x01", "\x7f", "\u202e", "…",
)  # fmt: skip


@pytest.mark.parametrize("suffix", [".json", ".json.gz"])
def test_names_are_names_and_not_patterns(topic: CountedTopic, suffix: str) -> None:
    for number, name in enumerate(ODD_NAMES):
        topic.write(name + suffix, lines(f"key {number}"))
        topic.write(f"in {name[:200]}/file" + suffix, lines(f"in {number}"))
    expected = {f"{place} {n}": 1 for n in range(len(ODD_NAMES)) for place in ("key", "in")}
    assert topic.counts() == expected
    assert topic.reports() == []


def test_names_that_are_not_utf_8_are_reported(topic: CountedTopic) -> None:
    folder = os.fsencode(topic.folder)
    topic.write("good.json", lines("good"))
    for name in (b"bad\xff.json", b"bad\xff.json.gz"):
        Path(os.fsdecode(folder + b"/" + name)).write_bytes(lines("bad"))
    inside = Path(os.fsdecode(folder + b"/dir\xfe"))
    inside.mkdir()
    (inside / "x.json").write_bytes(lines("inside"))
    assert topic.counts() == {"good": 1}
    (inside.with_name("dir")).mkdir()
    inside.rename(inside.with_name("dir"))
    assert topic.counts() == {"good": 1, "inside": 1}
    reasons = topic.reasons()
    assert [reason.count("the name is not UTF-8; rename it") for reason in reasons] == [1, 1, 1]
    for ending in (r"bad\xff.json)", r"bad\xff.json.gz)", r"dir\xfe)"):
        assert any(reason.endswith(ending) for reason in reasons)
    assert len(topic.reports()) == 3


# -- entries that are not files ----------------------------------------------------------------------------


def fifo(path: Path) -> None:
    os.mkfifo(path)


def unix_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        here = os.open(path.parent, os.O_RDONLY)
        try:
            bound.bind(f"/proc/self/fd/{here}/{path.name}")  # a socket's path is at most 107 bytes
        finally:
            os.close(here)


def dangling_link(path: Path) -> None:
    path.symlink_to(path.with_name("nowhere"))


def link_to_itself(path: Path) -> None:
    path.symlink_to(path)


def link_to_a_file_outside(path: Path) -> None:
    outside = path.parents[2] / f"secret {path.parent.name}.json"
    outside.write_bytes(lines("secret"))
    path.symlink_to(outside)


def link_to_a_directory_outside(path: Path) -> None:
    outside = path.parents[2] / f"secrets {path.parent.name}"
    outside.mkdir()
    (outside / "x.json").write_bytes(lines("secret"))
    path.symlink_to(outside)


def link_to_a_directory_inside(path: Path) -> None:
    inside = path.parents[1] / f"other{path.parent.name}"
    inside.mkdir()
    (inside / "x.json").write_bytes(lines("other"))
    path.symlink_to(inside)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (fifo, "it is a FIFO, not a file"),
        (unix_socket, "it is a socket, not a file"),
        (dangling_link, "a link that leads nowhere"),
        (link_to_itself, "cannot read this file: Too many levels of symbolic links"),
        (link_to_a_file_outside, "a link leads to "),
        (link_to_a_directory_outside, "a link leads to "),
        (link_to_a_directory_inside, "a link to a directory is not followed; move the directory here"),
    ],
)
@pytest.mark.parametrize("name", ["x.json", "x.json.gz"])
def test_entries_that_are_not_files_are_reported_once_and_stop_nothing(
    topic: CountedTopic, make: Callable[[Path], None], reason: str, name: str
) -> None:
    make(topic.folder / name)
    topic.write("good.json", lines("good"))
    for _ in range(3):
        assert topic.counts() == {"good": 1}
    ((logger, message),) = topic.reports()
    assert logger == "processing.files"
    assert message.startswith(f"Skipped a file of topic: {topic.name}. {reason}")
    assert message.endswith(f" ({topic.folder / name})")
    (topic.folder / name).unlink()
    topic.write(name, lines("healed"))
    assert topic.counts() == {"good": 1, "healed": 1}
    assert len(topic.reports()) == 1


def test_a_link_to_a_file_within_topics_is_read(topic: CountedTopic) -> None:
    target = topic.write("data.ignored", lines("target", 2))
    (topic.folder / "x.json").symlink_to(target)
    assert topic.counts() == {"target": 2}


def test_a_link_in_place_of_a_directory_is_not_followed_later(topic: CountedTopic, tmp_path: Path) -> None:
    """Not even if the file was registered while the path was still a directory."""
    topic.write("sub/x.json", lines("x"))
    topic.write("y.json", lines("y"))
    topic.register()
    (topic.folder / "sub").rename(tmp_path / "sub")
    (topic.folder / "sub").symlink_to(tmp_path / "sub")
    assert topic.counts() == {"y": 1}
    assert any("a link leads to " in reason for reason in topic.reasons())
    (topic.folder / "sub").unlink()
    (tmp_path / "sub").rename(topic.folder / "sub")
    assert topic.counts() == {"x": 1, "y": 1}


def test_hidden_files_and_directories_are_incomplete(topic: CountedTopic) -> None:
    for name in (".x.json", "_x.json", ".dir/x.json", "_dir/x.json"):
        topic.write(name, lines("hidden"))
    topic.write("x.json", lines("seen"))
    assert topic.counts() == {"seen": 1}
    assert topic.reports() == []


# -- files that cannot be read for a while ------------------------------------------------------


class Faulty:
    """Makes functions of ``os`` fail for paths that contain a given text."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, call: str, text: str, number: int) -> None:
        self.is_on = True
        real = getattr(os, call)

        def failing(path: Any, *arguments: Any, **options: Any) -> Any:
            if self.is_on and text in str(path):
                raise OSError(number, os.strerror(number), str(path))
            return real(path, *arguments, **options)

        monkeypatch.setattr(os, call, failing)


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


def take_away(path: Path) -> Callable[[], None]:
    hidden = path.with_name(".away")
    path.rename(hidden)

    def put_back() -> None:
        hidden.replace(path)

    return put_back


def make_a_directory(path: Path) -> Callable[[], None]:
    put_back = take_away(path)
    path.mkdir()
    (path / "not.txt").touch()

    def undo() -> None:
        (path / "not.txt").unlink()
        path.rmdir()
        put_back()

    return undo


def make_a_fifo(path: Path) -> Callable[[], None]:
    put_back = take_away(path)
    os.mkfifo(path)
    return put_back


def lead_outside(path: Path) -> Callable[[], None]:
    put_back = take_away(path)
    outside = path.parents[2] / f"outside {path.parent.name}"
    outside.write_bytes(lines("secret"))
    path.symlink_to(outside)
    return put_back


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


def test_entries_outside_topics_are_ignored_and_reported(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        topic = CountedTopic(server, "t")
        too_long = "n" * 250
        for name in ("not a topic", too_long, "ümlaut", os.fsdecode(b"bad\xff")):
            (server.root / name).mkdir()
            (server.root / name / "x.json").write_bytes(lines("x"))
        (server.root / "stray.json").write_bytes(lines("stray"))
        (server.root / "loop").symlink_to("loop")
        (server.root / ".DS_Store").touch()
        topic.write("x.json", lines("x"))
        for _ in range(2):
            assert topic.counts() == {"x": 1}
        assert set(server.topics()) == {"t", "T_FLAT", "T_SUMS", "T_DIRECT", "embedded_ksql_processing_log"}
        topic.name = ""
        assert len(topic.reports()) == 5
        assert all(reason.startswith("Skipped a path that belongs to no topic. the ") for reason in topic.reasons())
        (stray,) = [reason for reason in topic.reasons() if "stray.json" in reason]
        assert stray.endswith(
            f"the file is in no topic's directory; move it into topics/<topic>/ ({server.root / 'stray.json'})"
        )
        named = [reason for reason in topic.reasons() if "not one that Kafka allows" in reason]
        assert [any(name in reason for reason in named) for name in ("not a topic", too_long, "ümlaut", r"bad\xff")]
        assert len(named) == 4
        assert server.faults() == {}


# -- content ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["x.json", "x.json.gz"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_file_cut_after_it_was_registered(topic: CountedTopic, name: str, share: float) -> None:
    path = topic.write(name, b"".join(lines(f"k{n}", 100) for n in range(100)))
    topic.write("y.json", lines("y"))
    topic.register()
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    settled(path)
    cut = topic.counts()
    assert cut.pop("y") == 1
    assert sum(cut.values()) < 10_000
    if name == "x.json":
        assert sum(cut.values()) == whole[: int(len(whole) * share)].count(b"\n")
    else:
        assert sum(cut.values()) > 0 or share < 0.9
    reason = "has become shorter before any query had read it" if name == "x.json" and share else "this file is damaged"
    assert any(reason in message for message in topic.reasons())
    reported = len(topic.reports())
    path.write_bytes(whole)
    for _ in range(2):
        assert topic.counts() == {"y": 1, **{f"k{n}": 100 for n in range(100)}}
    assert len(topic.reports()) == reported


def test_a_compressed_file_that_is_written_in_place(topic: CountedTopic) -> None:
    whole = gzip.compress(b"".join(lines(f"k{n}", 10) for n in range(1000)))
    path = topic.folder / "x.json.gz"
    with path.open("wb", buffering=0) as file:
        for start in range(0, len(whole), len(whole) // 7):
            file.write(whole[start : start + len(whole) // 7])
            some = topic.counts()
            assert set(some.values()) <= set(range(1, 11))
    assert topic.counts() == {f"k{n}": 10 for n in range(1000)}
    assert topic.reports() == []


def test_a_half_written_file_that_looked_damaged_may_be_completed(topic: CountedTopic) -> None:
    whole = gzip.compress(b"".join(lines(f"k{n}", 10) for n in range(1000)))
    path = topic.folder / "x.json.gz"
    path.write_bytes(whole[: len(whole) // 2])
    settled(path)
    assert 0 < sum(topic.counts().values()) < 10_000
    (reason,) = topic.reasons()
    assert f"this file is damaged: its end is missing; {WHEN_IT_GOES_ON[Why.DAMAGED]}" in reason
    path.write_bytes(whole)
    assert topic.counts() == {f"k{n}": 10 for n in range(1000)}


@pytest.mark.parametrize("ahead", [-10**9, 10**6])
def test_the_time_of_a_file_may_be_in_the_future(topic: CountedTopic, ahead: int) -> None:
    whole = gzip.compress(b"".join(lines(f"k{n}", 10) for n in range(1000)))
    path = topic.folder / "x.json.gz"
    for content in (whole[: len(whole) // 2], whole):
        path.write_bytes(content)
        os.utime(path, (time.time() + ahead, time.time() + ahead))
        some = topic.counts()
    assert some == {f"k{n}": 10 for n in range(1000)}


GOOD = gzip.compress(lines("x", 100))


def wrong_checksum() -> bytes:
    return GOOD[:-8] + bytes(4) + GOOD[-4:]


def flipped() -> bytes:
    big = gzip.compress(b"".join(lines("x", 100) for _ in range(100)), 1)
    return big[: len(big) // 2] + b"\xff\x00\xff\x00" + big[len(big) // 2 + 4 :]


AFTER = "after its end come bytes that are not gzip"
NOT_GZIP = "this file is not gzip, although its name ends with .gz"


@pytest.mark.parametrize(
    ("content", "least", "most", "reason"),
    [
        pytest.param(GOOD + GOOD, 200, 200, None, id="two members"),
        pytest.param(GOOD + bytes(1000), 100, 100, None, id="zeros after"),
        pytest.param(GOOD + bytes(1000) + GOOD, 200, 200, None, id="zeros between"),
        *(
            pytest.param(GOOD + after, 100, 100, f"this file is damaged: {AFTER}", id=f"{after[:8]!r} after")
            for after in (b"garbage", b"\n", bytes(10) + b"x", b"\x1fx", b"more text than a header has\n")
        ),
        pytest.param(GOOD + GOOD[:5], 100, 100, "this file is damaged: its end is missing", id="half a member after"),
        pytest.param(wrong_checksum(), 100, 100, "this file is damaged: ", id="wrong checksum"),
        pytest.param(flipped(), 1, 9_999, "this file is damaged: ", id="flipped bytes"),
        pytest.param(GOOD[:-12], 90, 100, "this file is damaged: its end is missing", id="cut"),
        pytest.param(b"", 0, 0, "it is empty (0 bytes)", id="0 bytes"),
        pytest.param(b"\x1f", 0, 0, "this file is damaged: its end is missing", id="1 byte"),
        pytest.param(lines("x", 3), 0, 0, f"{NOT_GZIP}; compress it, or rename it to .json", id="not gzip"),
        pytest.param(lines("x", 1)[:3], 0, 0, NOT_GZIP, id="3 bytes of text"),
        pytest.param(bytes(100), 0, 0, NOT_GZIP, id="zeros"),
        pytest.param(gzip.compress(b""), 0, 0, None, id="no lines"),
        pytest.param(gzip.compress(lines("x", 2)[:-1]), 2, 2, None, id="no newline at the end"),
        pytest.param(gzip.compress(b"\n\r\n\n" + lines("x", 2).replace(b"\n", b"\r\n")), 2, 2, None, id="empty lines"),
        pytest.param(gzip.compress(b"\xef\xbb\xbf" + lines("x", 2)), 2, 2, None, id="byte order mark"),
    ],
)
def test_kinds_of_compressed_files(
    topic: CountedTopic, content: bytes, least: int, most: int, reason: str | None
) -> None:
    path = topic.folder / "x.json.gz"
    path.write_bytes(content)
    settled(path)
    topic.write("a.json.gz", lines("a", 1362))
    topic.write("z.json.gz", lines("z", 1362))
    for _ in range(2):
        counts = topic.counts()
        assert counts.pop("a") == counts.pop("z") == 1362
        assert least <= sum(counts.values()) <= most
    messages = [message for _, message in topic.reports() if "Skipped a file" in message]
    # The register reports an empty file, and each of two queries what it reads.
    assert len(messages) == (1 if not content else 2 if reason else 0)
    assert all(reason and f"{topic.name}. {reason}" in message for message in messages)


def test_all_records_before_damage_count(topic: CountedTopic) -> None:
    """The same holds for recompute, and for any size of the steps in which igzip unpacks."""
    text = b"".join(b'{"t":1789467000000,"k":"%d","a":%d}\n' % (n % 7, zlib.crc32(b"%d" % n)) for n in range(9_000))
    whole = gzip.compress(text, 1)
    for at in range(40_000, 70_000, 5_003):
        damaged = whole[:at] + b"\xff" * 40 + whole[at + 40 :]
        path = topic.write(f"{at}.json", b"")
        path.with_name(f"{at}.json.gz").write_bytes(damaged)
        settled(path.with_name(f"{at}.json.gz"))
    expected = 0
    for path in topic.folder.glob("*.gz"):
        unpacker, before = zlib.decompressobj(wbits=31), b""
        try:
            for byte in path.read_bytes():
                before += unpacker.decompress(bytes((byte,)))
        except zlib.error:
            pass
        expected += before[: before.rfind(b"\n") + 1].count(b'\n')
    counted = sum(topic.counts().values())
    bad = [message for logger, message in topic.reports() if "deserialize" in message and "FLAT" in logger]
    assert counted + len(bad) == expected > 20_000


def segment_of(path: Path) -> Segment:
    return Segment(0, path.name, 0, path.stat().st_size)


@pytest.mark.parametrize("kind", ["zeros", "line", "records"])
def test_memory_stays_small_for_any_unpacked_size(tmp_path: Path, kind: str) -> None:
    """2 MB that unpack to 2 GB need as much memory as 200 kB that unpack to 200 MB."""
    path = tmp_path / "t" / "bomb.json.gz"
    path.parent.mkdir()
    block = {"zeros": bytes(1 << 20), "line": b"x" * (1 << 20), "records": lines("x", 25_000)}[kind]
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(200):
            file.write(block)
    read = FileLines(tmp_path, "t", [segment_of(path)])
    tracemalloc.start()
    count = sum(len(batch) for batch in read._batches())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == (200 * 25_000 if kind == "records" else 0)
    assert peak < 40_000_000
    assert read.unread == {}
    reasons = [(report.reason, len(report.line or b"")) for report in read.reports]
    assert reasons == ([] if kind == "records" else [("the line is longer than 2,000,000 bytes", 1_000)])


@pytest.mark.parametrize("name", ["x.json", "x.json.gz"])
def test_a_long_line_is_reported_and_the_others_count(topic: CountedTopic, name: str) -> None:
    long = b'{"t":%d,"k":"%s","a":1}\n' % (1_789_467_000_000, b"y" * 100_000_000)
    edge = b'{"t":%d,"k":"edge","a":1}' % 1_789_467_000_000
    longest = edge + b" " * (texts.LINE_LIMIT - len(edge)) + b"\n"
    topic.write(name, lines("x", 5) + long + lines("z", 5) + longest + b" " + longest + lines("x", 5))
    assert topic.counts() == {"x": 10, "z": 5, "edge": 1}
    (reason,) = topic.reasons()
    assert reason.startswith(f"Failed to deserialize value from topic: {topic.name}. the line is longer than 2,000,000")
    assert len(topic.reports()) == 4  # two lines, for each of the two queries


def test_a_long_line_that_grows_slowly(topic: CountedTopic) -> None:
    path = topic.folder / "x.json"
    with path.open("ab", buffering=0) as file:
        file.write(b'{"t":1789467000000,"k":"')
        for _ in range(5):
            file.write(b"y" * 1_000_000)
            assert topic.counts() == {}
        file.write(b'","a":1}\n' + lines("z"))
    assert topic.counts() == {"z": 1}
    assert len(topic.reports()) == 2


@pytest.mark.parametrize(
    "text", ["ü" * 200, "x" * 400, "中" * 100, "\ufffd" * 99, "🦦" * 70, "{" * 300, '"' + "é" * 99]
)
def test_lines_that_are_not_json_in_any_script(topic: CountedTopic, text: str) -> None:
    bad = b"".join(("a" * n + text).encode() + b"\n" for n in range(8))
    topic.write("x.json", lines("x") + bad + lines("x"))
    assert topic.counts() == {"x": 2}
    assert len(topic.reports()) == 16


# -- files that have changed ----------------------------------------------------------


def test_a_growing_file_that_is_cut_and_restored(topic: CountedTopic) -> None:
    path = topic.write("x.json", lines("x", 10))
    assert topic.counts() == {"x": 10}
    path.write_bytes(lines("x", 4))
    assert topic.counts() == {"x": 10}
    (reason,) = topic.reasons()
    assert "this file is shorter than the part that was read" in reason
    path.write_bytes(lines("x", 10) + lines("y"))
    assert topic.counts() == {"x": 10, "y": 1}
    assert len(topic.reports()) == 1


@pytest.mark.parametrize("name", ["x.json", "deep/x.ndjson"])
def test_a_last_line_without_newline_is_reported_and_read_when_the_newline_comes(tmp_path: Path, name: str) -> None:
    """It may be half of a line, so it never counts. It is reported once nobody has written to the file for a while."""
    with running(tmp_path) as first:
        topic = CountedTopic(first, "t")
        path = topic.write(name, lines("x", 3)[:-1])
        assert topic.counts() == {"x": 2}
        assert topic.reports() == []
        settled(path)
        report = (
            "processing.files",
            "Skipped a file of topic: t. this file has a last line without a newline at its end, which is not read"
            f" because it may be part of a record; add the newline to have it read ({path})",
        )
        for _ in range(2):
            assert topic.counts() == {"x": 2}
            assert topic.reports() == [report]
    with running(tmp_path) as second:
        topic = CountedTopic(second, "t")
        assert topic.counts() == {"x": 2}
        assert topic.reports() == [report]
        with path.open("ab") as file:
            file.write(b"\n" + lines("y")[:-1])
        assert topic.counts() == {"x": 3}
        settled(path)
        assert topic.counts() == {"x": 3}
        assert topic.reports() == [report] * 2
        with path.open("ab") as file:
            file.write(b"\n")
        settled(path)
        for _ in range(2):
            assert topic.counts() == {"x": 3, "y": 1}
        assert topic.reports() == [report] * 2


def test_a_last_line_is_reported_when_time_has_passed(topic: CountedTopic, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file does not change in between."""
    topic.write("x.json", b'{"k":"x"')
    assert (topic.counts(), topic.reports()) == ({}, [])
    monkeypatch.setattr(listing, "SETTLED", 0.0)
    assert topic.counts() == {}
    assert len(topic.reports()) == 1


@pytest.mark.parametrize("new", [lines("z", 10), lines("z", 11), lines("z", 500)])
def test_a_growing_file_that_is_rewritten_counts_nothing_twice(topic: CountedTopic, new: bytes) -> None:
    path = topic.write("x.json", lines("x", 10))
    assert topic.counts() == {"x": 10}
    topic.write("x.json", new)
    for _ in range(2):
        assert topic.counts() == {"x": 10}
    ((_, reason),) = topic.reports()
    assert "this file has changed since it was read" in reason
    path.write_bytes(lines("x", 10) + lines("y"))
    assert topic.counts() == {"x": 10, "y": 1}


@pytest.mark.parametrize("pieces", [1, 5])
@pytest.mark.parametrize("count", [1, 5, 10, 50])
def test_a_file_rewritten_before_any_query_has_read_it_counts_with_its_new_content(
    topic: CountedTopic, monkeypatch: pytest.MonkeyPatch, count: int, pieces: int
) -> None:
    monkeypatch.setattr(file_look, "PIECE", len(lines("x", 10)) // pieces)
    path = topic.write("x.json", lines("x", 10))
    topic.register()
    path.unlink()
    topic.write("a.json", lines("a"))
    assert topic.counts() == {"a": 1}
    topic.write("x.json", lines("z", count))
    for _ in range(2):
        assert topic.counts() == {"a": 1, "z": count}
    assert not any("has changed" in reason for reason in topic.reasons())
    assert any("has become shorter" in reason for reason in topic.reasons()) is (count < 10)
    with path.open("ab") as file:
        file.write(lines("more", 2))
    assert topic.counts() == {"a": 1, "z": count, "more": 2}
    assert persistent.have_unread(topic.engine._cursor) == []


def test_a_rewritten_file_counts_with_its_new_content_for_clients_if_no_other_query_reads_it(tmp_path: Path) -> None:
    with inside(tmp_path) as server:
        server.done("CREATE STREAM raw (k VARCHAR) WITH (KAFKA_TOPIC='t', VALUE_FORMAT='JSON', PARTITIONS=1);")
        path = tmp_path / "topics/t/x.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        for key, count in (("x", 2), ("z", 5), ("y", 1)):
            path.write_bytes(lines(key, count))
            assert server.ask("SELECT k FROM raw;") == [{"K": key}] * count


def test_a_rewritten_file_that_one_of_two_queries_has_read_is_reported(topic: CountedTopic) -> None:
    topic.write("x.json", lines("x", 2))
    assert topic.counts() == {"x": 2}
    number = next(_NAMES)
    topic.engine.execute(
        parse_statement(f"CREATE TABLE late{number} AS SELECT k, COUNT(*) AS n FROM {topic.name}_raw GROUP BY k;"), {}
    )
    topic.write("x.json", lines("z", 5))
    assert topic.counts() == {"x": 2}
    assert any("this file has changed since it was read" in reason for reason in topic.reasons())
    topic.engine.execute(parse_statement(f"DROP TABLE late{number} DELETE TOPIC;"), {})


def test_a_compressed_file_that_is_replaced_is_reported(topic: CountedTopic) -> None:
    topic.write("x.json.gz", lines("x", 10))
    assert topic.counts() == {"x": 10}
    for new in (lines("z", 10), lines("z", 300)):
        topic.write("x.json.gz", new)
        assert topic.counts() == {"x": 10}
    ((_, reason),) = topic.reports()
    assert "this file has changed since it was read" in reason
    topic.write("x.json.gz", lines("x", 10))
    assert topic.counts() == {"x": 10}


def test_a_replaced_file_is_noticed_after_a_restart(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        topic = CountedTopic(server, "t")
        topic.write("x.json.gz", lines("x", 10))
        topic.write("y.json", lines("y", 10))
        assert topic.counts() == {"x": 10, "y": 10}
    topic.write("x.json.gz", lines("z", 10))
    topic.write("y.json", lines("z", 20))
    with running(tmp_path) as server:
        topic = CountedTopic(server, "t")
        assert topic.counts() == {"x": 10, "y": 10}
        assert len(topic.reports()) == 2


def test_a_file_replaced_after_a_part_was_read(topic: CountedTopic) -> None:
    whole = gzip.compress(b"".join(lines(f"k{n}", 10) for n in range(1000)))
    path = topic.folder / "x.json.gz"
    path.write_bytes(whole[: len(whole) // 2])
    settled(path)
    part = topic.counts()
    path.write_bytes(gzip.compress(lines("other", 20_000)))
    assert topic.counts() == part
    assert any("this file has changed since a part of it was read" in reason for reason in topic.reasons())
    path.write_bytes(whole)
    assert topic.counts() == {f"k{n}": 10 for n in range(1000)}


def test_a_large_plain_file_is_registered_in_pieces(
    topic: CountedTopic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_look, "PIECE", 1_000)
    topic.write("x.json", lines("x", 500) + b'{"k":"long","t":1,"a":%s1}\n' % (b" " * 3_000) + lines("x", 500))
    assert topic.counts() == {"x": 1_000, "long": 1}


def test_the_database_of_an_earlier_version_is_refused(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        server._cursor.execute("DROP TABLE meta.layout")
    with pytest.raises(StorageError, match=r"an earlier version .* created .*\n  hint: move embedded\.duckdb"):
        Storage(tmp_path)
    (tmp_path / "embedded.duckdb").unlink()
    with running(tmp_path):
        pass


def test_a_data_directory_may_be_moved(tmp_path: Path) -> None:
    with running(tmp_path / "a") as server:
        topic = CountedTopic(server, "t")
        topic.write("x.json", lines("x", 2))
        topic.write("y.json.gz", lines("y", 2))
        assert topic.counts() == {"x": 2, "y": 2}
    (tmp_path / "a").rename(tmp_path / "b")
    with running(tmp_path / "b") as server:
        assert CountedTopic(server, "t").counts() == {"x": 2, "y": 2}


def test_a_compressed_file_that_is_overwritten_during_reading_is_reported(
    topic: CountedTopic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old text counts, so the server must not mistake the new text for it."""
    path = topic.write("f.json.gz", lines("x", 3))
    topic.register()
    real = texts.unpacked

    calls = itertools.count(1)

    def written_over(raw: texts.Raw) -> Iterator[bytes]:
        yield from real(raw)
        if next(calls) == 2:  # first, a query looks at a sample
            path.write_bytes(gzip.compress(lines("new", 20_000)))

    monkeypatch.setattr(texts, "unpacked", written_over)
    topic.work()
    monkeypatch.undo()
    topic.work()
    # The query that read first has the old text, and the other query has the new text.
    counted = [dict(rows(topic.engine, f"SELECT k, n FROM {topic.name}_{table};")) for table in ("sums", "direct")]
    assert sorted(counted, key=str) == [{"new": 20_000}, {"x": 3}]
    assert any("this file has changed since it was read" in reason for reason in topic.reasons())
