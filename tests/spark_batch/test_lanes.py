"""The DuckDB engine's lanes: what they make of groups of files side by side is what one of them would make
of all, in the files' order, and an error in one ends them all."""

from __future__ import annotations

import shutil
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import duckdb
import pytest

from opensea_metrics.producer.archive.errors import ArchiveError
from opensea_metrics.producer.archive.layout import HOUR_MS
from opensea_metrics.producer.archive.location import open_archive
from opensea_metrics.spark_batch import archive_pass, groups, partial_groupings
from opensea_metrics.spark_batch.archive_pass import ArchivePass
from opensea_metrics.spark_batch.memory import MemoryExhausted
from opensea_metrics.spark_batch.partial_groupings import PartialGroupings
from opensea_metrics.spark_batch.recompute import computed, prepare
from tests import oracle
from tests.spark_batch.archives import (
    SQL,
    START,
    TOPIC,
    compacted,
    compare,
    configure,
    recomputed,
    records_of,
    request,
    write_sample,
)


@pytest.fixture(params=[1, 2, 4])
def lanes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """So many lanes, for groups of a file or two."""
    monkeypatch.setattr(archive_pass, "_LANES", request.param)
    monkeypatch.setattr(archive_pass, "_LEAST", 0)
    monkeypatch.setattr(groups, "_GROUP", groups._FILE)
    # Windows of one part only are not merged. With four lanes, too many windows are in several parts to search for.
    monkeypatch.setattr(partial_groupings, "_SEARCHED", 0)
    if request.param == 4:
        monkeypatch.setattr(partial_groupings, "_SHARED", 1)
    configure(monkeypatch, threads=request.param)
    return int(request.param)


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A day of events; not to be changed."""
    return write_sample(tmp_path_factory.mktemp("day"), 3_000)


@pytest.fixture(scope="module")
def records_of_day(day: Path) -> list[oracle.Record]:
    return records_of(day)


@pytest.fixture(scope="module")
def partly_compacted(day: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The day with six compacted hours; not to be changed."""
    topic = Path(shutil.copytree(day, tmp_path_factory.mktemp("compacted") / TOPIC))
    compacted(topic, START + 6 * HOUR_MS, START + 12 * HOUR_MS)
    return topic


@pytest.fixture(scope="module")
def expected(records_of_day: list[oracle.Record]) -> oracle.Metrics:
    return oracle.compute(records_of_day, HOUR_MS)


def test_lanes_give_the_same_numbers(
    partly_compacted: Path,
    records_of_day: list[oracle.Record],
    expected: oracle.Metrics,
    lanes: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(partial_groupings, "_ROWS", 100)  # merged again and again
    used, take = set(), ArchivePass._take

    def watched(self: ArchivePass, numbered: Any, finished: Any) -> Any:
        used.add(threading.get_ident())
        time.sleep(0.01)
        return take(self, numbered, finished)

    monkeypatch.setattr(ArchivePass, "_take", watched)
    tables, prepared, counts = recomputed(partly_compacted, request("1 hour"))
    assert len(prepared.job.files) > 20
    assert len(used) == lanes
    assert counts.used == len(records_of_day)
    compare(tables, "1_HOUR", expected)


def test_what_depends_on_order_is_in_the_order_of_the_files(
    day: Path,
    records_of_day: list[oracle.Record],
    lanes: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Though the first group may be done last."""
    monkeypatch.setattr(partial_groupings, "_ROWS", 40)
    sql = Path(shutil.copytree(SQL, tmp_path / "sql", ignore=shutil.ignore_patterns("*.py*", "__py*")))
    (sql / "migrations/V900__own.sql").write_text(
        "CREATE TABLE sent WITH (VALUE_FORMAT='JSON') AS SELECT payload->payload->collection->slug AS slug,"
        " COLLECT_LIST(event_time) AS times FROM opensea_raw_events WINDOW TUMBLING (SIZE 7 DAYS)"
        " GROUP BY payload->payload->collection->slug EMIT CHANGES;"
    )
    take = ArchivePass._take

    def slower(self: ArchivePass, numbered: Any, finished: Any) -> Any:
        time.sleep(0.05 if numbered[0] % 3 == 0 else 0)
        return take(self, numbered, finished)

    monkeypatch.setattr(ArchivePass, "_take", slower)
    rows = recomputed(day, request(wanted="sent"), sql)[0]["SENT"]
    expected = defaultdict(list)
    for _, sent_at, body in records_of_day:
        if body["slug"] is not None:
            expected[body["slug"]].append(sent_at)
    found = {row["SLUG"]: row["TIMES"] for row in rows}
    assert max(map(len, found.values())) > 50
    assert found == {slug: times[:1_000] for slug, times in expected.items()}


def test_an_error_in_one_lane_ends_the_others(
    lanes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = write_sample(tmp_path, 500)
    begun: list[int] = []
    own = threading.local()
    take = ArchivePass._take

    def noted(self: ArchivePass, numbered: Any, finished: Any) -> Any:
        own.group = numbered[0]
        if own.group >= lanes:
            time.sleep(0.3)  # the others are stopped before it has a query
        return take(self, numbered, finished)

    def decode(self: ArchivePass, lane: duckdb.DuckDBPyConnection, chunk: Any, all_json: bool) -> None:
        begun.append(own.group)
        if own.group > 0:
            lane.execute("SELECT count(*) FROM range(1_000_000_000_000) AS a(n) WHERE hash(n) = 1")
        while len(begun) < lanes:
            time.sleep(0.01)
        raise ArchiveError("no more of it")

    monkeypatch.setattr(ArchivePass, "_take", noted)
    monkeypatch.setattr(ArchivePass, "_decode", decode)
    prepared = prepare(request("1 hour"), open_archive(topic), SQL)
    with pytest.raises(ArchiveError, match="no more of it"), computed(prepared, lambda done, total: None):
        pass
    assert len(begun) <= lanes + 1


def test_an_error_of_a_result_reaches_its_reader_and_ends_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = write_sample(tmp_path, 500)
    begun = threading.Event()
    finish = PartialGroupings.finish

    def finished(self: PartialGroupings, connection: duckdb.DuckDBPyConnection, name: str, kept: str) -> None:
        if "GLOBAL" in name:
            begun.set()
            connection.execute("SELECT count(*) FROM range(1_000_000_000_000) AS a(n) WHERE hash(n) = 1")
        if "ASSET_" in name:
            begun.wait()
            raise MemoryExhausted("no more")
        finish(self, connection, name, kept)

    monkeypatch.setattr(PartialGroupings, "finish", finished)
    prepared = prepare(request("1 hour"), open_archive(topic), SQL)
    with pytest.raises(MemoryExhausted, match="no more"), computed(prepared, lambda done, total: None) as results:
        results.table("ASSET_1_HOUR")
