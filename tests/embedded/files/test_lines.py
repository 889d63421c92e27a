"""Long lines, lines that are not JSON, and last lines without a newline are reported. The other lines count."""

from __future__ import annotations

import gzip
import tracemalloc
from pathlib import Path

import pytest

from opensea_metrics.deploy.embedded.files import file_look
from opensea_metrics.deploy.embedded.files.lines import FileLines
from opensea_metrics.deploy.embedded.files.segments import Segment
from opensea_metrics.producer.archive import listing
from opensea_metrics.producer.archive import text as texts
from tests.embedded.files.disturbances import settled
from tests.embedded.topic import CountedTopic, lines, running


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


def test_a_large_plain_file_is_registered_in_pieces(
    topic: CountedTopic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_look, "PIECE", 1_000)
    topic.write("x.json", lines("x", 500) + b'{"k":"long","t":1,"a":%s1}\n' % (b" " * 3_000) + lines("x", 500))
    assert topic.counts() == {"x": 1_000, "long": 1}
