"""archive compact: the same records in fewer files, whatever happens on the way."""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest

from opensea_metrics.deploy import cli
from opensea_metrics.producer.archive.layout import HOUR_MS
from opensea_metrics.producer.archive.writer import ArchiveWriter
from opensea_metrics.producer.recording import Recording
from opensea_metrics.spark_batch.upkeep import lock
from opensea_metrics.spark_batch.upkeep.check import check
from opensea_metrics.spark_batch.upkeep.compact import compact
from opensea_metrics.spark_batch.upkeep.lock import locked
from opensea_metrics.spark_batch.upkeep.outcome import CompactionOutcome, Options
from opensea_metrics.spark_batch.upkeep.rows import raw_stream
from opensea_metrics.spark_batch.upkeep.runs import groups
from opensea_metrics.spark_batch.upkeep.store import CompactError, open_store
from opensea_metrics.spark_batch.upkeep.writing import write
from opensea_metrics.sql.language.catalog.changes import check as check_project
from opensea_metrics.sql.language.catalog.sources import Source as Stream
from opensea_metrics.sql.language.project.project import load_project
from tests.producer.files import lines as values_of
from tests.spark_batch.places import (
    LATER,
    TEN,
    TOPIC,
    Place,
    event,
    events,
    folder,
    name,
    rows_of,
    text,
)


def done(place: Place, stream: Stream, options: Options | None = None) -> CompactionOutcome:
    source = place.source
    return compact(source, stream, groups(source.listing().files, LATER, 0), options or Options())


def parquet(hour: int, partition: int, start: int, end: int) -> str:
    return f"{folder(hour)}/{TOPIC}+{partition}+{start:010d}-{end:010d}.parquet"


def filled(place: Place) -> list[str]:
    """Two hours and partitions, in files of different forms; the compacted files to be."""
    place.write(0, 0, 0, events(0, 0, 30))
    place.write(0, 0, 30, events(0, 30, 5))
    place.put(name(0, 0, 35, "json"), text(events(0, 35, 7)))
    place.write(0, 1, 5, events(0, 5, 4))
    place.write(1, 0, 42, [*events(1, 42, 3), b"no json", b'{"event":"x"}', "ü\x00".encode()])
    return [parquet(0, 0, 0, 42), parquet(0, 1, 5, 9), parquet(1, 0, 42, 48)]


def test_the_same_records_in_fewer_files(place: Place, stream: Stream) -> None:
    expected = filled(place)
    before = place.records()
    report = check(place.source, stream)
    outcome = done(place, stream)
    assert [each for each in place.names() if each != ".keep"] == expected
    assert place.records() == before
    assert (outcome.originals, outcome.compacted, outcome.records, outcome.removed) == (5, 3, 52, 5)
    assert (outcome.left, outcome.finished) == ([], True)
    after = check(place.source, stream)
    assert [each.records for each in after.partitions] == [each.records for each in report.partitions]
    assert [(each.kind, each.records, each.detail) for each in after.findings] == [
        (each.kind, each.records, each.detail) for each in report.findings
    ]
    again = done(place, stream)
    assert (again.originals, again.removed, place.names()[-3:]) == (0, 0, expected)


def test_what_a_compacted_file_holds(disk: Place, stream: Stream) -> None:
    path = filled(disk)[0]
    lines = [line for hour, partition, _, line in disk.records() if (hour, partition) == (TEN, 0)]
    done(disk, stream)
    rows = rows_of(disk, path)
    keys = [(r["event"], r["payload"]["payload"]["collection"]["slug"], r["_offset"]) for r in rows]
    assert keys == sorted(keys)
    assert sorted(row["_offset"] for row in rows) == list(range(42))
    for row in rows:
        line = lines[row["_offset"]]
        record = json.loads(line)
        assert row["_line"].encode() == line
        assert row["_failed"] is None
        assert row["event_time"] == record["event_time"]
        assert row["topic"] == record["topic"]
        assert row["payload"]["sent_at"] == record["payload"]["sent_at"]
        assert row["payload"]["payload"]["quantity"] == str(record["payload"]["payload"]["quantity"])
        assert row["payload"]["payload"]["item"]["metadata"] is None
    assert list(rows[0]) == ["_offset", "_line", "_failed", "event_time", "topic", "event", "payload"]
    failed = {r["_offset"]: r["_failed"] for r in rows_of(disk, parquet(1, 0, 42, 48)) if r["_failed"]}
    assert failed == {45: "not JSON", 46: "no timestamp", 47: "not JSON"}


