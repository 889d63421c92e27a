"""The server reads the files of ``archive compact``. A record counts once, whenever the hour is compacted."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from opensea_metrics.deploy.embedded import rounds
from opensea_metrics.producer.archive.layout import HOUR_MS
from opensea_metrics.producer.archive.location import open_archive
from opensea_metrics.spark_batch.upkeep.compact import compact
from opensea_metrics.spark_batch.upkeep.outcome import CompactionOutcome, Options
from opensea_metrics.spark_batch.upkeep.rows import raw_stream
from opensea_metrics.spark_batch.upkeep.runs import groups
from opensea_metrics.sql.language.statements.parser import parse_statement
from tests.embedded.topic import TIME, CountedTopic, lines, rows, running

HOUR = "year=2026/month=09/day=15/hour=10"


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server retries immediately."""
    monkeypatch.setattr(rounds, "_AGAIN", 0.0)


def compacted(topic: CountedTopic, keep: bool = False, most_records: int = 1_000) -> CompactionOutcome:
    """Compact the hours of a topic, with the topic's declaration on the server."""
    source = open_archive(topic.folder)
    stream = raw_stream(topic.engine.catalog, topic.name)
    planned = groups(source.listing().files, TIME + 48 * HOUR_MS, HOUR_MS)
    return compact(source, stream, planned, Options(keep=keep, most_records=most_records))


def filled(topic: CountedTopic) -> dict[str, int]:
    """Write three files in two partitions. Returns the counts."""
    topic.write(f"{HOUR}/{topic.name}+0+0000000000.json.gz", lines("a", 3))
    topic.write(f"{HOUR}/{topic.name}+0+0000000003.json", lines("b", 4))
    topic.write(f"{HOUR}/{topic.name}+1+0000000000.json.gz", lines("c", 5))
    return {"a": 3, "b": 4, "c": 5}


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("seen", ["before", "registered", "read", "partly"])
def test_the_rows_are_those_of_the_originals(tmp_path: Path, seen: str, keep: bool) -> None:
    """Compacted before the server sees the hour, when it knows the files, or after it has read some or all of them."""
    with running(tmp_path) as engine:
        topic = CountedTopic(engine, "t")
        expected = filled(topic)
        if seen == "registered":
            topic.register()
        if seen == "read":
            assert topic.counts() == expected
        if seen == "partly":
            last = topic.folder / HOUR / "t+0+0000000003.json"
            content = last.read_bytes()
            last.unlink()
            topic.counts()
            last.write_bytes(content)
        assert compacted(topic, keep).compacted == 2
        assert len(list(topic.folder.rglob("*.json*"))) == (3 if keep else 0)
        for _ in range(2):
            assert topic.counts() == expected
        assert topic.reports() == []
        # A new query reads all from the beginning.
        select = "SELECT k, COUNT(*) AS n FROM t_raw GROUP BY k EMIT CHANGES;"
        engine.execute(parse_statement(f"CREATE TABLE later AS {select}"), {})
        topic.work()
        assert dict(rows(engine, "SELECT k, n FROM later;")) == expected
        # Files that arrive in the hour later count, too.
        topic.write(f"{HOUR}/t+0+0000000007.json.gz", lines("d", 2))
        assert topic.counts() == expected | {"d": 2}
        assert compacted(topic).compacted == 1
        assert topic.counts() == expected | {"d": 2}
    with running(tmp_path) as engine:
        assert CountedTopic(engine, "t").counts() == expected | {"d": 2}


def test_records_are_read_in_the_same_order(tmp_path: Path) -> None:
    order = []
    for name in ("plain", "compacted"):
        with running(tmp_path / name) as engine:
            topic = CountedTopic(engine, "t")
            for start in range(0, 40, 4):
                content = b"".join(lines(f"k{n}") for n in range(start, start + 4))
                topic.write(f"{HOUR}/t+0+{start:010d}.json.gz", content)
            if name == "compacted":
                compacted(topic, most_records=12)
                assert not list(topic.folder.rglob("*.json.gz"))
            order.append(rows(engine, "SELECT k FROM t_raw;"))
    assert order[0] == order[1] == [[f"k{n}"] for n in range(40)]


def test_a_query_that_has_read_a_part_of_a_growing_file(tmp_path: Path) -> None:
    with running(tmp_path) as engine:
        topic = CountedTopic(engine, "t")
        path = topic.write(f"{HOUR}/t+0+0000000000.json", lines("a", 3))
        assert topic.counts() == {"a": 3}
        path.write_bytes(lines("a", 3) + lines("b", 2))
        topic.register()
        compacted(topic)
        assert not path.exists()
        assert topic.counts() == {"a": 3, "b": 2}
        assert topic.reports() == []


def test_a_damaged_compacted_file_is_reported_and_read_when_it_is_restored(tmp_path: Path) -> None:
    with running(tmp_path) as engine:
        topic = CountedTopic(engine, "t")
        expected = filled(topic)
        topic.register()
        compacted(topic)
        path = next(iter(sorted(topic.folder.rglob("t+0+*.parquet"))))
        content = path.read_bytes()
        path.write_bytes(content[:-50])
        os.utime(path, (1_000_000_000, 1_000_000_000))
        assert topic.counts() == {"c": 5}
        assert any("this file is damaged" in reason for reason in topic.reasons())
        path.write_bytes(content)
        os.utime(path, (1_000_000_001, 1_000_000_001))
        assert topic.counts() == expected


def test_a_compacted_file_without_a_list_of_originals_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(tmp_path) as engine:
        topic = CountedTopic(engine, "t")
        filled(topic)
        monkeypatch.setattr("opensea_metrics.spark_batch.upkeep.writing.originals_text", lambda _: "[]")
        compacted(topic)
        assert topic.counts() == {}
        assert any("an earlier version of archive compact wrote this file" in reason for reason in topic.reasons())
