"""Archives of every kind as sources: damaged, of many small files, of the predecessor, in a bucket."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import zlib
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from opensea_metrics.producer.archive.damage import Damage
from opensea_metrics.producer.archive.errors import ArchiveError
from opensea_metrics.producer.archive.layout import HOUR_MS, ArchiveFile, archive_file
from opensea_metrics.producer.archive.location import open_archive
from opensea_metrics.spark_batch.job import Counts
from opensea_metrics.spark_batch.recompute import Request, prepare
from tests import oracle
from tests.metrics import TABLES, Rows
from tests.spark_batch.archives import (
    DAY_MS,
    SQL,
    START,
    TOPIC,
    add,
    compacted,
    compare,
    event,
    folder_of,
    needs,
    recomputed,
    records_of,
    request,
    within,
    write_sample,
)


@pytest.fixture(scope="module", params=["duckdb", "spark"])
def engine(request: pytest.FixtureRequest) -> str:
    needs(request.param)
    return str(request.param)


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A day of events; not to be changed."""
    return write_sample(tmp_path_factory.mktemp("day"), 3_000)


@pytest.fixture
def own(day: Path, tmp_path: Path) -> Path:
    """A copy of the day, to be changed."""
    return Path(shutil.copytree(day, tmp_path / TOPIC))