def test_other_declarations(disk: Place, tmp_path: Path) -> None:
    """The columns are those of the project's stream, the order too as far as it has the fields."""
    (tmp_path / "sql" / "migrations").mkdir(parents=True)
    (tmp_path / "sql" / "settings.yml").write_text("{}")
    (tmp_path / "sql" / "migrations" / "V001__raw.sql").write_text(
        "CREATE STREAM mine (ts BIGINT, slug VARCHAR, amount DOUBLE) WITH (KAFKA_TOPIC='"
        f"{TOPIC}', VALUE_FORMAT='JSON', PARTITIONS=1, TIMESTAMP='ts');"
    )
    stream = raw_stream(check_project(load_project(tmp_path / "sql")), TOPIC)
    disk.write(0, 0, 0, [b'{"ts":%d,"slug":"b","amount":1.5}' % TEN, b'{"ts":%d}' % TEN])
    done(disk, stream)
    assert rows_of(disk, parquet(0, 0, 0, 2)) == [
        {"_offset": 0, "_line": f'{{"ts":{TEN},"slug":"b","amount":1.5}}', "_failed": None,
         "ts": TEN, "slug": "b", "amount": 1.5},
        {"_offset": 1, "_line": f'{{"ts":{TEN}}}', "_failed": None,
         "ts": TEN, "slug": None, "amount": None},
    ]  # fmt: skip


def test_one_file_per_run_of_offsets(place: Place, stream: Stream) -> None:
    for start, count in ((0, 3), (3, 3), (8, 2), (10, 5), (20, 1)):
        place.write(0, 0, start, events(0, start, count))
    before = place.records()
    done(place, stream)
    made = [path for path in place.names() if path.endswith(".parquet")]
    assert made == [parquet(0, 0, 0, 6), parquet(0, 0, 8, 15), parquet(0, 0, 20, 21)]
    assert place.records() == before
    # A file that comes later to the hour is not taken for one of those that were compacted.
    place.write(0, 0, 6, events(0, 6, 2))
    place.write(0, 0, 21, events(0, 21, 2))
    before = place.records()
    assert len(before) == 18
    done(place, stream)
    assert place.records() == before
    assert {parquet(0, 0, 6, 8), parquet(0, 0, 21, 23)} < set(place.names())


def test_limits_of_a_file(disk: Place, stream: Stream) -> None:
    for start in range(0, 40, 10):
        disk.write(0, 0, start, events(0, start, 10))
    before = disk.records()
    done(disk, stream, Options(most_records=25))
    assert disk.names() == [parquet(0, 0, 0, 20), parquet(0, 0, 20, 40)]
    assert disk.records() == before


def test_a_file_that_is_too_large_is_left(disk: Place, stream: Stream) -> None:
    small, large = disk.write(0, 0, 0, events(0, 0, 10)), disk.write(0, 0, 10, events(0, 10, 11))
    outcome = done(disk, stream, Options(most_records=5))
    assert disk.names() == sorted([parquet(0, 0, 0, 10), large])
    assert small not in disk.names()
    assert [each.reason.partition(":")[0] for each in outcome.left] == ["it is too large to sort"]


