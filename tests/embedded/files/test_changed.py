"""A file that was rewritten, replaced or cut: no record counts twice, and the change is reported."""

from __future__ import annotations

import gzip
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from opensea_metrics.deploy.embedded.files import file_look
from opensea_metrics.deploy.embedded.queries import persistent
from opensea_metrics.producer.archive import text as texts
from opensea_metrics.sql.language.statements.parser import parse_statement
from tests.embedded.files.disturbances import settled
from tests.embedded.inside import inside
from tests.embedded.topic import CountedTopic, lines, rows, running


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
    topic.engine.execute(
        parse_statement(f"CREATE TABLE {topic.name}_late AS SELECT k, COUNT(*) AS n FROM {topic.name}_raw GROUP BY k;"),
        {},
    )
    topic.write("x.json", lines("z", 5))
    assert topic.counts() == {"x": 2}
    assert any("this file has changed since it was read" in reason for reason in topic.reasons())
    topic.engine.execute(parse_statement(f"DROP TABLE {topic.name}_late DELETE TOPIC;"), {})


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