@pytest.fixture(scope="module")
def compacted_days(day: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    """The day compacted, without its original files and (True) with them; not to be changed."""
    without, both = (tmp_path_factory.mktemp("compacted") / TOPIC for _ in range(2))
    shutil.copytree(day, without)
    compacted(without, START, START + DAY_MS)
    shutil.copytree(day, both)
    shutil.copytree(without, both, dirs_exist_ok=True)
    return {False: without, True: both}


def take_hours(own: Path, other: Path, count: int) -> None:
    """Replace the first hours of a day by those of another day."""
    for hour in range(count):
        shutil.rmtree(folder_of(own, START + hour * HOUR_MS))
        shutil.copytree(folder_of(other, START + hour * HOUR_MS), folder_of(own, START + hour * HOUR_MS))


@pytest.fixture
def own_compacted(compacted_days: dict[bool, Path], tmp_path: Path) -> Path:
    """A copy of the compacted day without its original files, to be changed."""
    return Path(shutil.copytree(compacted_days[False], tmp_path / TOPIC))


WANTED = {"duckdb": "all", "spark": "collections"}
KINDS = {"duckdb": tuple(TABLES), "spark": ("collection", "top_assets")}
"""The tables that a test of sources computes. Spark takes seconds for each, and computes all from the same records."""


def hourly(engine: str, **more: Any) -> Request:
    return request("1 hour", wanted=WANTED[engine], engine=engine, **more)


def metrics_of(topic: Path) -> oracle.Metrics:
    """The oracle's metrics of the day, by hours."""
    return oracle.compute(records_of(topic, (START, START + DAY_MS)), HOUR_MS)


@pytest.fixture(scope="module")
def metrics_of_day(day: Path) -> oracle.Metrics:
    return metrics_of(day)


def check(topic: Path | str, engine: str, expected: oracle.Metrics, **more: Any) -> Counts:
    """Compare the tables with the oracle's. Returns what was read."""
    asked = hourly(engine, first=START, end=START + DAY_MS, **more)
    tables, _, counts = recomputed(topic, asked)
    compare(tables, "1_HOUR", expected, KINDS[engine])
    return counts


def market(topic: Path, engine: str) -> tuple[dict[int, int], Counts]:
    """The sales of each hour, by its start in epoch ms, and what was read."""
    tables, _, counts = recomputed(topic, request("1 hour", wanted="global", engine=engine))
    return {row["WS"]: row["SALES"] for row in tables["GLOBAL_1_HOUR"]}, counts


@pytest.fixture(scope="module")
def market_of_day(day: Path, engine: str) -> tuple[dict[int, int], Counts]:
    return market(day, engine)


def test_a_period_reads_only_its_hours(own: Path) -> None:
    (own / "year=2026/month=09/day=10/hour=12" / "README.txt").write_text("no file of the layout")
    add(own, START + 30 * DAY_MS, 0, [event(START)])
    add(own, START - DAY_MS, 0, [event(START - DAY_MS)])
    first, end = START + 3 * HOUR_MS, START + 6 * HOUR_MS

    def hours(**more: Any) -> list[int]:
        asked = request("1 hour", first=first, end=end, **more)
        files = prepare(asked, open_archive(own), SQL).job.files
        return sorted({(file.hour_ms - START) // HOUR_MS for file in files})

    assert hours() == [3, 4, 5, 6]
    assert hours(margin=0) == [3, 4, 5]
    assert hours(margin=1) == [3, 4, 5, 6]
    assert hours(margin=4 * HOUR_MS) == list(range(3, 10))


def test_files_in_no_folder_of_an_hour_are_read_for_a_period_only(
    day: Path, metrics_of_day: oracle.Metrics, tmp_path: Path, engine: str
) -> None:
    topic = tmp_path / TOPIC
    topic.mkdir()
    for path in day.rglob("*.json.gz"):
        shutil.copy(path, topic)
    check(topic, engine, metrics_of_day)
    for first, end in ((None, None), (START, None), (None, START + DAY_MS)):
        with pytest.raises(ArchiveError, match="has only files outside the folders of hours: give --from and --to"):
            recomputed(topic, hourly(engine, first=first, end=end))


def test_what_was_filed_late_counts_within_the_margin(own: Path, engine: str, tmp_path: Path) -> None:
    late = [event(START + DAY_MS - 1, "late"), event(START + DAY_MS, "of the day after")]
    add(own, START + DAY_MS, 5_000_000, late)
    add(own, START + DAY_MS + HOUR_MS, 6_000_000, [event(START + DAY_MS - 2, "too late")])
    expected = Path(shutil.copytree(own, tmp_path / "expected"))
    shutil.rmtree(folder_of(expected, START + DAY_MS + HOUR_MS))
    check(own, engine, metrics_of(expected))
    check(own, engine, metrics_of(own), margin=2 * HOUR_MS)
    shutil.rmtree(folder_of(expected, START + DAY_MS))
    check(own, engine, metrics_of(expected), margin=0)


@dataclass(frozen=True)
class DamagedDay:
    """A day with damaged files; not to be changed. ``records`` can be read, ``left`` of them from ``cut``."""

    topic: Path
    cut: Path
    no_gzip: Path
    empty: Path
    broken: Path
    left: int
    records: list[oracle.Record]


@pytest.fixture(scope="module")
def damaged_day(day: Path, tmp_path_factory: pytest.TempPathFactory) -> DamagedDay:
    """With files that are cut short, no gzip at all, empty, and with wrong bytes in the middle."""
    own = Path(shutil.copytree(day, tmp_path_factory.mktemp("damaged") / TOPIC))
    expected = Path(shutil.copytree(day, tmp_path_factory.mktemp("readable") / TOPIC))

    def of_hour(hour: int) -> list[bytes]:
        start = START + hour * HOUR_MS
        return [event(start + n, f"slug-{n % 50}", f"n/{n * 7919}") for n in range(20_000)]

    cut = add(own, START + HOUR_MS, 1_000_000, of_hour(1))
    whole = cut.read_bytes()
    cut.write_bytes(whole[: len(whole) * 2 // 3])
    text = zlib.decompressobj(wbits=31).decompress(cut.read_bytes())
    left = text.splitlines()[: text.count(b"\n")]
    assert 10_000 < len(left) < 19_000
    add(expected, START + HOUR_MS, 1_000_000, left)
    no_gzip = add(own, START + 2 * HOUR_MS, 1_000_000, [event(START + 2 * HOUR_MS)])
    no_gzip.write_bytes(b"this is no gzip file")
    empty = add(own, START + 3 * HOUR_MS, 1_000_000, [])
    empty.write_bytes(b"")
    # Wrong bytes may give other text that still unpacks: such a file is told of, the rest is exact.
    broken = add(own, START + 25 * HOUR_MS, 1_000_000, of_hour(25))
    raw = bytearray(broken.read_bytes())
    raw[len(raw) // 2 : len(raw) // 2 + 64] = bytes(range(64))
    broken.write_bytes(bytes(raw))
    records = records_of(expected, (START, START + DAY_MS))
    return DamagedDay(own, cut, no_gzip, empty, broken, len(left), records)


def test_damaged_files_are_read_up_to_their_damage(damaged_day: DamagedDay, engine: str) -> None:
    cut, empty = str(damaged_day.cut), str(damaged_day.empty)
    asked = hourly(engine, first=START, end=START + DAY_MS, margin=2 * HOUR_MS)
    tables, _, counts = recomputed(damaged_day.topic, asked)
    assert counts.damaged.keys() == {cut, str(damaged_day.no_gzip), empty, str(damaged_day.broken)}
    assert counts.damaged[cut].read == damaged_day.left
    assert counts.damaged[empty] == Damage("it is empty (0 bytes)", 0, None)
    assert counts.used == len(damaged_day.records)
    compare(tables, "1_HOUR", oracle.compute(damaged_day.records, HOUR_MS), KINDS[engine])


def test_records_that_cannot_be_read_are_counted(
    own: Path, engine: str, market_of_day: tuple[dict[int, int], Counts]
) -> None:
    _, before = market_of_day
    bad = [
        b"{bad", b"5", b'"text"', b"[]", b'{"event_time":null}', b"{}",
        b'{"event_time":%d,"event":"item_sold","payload":7}' % START,
        b'{"event_time":"soon","event":"item_sold"}',
    ]  # fmt: skip
    add(own, START, 7_000_000, [*bad, b"", b""])
    _, counts = market(own, engine)
    assert counts.set_aside - before.set_aside == len(bad)
    assert counts.read - before.read == len(bad)
    assert counts.used == before.used
    assert sum(counts.reasons.values()) == counts.set_aside


@pytest.fixture(scope="module")
def long_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """125,000 events in one file. A line that is no JSON comes after 120,000, and Spark's workers decode 100,000."""
    topic = tmp_path_factory.mktemp("long") / TOPIC
    some = [event(START + n, f"slug-{n % 9}", f"n/{n % 5}") for n in range(1_000)]
    add(topic, START, 0, [*some * 120, b"no JSON", *some * 5])
    return topic


def test_text_that_is_no_json_after_much_that_is(long_file: Path, engine: str) -> None:
    """More than is decoded at a time, so rows of the file were given before."""
    tables, _, counts = recomputed(long_file, request("1 hour", wanted="global", engine=engine))
    assert (counts.read, counts.set_aside, counts.reasons) == (125_001, 1, {"not JSON": 1})
    assert [(row["EVENTS"], row["SALES"]) for row in tables["GLOBAL_1_HOUR"]] == [(125_000, 125_000)]


def test_names_of_fields_match_in_any_case(engine: str, tmp_path: Path) -> None:
    """In texts, and in a compacted file of the next hour."""
    folder = tmp_path / "upper" / TOPIC
    for hour in (START, START + HOUR_MS):
        args = [(hour + n, f"slug-{n % 3}", f"n/{n % 5}") for n in range(30)]
        upper = [re.sub(rb'"(event|payload|collection|slug|item|nft_id|quantity)":',
                        lambda found: found[0].upper(), event(*each)) for each in args]
        assert b'"SLUG":' in upper[0]
        add(folder, hour, hour - START, upper)
        add(tmp_path / "lower" / TOPIC, hour, hour - START, [event(*each) for each in args])
    compacted(folder, START + HOUR_MS, START + 2 * HOUR_MS)
    check(folder, engine, metrics_of(tmp_path / "lower" / TOPIC))


def test_a_last_line_of_gzip_without_an_end_and_plain_text(own: Path, engine: str, tmp_path: Path) -> None:
    expected = Path(shutil.copytree(own, tmp_path / "expected"))
    lines = [event(START + n, "plain", f"n/{n}") for n in range(5)]
    (folder_of(own, START) / f"{TOPIC}+0+0009000000.json").write_bytes(b"\r\n".join([*lines, b""]))
    (folder_of(own, START) / f"{TOPIC}+1+0009000000.json.gz").write_bytes(
        gzip.compress(b"\n".join(lines)) + gzip.compress(b"\n" + lines[0])  # of two members
    )
    for number in (0, 1):
        add(expected, START, 9_000_000, lines + lines[:number], number)
    check(own, engine, metrics_of(expected))


@pytest.mark.slow
def test_a_day_of_ten_thousand_tiny_files(tmp_path: Path, engine: str) -> None:
    topic = tmp_path / TOPIC
    for number in range(10_000):
        time = START + number * DAY_MS // 10_000
        folder = folder_of(topic, time)
        if number % 400 == 0 or not folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{TOPIC}+{number % 2}+{number:010d}.json").write_bytes(
            event(time, f"slug-{number % 23}", f"n/{number % 97}") + b"\n"
        )
    check(topic, engine, metrics_of(topic))


def test_nothing_but_empty_hours(tmp_path: Path, engine: str) -> None:
    topic = tmp_path / TOPIC
    add(topic, START, 0, [])
    tables, _, counts = recomputed(topic, hourly(engine))
    assert len(tables) == len(KINDS[engine])
    assert not any(tables.values())
    assert (counts.read, counts.used, counts.set_aside) == (0, 0, 0)


def legacy(topic: Path, lines: list[bytes]) -> None:
    """Files of three events in the hours in which they came, as the predecessor's sink made them."""
    for start in range(0, len(lines), 3):
        sent = json.loads(lines[start])["payload"]["sent_at"]
        folder = topic / f"year={sent[:4]}/month={sent[5:7]}/day={sent[8:10]}/hour={sent[11:13]}"
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{TOPIC}-0-{start:010d}.json"
        (folder / name).write_bytes(b"".join(line + b"\n" for line in lines[start : start + 3]))


def test_the_predecessors_archive(tmp_path: Path, engine: str) -> None:
    times = [START + n * 97_001 for n in range(890)]
    args = [(t, f"slug-{t % 7}", f"n/{t % 31}", ("item_sold", "item_transferred")[t % 2]) for t in times]
    legacy(tmp_path / TOPIC, [event(*each, stamped=False) for each in args])
    reply = b'{"ref":0,"payload":{"status":"ok","response":{}},"topic":"collection:*","event":"phx_reply"}'
    (folder_of(tmp_path / TOPIC, START) / f"{TOPIC}-0-0000099999.json").write_bytes(reply + b"\n")
    stamped = tmp_path / "stamped"
    add(stamped, START, 0, [event(*each) for each in args])
    check(tmp_path / TOPIC, engine, metrics_of(stamped))


@pytest.mark.parametrize("keep", [False, True])
def test_compacted_files_and_text_mixed(
    own: Path,
    day: Path,
    compacted_days: dict[bool, Path],
    engine: str,
    keep: bool,
    market_of_day: tuple[dict[int, int], Counts],
    tmp_path: Path,
) -> None:
    take_hours(own, compacted_days[keep], 9)
    (own / "year=2026/month=09/day=10/hour=03/_in_the_making.parquet").write_bytes(b"x")
    text = folder_of(own, START + 10 * HOUR_MS)
    assert list(text.glob("*.json.gz"))
    assert list(folder_of(own, START).glob("*.json.gz")) == [] or keep
    # A late file beside a compacted one of its hour.
    hour = START + 5 * HOUR_MS
    expected = Path(shutil.copytree(day, tmp_path / "expected"))
    for topic in (own, expected):
        add(topic, hour, 9_000_000, [event(hour, "late")])
    tables, _, counts = recomputed(own, hourly(engine, first=START, end=START + DAY_MS))
    compare(tables, "1_HOUR", metrics_of(expected), KINDS[engine])
    _, whole = market_of_day
    assert (counts.read, counts.used, counts.set_aside) == (whole.read + 1, whole.used + 1, whole.set_aside)


def test_every_form_by_spark(
    own: Path, compacted_days: dict[bool, Path], day: Path, tmp_path: Path
) -> None:
    needs("spark")
    expected = Path(shutil.copytree(day, tmp_path / "expected" / TOPIC))
    take_hours(own, compacted_days[False], 9)
    noon = START + 12 * HOUR_MS
    args = [(noon + n * 997, "late", f"n/{n % 7}") for n in range(40)]
    legacy(own, [event(*each, stamped=False) for each in args])
    add(expected, noon, 9_000_000, [event(*each) for each in args])
    check(own, "spark", metrics_of(expected))


@pytest.mark.parametrize("kind", ["duckdb", "spark"])
def test_all_compacted_but_a_field_that_was_declared_later(
    own_compacted: Path, day: Path, metrics_of_day: oracle.Metrics, kind: str, tmp_path: Path
) -> None:
    needs(kind)
    assert not list(own_compacted.rglob("*.json.gz"))
    check(own_compacted, kind, metrics_of_day)
    sql = Path(shutil.copytree(SQL, tmp_path / "sql", ignore=shutil.ignore_patterns("*.py*", "__py*")))
    events = sql / "migrations/V001__events.sql"
    text = events.read_text()
    text = text.replace("      chain VARCHAR,\n", "      chain VARCHAR, event_timestamp VARCHAR,\n")
    text = text.replace("payload->payload->chain AS chain", "payload->payload->event_timestamp AS chain")
    events.write_text(text)
    (sql / "migrations/V900__own.sql").write_text(
        "CREATE TABLE moments WITH (VALUE_FORMAT='JSON') AS SELECT chain, COUNT(*) AS n FROM events"
        " WINDOW TUMBLING (SIZE 1 HOUR) GROUP BY chain EMIT CHANGES;"
    )
    found, expected = (
        recomputed(topic, request(wanted="moments", engine=engine), sql)[0]["MOMENTS"]
        for topic, engine in ((own_compacted, kind), (day, "duckdb"))
    )
    assert found == expected
    assert sum(row["N"] for row in found) > 2_000


@dataclass(frozen=True)
class DamagedFiles:
    """What a run makes of a day with damaged compacted files, each in its own hour.

    ``files`` has them by whether their originals are beside them, and by what is left of their content. ``records``
    can be read.
    """

    files: dict[tuple[bool, str], ArchiveFile]
    records: list[oracle.Record]
    tables: dict[str, Rows]
    counts: Counts


@pytest.fixture(scope="module")
def damaged_files(
    compacted_days: dict[bool, Path], day: Path, engine: str, tmp_path_factory: pytest.TempPathFactory
) -> DamagedFiles:
    own = Path(shutil.copytree(compacted_days[False], tmp_path_factory.mktemp("damaged") / TOPIC))
    expected = Path(shutil.copytree(day, tmp_path_factory.mktemp("expected") / TOPIC))
    files = {}
    for hour, (originals, content) in enumerate(product((False, True), ("cut", "nothing")), 2):
        start = START + hour * HOUR_MS
        if originals:
            shutil.copytree(folder_of(day, start), folder_of(own, start), dirs_exist_ok=True)
        else:
            for each in folder_of(expected, start).glob("*+1+*"):
                each.unlink()
        (path,) = folder_of(own, start).glob("*+1+*.parquet")
        path.write_bytes(path.read_bytes()[:-100] if content == "cut" else b"")
        file = archive_file(str(path))
        assert file is not None
        files[originals, content] = file
    tables, _, counts = recomputed(own, hourly(engine, first=START, end=START + DAY_MS))
    return DamagedFiles(files, records_of(expected), tables, counts)


@pytest.mark.parametrize("content", ["cut", "nothing"])
@pytest.mark.parametrize("originals", [False, True])
def test_a_damaged_compacted_file(damaged_files: DamagedFiles, engine: str, content: str, originals: bool) -> None:
    """It costs its own records only, and not even these while its originals are beside it."""
    file = damaged_files.files[originals, content]
    assert file.end is not None
    count = file.end - file.start
    damage = damaged_files.counts.damaged[file.path]
    assert (damage.read, damage.missing) == ((count, 0) if originals else (0, count))
    hour = file.hour_ms
    rows_of_hour = {
        name: [row for row in rows if row.get("WINDOWSTART", row.get("WS")) == hour]
        for name, rows in damaged_files.tables.items()
    }
    records = within(damaged_files.records, (hour, hour + HOUR_MS))
    assert records
    compare(rows_of_hour, "1_HOUR", oracle.compute(records, HOUR_MS), KINDS[engine])


def test_damaged_compacted_files_cost_no_other_records(damaged_files: DamagedFiles, engine: str) -> None:
    assert damaged_files.counts.damaged.keys() == {file.path for file in damaged_files.files.values()}
    expected = oracle.compute(damaged_files.records, HOUR_MS)
    compare(damaged_files.tables, "1_HOUR", expected, KINDS[engine])


def test_a_compacted_file_that_is_damaged_inside(
    own_compacted: Path, metrics_of_day: oracle.Metrics, engine: str
) -> None:
    """The text of each record is in it once more. DuckDB's own error does not say in which file."""
    path = sorted(own_compacted.rglob("*.parquet"))[5]
    group = pq.read_metadata(path).row_group(0)
    columns = (group.column(number) for number in range(group.num_columns))
    times = next(column for column in columns if column.path_in_schema == "event_time")
    at = times.dictionary_page_offset or times.data_page_offset
    content = path.read_bytes()
    path.write_bytes(content[:at] + b"\xff" * 8 + content[at + 8 :])
    counts = check(own_compacted, engine, metrics_of_day)
    assert [(path, damage.missing) for path, damage in counts.damaged.items()] == [(str(path), 0)]


def test_empty_and_damaged_files_between_good_ones(
    own: Path, metrics_of_day: oracle.Metrics, engine: str
) -> None:
    """Before, between and after all others, and several together."""
    made = {}
    for number, path in enumerate(sorted(own.rglob("*.json.gz"))[::3]):
        for partition in (0, 7):
            content = (b"", b"x", b"\x1f\x8b\x08", gzip.compress(b"{}\n")[:-9])[(number + partition) % 4]
            bad = path.with_name(f"{TOPIC}+{partition}+000900{number:04}.json.gz")
            bad.write_bytes(content)
            made[str(bad)] = content
    assert len(made) > 10
    counts = check(own, engine, metrics_of_day)
    assert counts.damaged.keys() == made.keys()
    for name, content in made.items():
        assert (counts.damaged[name].reason == "it is empty (0 bytes)") == (content == b"")


def test_how_many_records_are_missing(
    own: Path, engine: str, market_of_day: tuple[dict[int, int], Counts]
) -> None:
    """The next file of the partition says where a file should have ended, in whichever hour it is."""
    _, before = market_of_day
    paths = sorted(own.rglob(f"{TOPIC}+1+*.json.gz"))
    lost = {str(path): gzip.decompress(path.read_bytes()).count(b"\n") for path in paths[3:5]}
    for path in lost:
        Path(path).write_bytes(b"")
    _, counts = market(own, engine)
    assert {path: damage.missing for path, damage in counts.damaged.items()} == lost
    assert counts.read == before.read - sum(lost.values())