def test_what_cannot_be_compacted_is_left(place: Place, stream: Stream) -> None:
    place.write(0, 0, 0, events(0, 0, 10))
    overlap = [place.write(0, 0, 10, events(0, 10, 10)), place.write(0, 0, 15, events(0, 15, 9))]
    place.write(0, 0, 24, events(0, 24, 2))
    cut = name(0, 0, 26)
    place.put(cut, gzip.compress(text(events(0, 26, 9)))[:-5])
    latin = place.write(0, 0, 35, [event(TEN), b'{"a":"\xfc"}'])
    place.write(0, 0, 37, events(0, 37, 3))
    empty = name(0, 0, 50)
    place.put(empty, b"")
    contents = {path: place.get(path) for path in (*overlap, cut, latin, empty)}
    outcome = done(place, stream)
    assert {path: place.get(path) for path in contents} == contents
    assert set(place.names()) - {".keep"} == {
        *contents, parquet(0, 0, 0, 10), parquet(0, 0, 24, 26), parquet(0, 0, 37, 40)
    }  # fmt: skip
    root = place.root
    assert [(each.path.removeprefix(f"{root}/"), each.reason[:40]) for each in outcome.left] == [
        (overlap[0], f"it shares offsets with {root}/{overlap[1]}"[:40]),
        (overlap[1], f"it shares offsets with {root}/{overlap[0]}"[:40]),
        (cut, "it cannot be read to its end: its end is"),
        (latin, "the record at offset 36 is not UTF-8"),
        (empty, "it cannot be read to its end: it is empty"[:40]),
    ]


def test_originals_that_are_kept(place: Place, stream: Stream) -> None:
    expected = filled(place)
    originals = place.names()
    before = place.records()
    outcome = done(place, stream, Options(keep=True))
    assert (outcome.compacted, outcome.removed) == (3, 0)
    assert place.names() == sorted([*originals, *expected])
    assert place.records() == before  # each once
    again = done(place, stream, Options(keep=True))
    assert (again.compacted, again.removed, again.left) == (0, 0, [])
    last = done(place, stream)
    assert (last.compacted, last.removed) == (0, 5)
    assert set(place.names()) - {".keep"} == set(expected)
    assert place.records() == before


def test_originals_that_are_not_what_a_compacted_file_has_are_kept(
    place: Place, stream: Stream
) -> None:
    filled(place)
    done(place, stream, Options(keep=True))
    place.write(0, 0, 30, [*events(0, 30, 4), event(TEN, 99)])
    (left,) = done(place, stream).left
    assert left.path.endswith(parquet(0, 0, 0, 42))
    reason = r"does not have the records of its originals: .*0000000030.json.gz.*are kept. Remove the compacted file"
    assert re.search(reason, left.reason)
    assert name(0, 0, 30) in place.names()
    place.fs.rm_file(f"{place.root}/{parquet(0, 0, 0, 42)}")
    assert done(place, stream).compacted == 1
    assert event(TEN, 99) in [line for *_, line in place.records()]


def test_a_damaged_compacted_file_holds_up_no_other(place: Place, stream: Stream) -> None:
    filled(place)
    done(place, stream, Options(keep=True))
    broken = parquet(0, 0, 0, 42)
    place.put(broken, b"no Parquet")
    originals = [path for path in place.names() if path.startswith(folder(0)) and "+0+" in path]
    outcome = done(place, stream)
    assert [left.path.rpartition("/")[2] for left in outcome.left] == [broken.rpartition("/")[2]]
    assert "does not have the records of its originals" in outcome.left[0].reason
    assert set(originals) <= set(place.names())
    assert outcome.removed > 0


class Killed(BaseException):
    """The process ends here."""


STEPS = ("stage", "publish", "remove")


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("call", [0, 1])
def test_killed_at_any_step(
    place: Place, stream: Stream, monkeypatch: pytest.MonkeyPatch, step: str, after: bool, call: int
) -> None:
    expected = filled(place)
    before = place.records()
    kind = type(open_store(place.source))
    original: Callable[..., Any] = getattr(kind, step)
    calls = 0

    def killing(self: Any, *arguments: Any) -> Any:
        nonlocal calls
        if step == "remove" and not arguments[0]:
            return None
        calls += 1
        if calls > call and not after:
            raise Killed
        result = original(self, *arguments)
        if calls > call:
            raise Killed
        return result

    with monkeypatch.context() as patch:
        patch.setattr(kind, step, killing)
        with pytest.raises(Killed):
            done(place, stream)
    assert place.records() == before
    outcome = done(place, stream)
    assert outcome.left == []
    assert set(place.names()) - {".keep"} == set(expected)
    assert place.records() == before


