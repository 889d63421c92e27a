"""Every metric of every window, recomputed from an archive, equals the oracle's.

The archive has 28 days with everything that is hard: a collection with 30 % of all events, events on
the edges of windows, ties in top lists, a day without events, lines that are no events.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from opensea_metrics.producer.archive.layout import HOUR_MS
from tests import oracle
from tests.metrics import Rows, averages, averages_in_long_form, near, prices
from tests.spark_batch.archives import (
    DAY_MS,
    START,
    add,
    compare,
    event,
    needs,
    recomputed,
    records_of,
    request,
    within,
    write_sample,
)

TUMBLING = {
    "1 hour": HOUR_MS, "12 hours": 12 * HOUR_MS, "1 day": DAY_MS, "7 days": 7 * DAY_MS,
    "14 days": 14 * DAY_MS, "all time": 28 * DAY_MS,
}  # fmt: skip
END = START + 28 * DAY_MS


@pytest.fixture(scope="module", params=["duckdb", "spark"])
def engine(request: pytest.FixtureRequest) -> str:
    needs(request.param)
    return str(request.param)


@pytest.fixture(scope="module")
def topic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = write_sample(tmp_path_factory.mktemp("month"), 5_000, START, 28 * DAY_MS)
    shutil.rmtree(made / "year=2026/month=09/day=20")
    # A third again of the events are of one collection, with names that tie in the top lists.
    heavy: dict[int, list[bytes]] = {}
    for number in range(2_000):
        time = START + number * 28 * DAY_MS // 2_000
        sold = "item_sold" if number % 2 else "item_transferred"
        line = event(time, "whale", f"ethereum/0x1/{number % 37}", sold, 1 + number % 2)
        heavy.setdefault(time // HOUR_MS, []).append(line)
    for start, (hour, lines) in enumerate(heavy.items()):
        add(made, hour * HOUR_MS, 10_000_000 + start * 1_000, lines)
    # On the edges of hours, days and weeks, and a millisecond before them; equal, in two collections.
    edges = [START, START + HOUR_MS, START + DAY_MS, START + 7 * DAY_MS, START + 14 * DAY_MS, END]
    times = [START - 1, *(t for edge in edges for t in (edge - 1, edge))]
    for number, time in enumerate(times):
        lines = [event(time, slug, eth=7) for slug in ("tie-b", "tie-a")]
        add(made, time - time % HOUR_MS, 20_000_000 + number * 10, [*lines, b"", b"{bad", b"[]"], 1)
    add(made, START, 30_000_000, prices(json.loads(event(START + 1))))
    return made


@pytest.fixture(scope="module")
def all_records(topic: Path) -> list[oracle.Record]:
    return records_of(topic)


@pytest.fixture(scope="module")
def records(all_records: list[oracle.Record]) -> list[oracle.Record]:
    return within(all_records, (START, END))


HOPPING = ("1 day", "6 hours")


@pytest.fixture(scope="module")
def of_spark(topic: Path, records: list[oracle.Record]) -> dict[str, Rows]:
    """One run for all tests, with fewer windows, because a run takes minutes."""
    needs("spark")
    made, _, counts = recomputed(
        topic, request("1 day", "all time", HOPPING, engine="spark", first=START, end=END)
    )
    assert counts.used == len(records)
    return made


@pytest.fixture(scope="module")
def of_duckdb(topic: Path, records: list[oracle.Record]) -> dict[str, Rows]:
    """All windows of one run."""
    made, _, counts = recomputed(topic, request(*TUMBLING, engine="duckdb", first=START, end=END))
    assert counts.used == len(records)
    return made


@pytest.fixture(scope="module")
def tables(engine: str, request: pytest.FixtureRequest) -> dict[str, Rows]:
    made: dict[str, Rows] = request.getfixturevalue(f"of_{engine}")
    return made


def name_of(window: str) -> str:
    return window.upper().replace(" ", "_")


def test_one_run_has_the_tables_of_every_window(tables: dict[str, Rows], engine: str) -> None:
    assert len(tables) == 6 * (len(TUMBLING) if engine == "duckdb" else 3)


@pytest.mark.parametrize("window", TUMBLING)
def test_tumbling(tables: dict[str, Rows], records: list[oracle.Record], window: str) -> None:
    if f"GLOBAL_{name_of(window)}" not in tables:
        pytest.skip("the slow engine's run has fewer windows")
    expected = oracle.compute(records, TUMBLING[window], origin=START)
    compare(tables, name_of(window), expected)


def test_sales_without_a_price_do_not_count_in_averages(tables: dict[str, Rows]) -> None:
    averages(tables["COLLECTION_1_DAY"])


@pytest.mark.parametrize("kind", ["duckdb", "spark"])
def test_averages_in_the_long_form(tmp_path: Path, kind: str) -> None:
    needs(kind)
    add(tmp_path, START, 0, prices(json.loads(event(START + 1))))
    asked = request("1 day", wanted="enriched_collections_events", engine=kind)
    averages_in_long_form(recomputed(tmp_path, asked)[0]["ENRICHED_COLLECTIONS_EVENTS"], "1_DAY")


@pytest.mark.parametrize(("size", "slide"), [HOPPING, ("2 hours", "30 minutes"), ("14 days", "7 days")])
def test_hopping(topic: Path, records: list[oracle.Record], size: str, slide: str) -> None:
    tables, _, _ = recomputed(
        topic, request((size, slide), engine="duckdb", first=START, end=END)
    )
    compare_hopping(tables, records, size, slide)


def test_hopping_on_spark(of_spark: dict[str, Rows], records: list[oracle.Record]) -> None:
    compare_hopping(of_spark, records, *HOPPING)


def compare_hopping(tables: dict[str, Rows], records: list[oracle.Record], size: str, slide: str) -> None:
    hop = {"30 minutes": HOUR_MS // 2, "6 hours": 6 * HOUR_MS, "7 days": 7 * DAY_MS}[slide]
    length = {"2 hours": 2 * HOUR_MS, "1 day": DAY_MS, "14 days": 14 * DAY_MS}[size]
    expected = oracle.compute(records, length, hop, period=(START, END))
    assert expected.market
    compare(tables, f"{name_of(size)}_BY_{name_of(slide)}", expected)


def test_trailing(topic: Path, all_records: list[oracle.Record]) -> None:
    end = START + 25 * DAY_MS + 7 * HOUR_MS + 123_456
    first = end - 21 * DAY_MS
    tables, _, _ = recomputed(
        topic,
        request("7 days", "1 day", "all time", first=first, end=end, trailing=True),
    )
    records = within(all_records, (first, end))
    for window, size in (("1 day", DAY_MS), ("7 days", 7 * DAY_MS), ("all time", end - first)):
        expected = oracle.compute(records, size, origin=end, period=(first, end))
        assert expected.market
        compare(tables, name_of(window), expected)


@pytest.mark.parametrize("kind", ["duckdb", "spark"])
def test_trailing_hopping(topic: Path, all_records: list[oracle.Record], kind: str) -> None:
    needs(kind)
    end = START + 10 * DAY_MS + 5 * 60_000
    first = end - 3 * DAY_MS
    tables, _, _ = recomputed(
        topic,
        request(("1 day", "8 hours"), engine=kind, first=first, end=end, trailing=True),
    )
    records = within(all_records, (first, end))
    expected = oracle.compute(records, DAY_MS, 8 * HOUR_MS, end, (first, end))
    assert len(expected.market) == 7
    compare(tables, "1_DAY_BY_8_HOURS", expected)


def test_without_bounds_it_is_what_the_archive_holds(topic: Path, all_records: list[oracle.Record]) -> None:
    tables, prepared, _ = recomputed(topic, request("1 day", "all time"))
    period = prepared.job.period
    assert (period.first, period.end) == (START - DAY_MS, END + DAY_MS)
    compare(tables, "1_DAY", oracle.compute(all_records, DAY_MS))
    length = period.end - period.first
    compare(tables, "ALL_TIME", oracle.compute(all_records, length, origin=period.first))


def test_all_time_beside_a_window_of_the_same_length(topic: Path, all_records: list[oracle.Record]) -> None:
    first, end = START + DAY_MS, START + 2 * DAY_MS
    tables, _, _ = recomputed(
        topic, request("1 day", "all time", first=first, end=end)
    )
    expected = oracle.compute(within(all_records, (first, end)), DAY_MS)
    for suffix in ("1_DAY", "ALL_TIME"):
        compare(tables, suffix, expected)


@pytest.mark.parametrize(
    ("wanted", "kinds"),
    [
        ("global", {"GLOBAL", "TOP_COLLECTIONS"}),
        ("collections", {"COLLECTION", "TOP_ASSETS"}),
        ("top_collections_1_day", {"TOP_COLLECTIONS"}),
    ],
)
def test_some_of_them(
    tables: dict[str, Rows], topic: Path, engine: str, wanted: str, kinds: set[str]
) -> None:
    if engine == "spark":
        pytest.skip("which tables are meant is no matter of the engine")
    made, _, _ = recomputed(
        topic, request("1 day", wanted=wanted, engine=engine, first=START, end=END)
    )
    assert made.keys() == {f"{kind}_1_DAY" for kind in kinds}
    for name, rows in made.items():
        assert without_detail(rows) == near(without_detail(tables[name]))


def without_detail(value: Any) -> Any:
    """Rows without the texts in which numbers cannot be compared as such."""
    if isinstance(value, list):
        return [without_detail(each) for each in value]
    if isinstance(value, dict):
        return {key: without_detail(each) for key, each in value.items() if key != "DETAIL"}
    return value
