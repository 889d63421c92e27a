"""Every metric of every window, recomputed from an archive, equals the oracle's.

The archive has 28 days with everything that is hard: a collection with 30 % of all events, events on
the edges of windows, ties in top lists, a day without events, lines that are no events.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from producer.layout import HOUR_MS
from tests.spark_batch.archives import (
    DAY_MS,
    START,
    Expected,
    Record,
    Rows,
    add,
    event,
    needs,
    recomputed,
    records_of,
    request,
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
    return made


@pytest.fixture(scope="module")
def records(topic: Path) -> list[Record]:
    return records_of(topic, (START, END))


@pytest.fixture(scope="module")
def tables(topic: Path, engine: str) -> dict[str, Rows]:
    """All windows of one run; fewer where a run takes minutes."""
    windows = TUMBLING if engine == "duckdb" else ("1 day", "all time")
    made, _, counts = recomputed(topic, request(*windows, engine=engine, first=START, end=END))
    assert counts.used == len(records_of(topic, (START, END)))
    return made


def name_of(window: str) -> str:
    return window.upper().replace(" ", "_")


def test_one_run_has_the_tables_of_every_window(tables: dict[str, Rows], engine: str) -> None:
    assert len(tables) == 6 * (len(TUMBLING) if engine == "duckdb" else 2)


@pytest.mark.parametrize("window", TUMBLING)
def test_tumbling(tables: dict[str, Rows], records: list[Record], window: str) -> None:
    if f"GLOBAL_{name_of(window)}" not in tables:
        pytest.skip("the slow engine's run has fewer windows")
    # Of an asset's names the newest by offset counts, which no order of hours tells in longer windows.
    Expected(records, TUMBLING[window], origin=START % TUMBLING[window]).check(
        tables, name_of(window), newest=window == "1 hour"
    )


@pytest.mark.parametrize(
    ("kind", "size", "slide"),
    [
        ("duckdb", "1 day", "6 hours"),
        ("duckdb", "2 hours", "30 minutes"),
        ("duckdb", "14 days", "7 days"),
        ("spark", "1 day", "6 hours"),
    ],
)
def test_hopping(topic: Path, records: list[Record], kind: str, size: str, slide: str) -> None:
    needs(kind)
    hop = {"30 minutes": HOUR_MS // 2, "6 hours": 6 * HOUR_MS, "7 days": 7 * DAY_MS}[slide]
    length = {"2 hours": 2 * HOUR_MS, "1 day": DAY_MS, "14 days": 14 * DAY_MS}[size]
    tables, _, _ = recomputed(
        topic, request((size, slide), engine=kind, first=START, end=END)
    )
    expected = Expected(records, length, hop, period=(START, END))
    assert expected.market
    expected.check(tables, f"{name_of(size)}_BY_{name_of(slide)}", newest=False)


def test_trailing(topic: Path) -> None:
    end = START + 25 * DAY_MS + 7 * HOUR_MS + 123_456
    first = end - 21 * DAY_MS
    tables, _, _ = recomputed(
        topic,
        request("7 days", "1 day", "all time", first=first, end=end, trailing=True),
    )
    records = records_of(topic, (first, end))
    for window, size in (("1 day", DAY_MS), ("7 days", 7 * DAY_MS), ("all time", end - first)):
        expected = Expected(records, size, origin=end % size, period=(first, end))
        assert expected.market
        expected.check(tables, name_of(window), newest=False)


@pytest.mark.parametrize("kind", ["duckdb", "spark"])
def test_trailing_hopping(topic: Path, kind: str) -> None:
    needs(kind)
    end = START + 10 * DAY_MS + 5 * 60_000
    first = end - 3 * DAY_MS
    tables, _, _ = recomputed(
        topic,
        request(("1 day", "8 hours"), engine=kind, first=first, end=end, trailing=True),
    )
    records = records_of(topic, (first, end))
    expected = Expected(records, DAY_MS, 8 * HOUR_MS, end % (8 * HOUR_MS), (first, end))
    assert len(expected.market) == 7
    expected.check(tables, "1_DAY_BY_8_HOURS", newest=False)


def test_without_bounds_it_is_what_the_archive_holds(topic: Path) -> None:
    tables, prepared, _ = recomputed(topic, request("1 day", "all time"))
    period = prepared.job.period
    assert (period.first, period.end) == (START - DAY_MS, END + DAY_MS)
    records = records_of(topic)
    Expected(records, DAY_MS).check(tables, "1_DAY", newest=False)
    length = period.end - period.first
    Expected(records, length, origin=period.first % length).check(tables, "ALL_TIME", newest=False)


def test_all_time_beside_a_window_of_the_same_length(topic: Path) -> None:
    first, end = START + DAY_MS, START + 2 * DAY_MS
    tables, _, _ = recomputed(
        topic, request("1 day", "all time", first=first, end=end)
    )
    expected = Expected(records_of(topic, (first, end)), DAY_MS)
    for suffix in ("1_DAY", "ALL_TIME"):
        expected.check(tables, suffix, newest=False)


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
        assert rounded(rows) == rounded(tables[name])


def rounded(value: Any) -> Any:
    """Sums are made in no particular order: their last digits may differ."""
    if isinstance(value, float):
        return float(f"{value:.9g}")
    if isinstance(value, list):
        return [rounded(each) for each in value]
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items() if key != "DETAIL"}
    return value