def test_killed_while_originals_are_removed(
    place: Place, stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = filled(place)
    before = place.records()
    kind = type(open_store(place.source))
    original = kind.remove

    def some(self: Any, paths: Sequence[str]) -> None:
        original(self, paths[:2])
        if len(paths) > 2:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(kind, "remove", some)
        with pytest.raises(Killed):
            done(place, stream)
    assert name(0, 0, 0) not in place.names()
    assert name(0, 0, 35, "json") in place.names()
    assert place.records() == before
    done(place, stream)
    assert set(place.names()) - {".keep"} == set(expected)
    assert place.records() == before


def test_a_stop_lets_what_has_begun_be_done(disk: Place, stream: Stream) -> None:
    for hour in range(6):
        disk.write(hour, 0, hour * 10, events(hour, hour * 10, 10))
    before = disk.records()
    asked = iter(range(6))
    source = disk.source
    outcome = compact(
        source, stream, groups(source.listing().files, LATER, 0), stop=lambda: next(asked) == 3
    )
    assert (outcome.finished, outcome.compacted, outcome.records) == (False, 3, 30)
    assert sum(name.endswith(".parquet") for name in disk.names()) == 3
    assert disk.records() == before
    assert done(disk, stream).compacted == 3


def test_killed_with_the_kernels_signal(disk: Place, tmp_path: Path) -> None:
    """The command itself, ended twice in the midst of its work."""
    for hour in range(12):
        for start in range(hour * 40, hour * 40 + 40, 10):
            disk.write(hour, 0, start, events(hour, start, 10))
    before = disk.records()
    program = "from opensea_metrics.deploy.cli import main; main()"
    command = ["-c", program, "archive", "compact", "--source", disk.url]
    for published in (1, 5):
        process = subprocess.Popen([sys.executable, *command], env=os.environ | {"TMPDIR": str(tmp_path)})
        while sum(path.endswith(".parquet") for path in disk.names()) < published:
            assert process.poll() is None
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert disk.records() == before
    subprocess.run([sys.executable, *command], check=True, timeout=120)
    assert disk.names() == [parquet(hour, 0, hour * 40, hour * 40 + 40) for hour in range(12)]
    assert disk.records() == before


@pytest.mark.parametrize("harm", ["* REPLACE (upper(_line) AS _line)", "* WHERE _offset <> 17",
                                  "* WHERE _offset < 41", "* REPLACE (_offset + 1 AS _offset)"])  # fmt: skip
def test_a_file_without_all_the_records_is_not_published(
    place: Place, stream: Stream, monkeypatch: pytest.MonkeyPatch, harm: str
) -> None:
    first, *_ = filled(place)
    originals = {name for name in place.names() if name.startswith(f"{folder(0)}/{TOPIC}+0+")}
    before = place.records()
    chosen, _, where = harm.partition(" WHERE ")

    def harmed(database: duckdb.DuckDBPyConnection, *arguments: Any) -> None:
        made = arguments[-2]
        write(database, *arguments)
        database.execute(
            f"COPY (SELECT {chosen} FROM '{made}' WHERE {where or 'true'}) TO '{made}.x' (FORMAT parquet)"
        )
        Path(f"{made}.x").replace(made)

    monkeypatch.setattr("opensea_metrics.spark_batch.upkeep.group_compaction.write", harmed)
    with pytest.raises(CompactError, match=r"does not have the records of its originals: .*are kept"):
        done(place, stream)
    assert originals
    assert originals <= set(place.names())
    assert first not in place.names()
    assert not [each for each in place.names() if each.endswith(".compacting")]
    assert place.records() == before


def test_a_file_that_is_stored_otherwise_is_not_published(
    place: Place, stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(place)
    names = place.names()
    kind = type(open_store(place.source))
    original = kind.stage

    def harmed(self: Any, made: Path, path: str) -> None:
        content = bytearray(made.read_bytes())
        content[len(content) // 2] ^= 1
        made.write_bytes(content)
        original(self, made, path)

    monkeypatch.setattr(kind, "stage", harmed)
    with pytest.raises(CompactError, match=r"its bytes differ from those that were written.*are kept"):
        done(place, stream)
    assert place.names() == names


def test_a_disk_that_is_full(
    disk: Place, stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(disk)
    names = disk.names()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("opensea_metrics.spark_batch.upkeep.store.shutil.copyfileobj", full)
    with pytest.raises(CompactError, match="No space left on device"):
        done(disk, stream)
    assert disk.names() == names


def test_only_hours_that_are_over_and_old(disk: Place) -> None:
    for hour in range(4):
        disk.write(hour, 0, hour * 10, events(hour, hour * 10, 2))
    files = disk.source.files()

    def hours(now: int, age: int, *period: int | None) -> list[int]:
        return [(each.hour_ms - TEN) // HOUR_MS for each in groups(files, now, age, *period)]

    assert hours(TEN + HOUR_MS - 1, 0) == []
    assert hours(TEN + HOUR_MS, 0) == [0]
    assert hours(TEN + 3 * HOUR_MS, HOUR_MS) == [0, 1]
    assert hours(LATER, 0, TEN + HOUR_MS, TEN + 3 * HOUR_MS) == [1, 2]
    assert hours(LATER, 0, TEN + 1, TEN + 3 * HOUR_MS - 1) == [1]


def test_one_compaction_at_a_time(place: Place, stream: Stream) -> None:
    filled(place)
    names = place.names()
    with locked(place.source), pytest.raises(CompactError, match="Another compaction holds"):
        done(place, stream)
    assert place.names() == names
    assert done(place, stream).compacted == 3
    with locked(place.source):
        pass


def test_the_lock_of_a_killed_compaction_ends(
    bucket: Place, stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(bucket)
    bucket.put(".compact.lock", b"elsewhere process 7 abc")
    with pytest.raises(CompactError, match=r"elsewhere process 7, seen \d+ s ago"):
        done(bucket, stream)
    monkeypatch.setattr(lock, "STALE_SECONDS", 0.0)
    assert done(bucket, stream).compacted == 3
    assert not bucket.fs.exists(f"{bucket.root}/.compact.lock")


def test_a_lost_lock_ends_a_compaction(
    bucket: Place, stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(bucket)
    before = bucket.records()
    monkeypatch.setattr(lock, "RENEW_SECONDS", 0.01)
    kind = type(open_store(bucket.source))
    original = kind.stage

    def robbed(self: Any, made: Path, path: str) -> None:
        original(self, made, path)
        # Of two hours at once the later one may find that the renewing has ended already.
        for thread in [each for each in threading.enumerate() if each.name == "renew compact.lock"]:
            while thread.is_alive():  # a renewal under way writes over what another has just put there
                bucket.put(".compact.lock", b"another's")
                thread.join(0.1)

    monkeypatch.setattr(kind, "stage", robbed)
    with pytest.raises(CompactError, match=r"has taken over .*compact.lock"):
        done(bucket, stream)
    assert not any(path.endswith(".parquet") for path in bucket.names())
    assert bucket.records() == before
    assert bucket.get(".compact.lock") == b"another's"


def test_files_with_keys_or_headers_beside_them_are_left(place: Place, stream: Stream) -> None:
    place.write(0, 0, 0, events(0, 0, 3))
    place.write(0, 1, 0, events(0, 0, 3))
    keys = name(0, 1, 0, "keys.json.gz")
    place.put(keys, gzip.compress(b'"a"\n' * 3))
    (left,) = done(place, stream).left
    assert left.reason.startswith("it has keys or headers in a file beside it")
    assert set(place.names()) - {".keep", ".lock"} == {parquet(0, 0, 0, 3), name(0, 1, 0), keys}


def test_the_producer_goes_on_and_replays(tmp_path: Path, disk: Place, stream: Stream) -> None:
    """Offsets continue after a compacted file, and its records are read again in their order."""
    with ArchiveWriter(tmp_path, TOPIC) as first:
        for number in range(20):
            first.write(None, TEN + number, event(TEN + number, number))
    values = list(values_of(tmp_path, TOPIC))
    done(disk, stream)
    assert disk.names() == [".lock", parquet(0, 0, 0, 20)]
    assert list(values_of(tmp_path, TOPIC)) == values
    recording = Recording(tmp_path)
    assert list(recording.frames()) == values
    assert recording.read_bytes == recording.total_bytes
    with ArchiveWriter(tmp_path, TOPIC) as second:
        second.write(None, TEN, event(TEN, 20))
    assert name(0, 0, 20) in disk.names()
    assert list(values_of(tmp_path, TOPIC)) == [*values, event(TEN, 20)]


def test_the_predecessors_archive(place: Place, stream: Stream) -> None:
    """Files of three events, named with -, keys in no order, no event_time, replies among them."""
    lines = []
    for number in range(11):
        at = f"2026-09-15T10:{number:02}:00.000000Z"
        payload = {"collection": {"slug": "otters"}, "event_timestamp": at, "quantity": 1}
        if number == 4:
            del payload["event_timestamp"]
        body = {"payload": payload, "sent_at": at, "event_type": "item_sold"}
        lines.append(
            json.dumps({"ref": None, "payload": body, "topic": "collection:*", "event": "item_sold"})
        )
    reply = {"ref": 0, "payload": {"status": "ok", "response": {}}, "topic": "phoenix", "event": "phx_reply"}
    lines.insert(5, json.dumps(reply))
    raw = [line.encode() for line in lines]
    for start in range(0, 12, 3):
        place.write(0, 0, start, raw[start : start + 3], delimiter="-")
    report = check(place.source, stream)
    assert report.is_clean
    assert [(each.kind.name, each.records, each.detail) for each in report.findings] == [
        ("FAILED", 1, "the first at offset 5: no timestamp")
    ]
    done(place, stream)
    assert [line for *_, line in place.records()] == raw
    rows = sorted(rows_of(place, parquet(0, 0, 0, 12)), key=lambda row: row["_offset"])
    minutes = [*range(5), None, *range(5, 11)]
    assert [row["event_time"] for row in rows] == [
        None if minute is None else TEN + minute * 60_000 for minute in minutes
    ]


def test_the_command(
    place: Place,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        command = ["opensea-metrics", "archive", "compact", "--source", place.url, *arguments]
        monkeypatch.setattr(sys, "argv", command)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return int(ended.value.code or 0), *capsys.readouterr()

    expected = filled(place)
    names, before = place.names(), place.records()
    code, out, _ = run("--dry-run", "--min-age", "3000 weeks")
    assert (code, out) == (0, "0 files, 0.0 MB, of 0 hours and partitions\n")
    code, out, _ = run("--dry-run")
    assert (code, place.names()) == (0, names)
    assert "5 files" in out.splitlines()[-1]
    code, out, _ = run("--from", "2026-09-15T11:00")
    assert (code, place.records()) == (0, before)
    assert out.startswith("1 files")
    assert expected[2] in place.names()
    place.put(name(0, 2, 0), b"damaged")
    code, out, _ = run()
    assert code == 2
    assert "left" in out
    assert set(place.names()) - {".keep"} == {*expected, name(0, 2, 0)}
    with locked(place.source):
        code, out, err = run()
    assert (code, out) == (1, "")
    assert err.startswith("error: Another compaction holds")


