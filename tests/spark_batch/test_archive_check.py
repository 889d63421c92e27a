"""archive check: every kind of damage is found, where it is, and nothing else."""

from __future__ import annotations

import gzip
import json
import os
import sys
from collections import Counter
from pathlib import Path

import pytest
from typer.testing import CliRunner

from opensea_metrics.deploy import cli
from opensea_metrics.producer.archive.errors import ArchiveError
from opensea_metrics.producer.archive.layout import HOUR_MS
from opensea_metrics.producer.archive.location import open_archive
from opensea_metrics.producer.sample import write_sample
from opensea_metrics.spark_batch.upkeep.check import check
from opensea_metrics.spark_batch.upkeep.report import ArchiveReport, FindingKind
from opensea_metrics.sql.language.catalog.sources import Source as Stream
from tests.spark_batch.places import (
    TEN,
    TOPIC,
    Place,
    event,
    events,
    folder,
    name,
    text,
)


def found(report: ArchiveReport) -> list[tuple[str, str, int]]:
    return [(each.kind.name, each.where, each.records) for each in report.findings]


def test_a_sound_archive(place: Place, stream: Stream) -> None:
    place.write(0, 0, 0, events(0, 0, 30))
    place.write(0, 0, 30, events(0, 30, 5))
    place.write(0, 1, 7, events(0, 7, 4))
    place.write(2, 0, 35, events(2, 35, 10))  # the hour between has none
    place.put(name(3, 0, 45, "json"), text(events(3, 45, 3)))
    report = check(place.source, stream)
    assert report.is_clean
    assert report.findings == ()
    assert [(p.partition, p.files, p.records, p.start, p.end) for p in report.partitions] == [
        (0, 4, 48, 0, 48),
        (1, 1, 4, 7, 11),
    ]
    assert (report.first_ms, report.last_ms) == (TEN, TEN + 3 * HOUR_MS)


def test_damaged_files(place: Place, stream: Stream) -> None:
    whole = gzip.compress(text(events(0, 0, 2_000)))
    damaged = {
        0: whole[:-4],  # cut in the length
        1: whole[: len(whole) // 2],
        2: whole[:-8] + bytes(4) + whole[-4:],  # another checksum
        3: b"not gzip at all",
        4: whole + b"something behind it",
    }
    for partition, content in damaged.items():
        place.put(name(0, partition, 0), content)
    place.put(name(0, 5, 0, "json"), text(events(0, 0, 3)) + b'{"event_time":17894')
    place.put(name(0, 6, 0), b"")
    place.put(name(0, 7, 0), gzip.compress(b""))
    place.put(name(0, 8, 0, "json"), b"")
    place.write(0, 9, 0, events(0, 0, 3))
    report = check(place.source, stream)
    assert [(kind, where) for kind, where, _ in found(report)] == [
        ("UNREADABLE", name(0, partition, 0)) for partition in damaged
    ] + [
        ("UNREADABLE", name(0, 5, 0, "json")),
        ("EMPTY", name(0, 6, 0)),
        ("EMPTY", name(0, 7, 0)),
        ("EMPTY", name(0, 8, 0, "json")),
    ]
    assert not report.is_clean
    details = [each.detail for each in report.of(FindingKind.UNREADABLE)]
    assert details[-1] == (
        "its last line has no newline at its end, so the line may be part of a record; 3 records before that"
    )
    salvaged = [int(detail.rsplit("; ", 1)[1].split()[0]) for detail in details[:3]]
    assert salvaged[0] > 1_900
    assert 900 < salvaged[1] < 1_100
    assert salvaged[2] > 1_900


def test_names_and_places(place: Place, stream: Stream) -> None:
    place.write(0, 0, 0, events(0, 0, 3))
    place.put(f"{TOPIC}+1+0000000000.json.gz", gzip.compress(text(events(0, 0, 2))))
    place.put(f"{folder(0)}/notes.txt", b"hello")
    place.put(f"{folder(0)}/{TOPIC}+x+1.json.gz", b"")
    place.put(f"{folder(0)}/.hidden", b"")
    place.put(f"{folder(0)}/_SUCCESS", b"")
    place.put(f"year=2026/month=13/day=01/hour=00/{TOPIC}+0+0000000003.json.gz", b"")
    assert found(check(place.source, stream)) == [
        ("EMPTY", f"{folder(0)}/{TOPIC}+x+1.json.gz", 0),
        ("EMPTY", f"year=2026/month=13/day=01/hour=00/{TOPIC}+0+0000000003.json.gz", 0),
        ("STRANGE", f"{folder(0)}/notes.txt", 0),
        ("OUTSIDE", f"{TOPIC}+1+0000000000.json.gz", 2),
        ("OUTSIDE", f"year=2026/month=13/day=01/hour=00/{TOPIC}+0+0000000003.json.gz", 0),
        ("UNNUMBERED", f"{folder(0)}/{TOPIC}+x+1.json.gz", 0),
    ]


def test_offsets(disk: Place, stream: Stream) -> None:
    disk.write(0, 0, 0, events(0, 0, 10))
    disk.write(0, 0, 12, events(0, 12, 5))
    disk.write(1, 0, 17, events(1, 17, 5))
    disk.write(1, 0, 20, events(1, 20, 5))
    disk.write(0, 1, 100, events(0, 100, 5))
    report = check(disk.source, stream)
    assert found(report)[:2] == [
        ("GAP", "partition 0, offsets 10 to 11", 2),
        ("OVERLAP", "partition 0, offsets 20 to 21", 2),
    ]
    assert [each[0] for each in found(report)[2:]] == ["REPEATED"]
    assert name(0, 0, 12) in report.findings[0].detail


def test_records_in_another_hour(place: Place, stream: Stream) -> None:
    place.write(0, 0, 0, [event(TEN), event(TEN + HOUR_MS - 1)])  # the edges are within
    late = [event(TEN - 1), event(TEN - 5_000), event(TEN + 1), event(TEN + HOUR_MS)]
    path = place.write(0, 0, 2, late)
    report = check(place.source, stream)
    assert found(report) == [("MISPLACED", path, 3)]
    assert report.findings[0].detail == "up to 00:00:05 before its hour, up to 1 ms after its hour"


def test_records_that_came_late(place: Place, stream: Stream) -> None:
    path = place.write(0, 0, 0, [event(TEN - HOUR_MS), event(TEN - 1), event(TEN)])
    report = check(place.source, stream)
    assert found(report) == [("LATE", path, 2)]
    assert report.is_clean
    later = place.write(1, 0, 3, [event(TEN - 1)])
    report = check(place.source, stream)
    assert found(report) == [("MISPLACED", later, 1), ("LATE", path, 2)]
    assert not report.is_clean


def test_links_and_what_is_no_file(disk: Place, stream: Stream) -> None:
    disk.write(0, 0, 0, events(0, 0, 5))
    hour = Path(disk.root) / folder(0)
    (hour / "loop").symlink_to(disk.root)
    (hour / "loop of its own").symlink_to(hour / "loop of its own")
    (hour / f"{TOPIC}+0+0000000005.json.gz").symlink_to("nothing")
    os.mkfifo(hour / f"{TOPIC}+0+0000000006.json.gz")  # to open it would take for ever
    bad = os.fsencode(hour) + f"/{TOPIC}".encode() + b"\xff+0+0000000007.json.gz"
    Path(os.fsdecode(bad)).write_bytes(gzip.compress(text(events(0, 7, 1))))
    report = check(disk.source, stream)
    assert {(each.kind, Path(each.where).name, each.detail) for each in report.findings} == {
        (FindingKind.STRANGE, "loop", "a link to a folder that contains it or is listed already; remove the link"),
        (FindingKind.STRANGE, "loop of its own", "cannot read this file: Too many levels of symbolic links"),
        (FindingKind.STRANGE, f"{TOPIC}+0+0000000005.json.gz", "a link that leads nowhere"),
        (FindingKind.STRANGE, f"{TOPIC}+0+0000000006.json.gz", "it is a FIFO, not a file"),
        (FindingKind.STRANGE, f"{TOPIC}\\xff+0+0000000007.json.gz", "the name is not UTF-8; rename it"),
    }
    assert [each.records for each in report.partitions] == [5]


def test_a_link_to_another_disk_is_followed(disk: Place, stream: Stream, tmp_path: Path) -> None:
    disk.write(0, 0, 0, events(0, 0, 5))
    day = (Path(disk.root) / folder(0)).parent
    elsewhere = day.rename(tmp_path / "elsewhere")
    day.symlink_to(elsewhere)
    assert check(disk.source, stream).is_clean
    assert [each.records for each in check(disk.source, stream).partitions] == [5]


def test_a_folder_that_may_not_be_read_is_named(disk: Place, stream: Stream) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    disk.write(0, 0, 0, events(0, 0, 5))
    hour = Path(disk.root) / folder(0)
    hour.chmod(0)
    try:
        with pytest.raises(ArchiveError, match=f"Cannot list {hour}: Permission denied"):
            check(disk.source, stream)
    finally:
        hour.chmod(0o755)


@pytest.mark.parametrize("made_by", [("replay",), ("replay", "--to-now"), ("sample", "--events", "2000")])
def test_a_fresh_archive_is_sound(
    made_by: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = CliRunner().invoke(cli.whole_app(), [*made_by, "--data-dir", str(tmp_path)])
    assert run.exit_code == 0, run.output
    checked = CliRunner().invoke(
        cli.whole_app(), ["archive", "check", "--source", str(tmp_path / "topics" / TOPIC)]
    )
    assert (checked.exit_code, checked.output.splitlines()[-1]) == (0, "sound")


def test_remarks_do_not_make_an_archive_unsound(place: Place, stream: Stream) -> None:
    lines = events(0, 0, 5)
    lines += [b"no json", b'{"event":"item_sold"}', b"\xff", lines[0], lines[0], lines[1]]
    path = place.write(0, 0, 0, lines)
    report = check(place.source, stream)
    assert found(report) == [("FAILED", path, 3), ("REPEATED", folder(0), 3)]
    assert report.findings[0].detail == "the first at offset 5: not JSON"
    assert report.is_clean


def test_a_period(disk: Place, stream: Stream) -> None:
    disk.write(0, 0, 0, events(0, 0, 5))
    disk.write(1, 0, 5, events(1, 5, 5))
    disk.write(2, 0, 10, events(2, 10, 2))  # ten's hour is over, but a late record comes
    disk.write(1, 0, 12, events(1, 12, 1))
    disk.write(2, 0, 13, events(2, 13, 5))
    disk.put(name(0, 3, 0), b"damaged")
    disk.put(".lock", b"")
    disk.put("notes.txt", b"")
    report = check(disk.source, stream, TEN + HOUR_MS, TEN + 2 * HOUR_MS)
    assert found(report) == [("STRANGE", "notes.txt", 0)]
    assert [(each.start, each.end, each.records) for each in report.partitions] == [(5, 13, 6)]
    whole = check(disk.source, stream)
    assert [each.kind for each in whole.findings] == [FindingKind.UNREADABLE, FindingKind.STRANGE]


@pytest.mark.parametrize("kind", ["disk", "bucket"])
def test_a_day_of_tiny_files(
    kind: str, request: pytest.FixtureRequest, stream: Stream, tmp_path: Path
) -> None:
    """10,000 files of three events on a disk; fewer in a bucket, where writing them takes longest."""
    place: Place = request.getfixturevalue(kind)
    count = 10_000 if kind == "disk" else 500
    made = {}
    for number in range(count):
        hour, start = number * 24 // count, number * 3
        path = name(hour, 0, start, delimiter="-")
        made[f"{place.root}/{path}"] = gzip.compress(text(events(hour, start, 3)), 1)
    for folder_ in sorted({path.rpartition("/")[0] for path in made}):
        place.fs.makedirs(folder_, exist_ok=True)
    place.fs.pipe(made)
    report = check(place.source, stream)
    assert report.findings == ()
    assert [(p.files, p.records, p.end) for p in report.partitions] == [(count, count * 3, count * 3)]


def test_compared_with_a_sample(tmp_path: Path, stream: Stream) -> None:
    """What the producer writes is sound; it holds odd and repeated records."""
    written = write_sample(tmp_path, 20_000)
    report = check(open_archive(tmp_path / "topics" / TOPIC), stream)
    assert report.is_clean
    assert sum(each.records for each in report.partitions) == written.written
    kinds = Counter(each.kind for each in report.findings)
    assert set(kinds) == {FindingKind.FAILED, FindingKind.REPEATED}


def test_no_archive(disk: Place, bucket: Place, stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ArchiveError, match="There is no archive at"):
        check(open_archive(f"{disk.url}x"), stream)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-key")
    with pytest.raises(ArchiveError, match="Cannot list") as caught:
        check(open_archive(bucket.url), stream)
    assert "not-the-key" not in str(caught.value)


def test_a_folder_that_may_not_be_read(
    disk: Place, stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told, not passed over."""
    disk.write(0, 0, 0, events(0, 0, 3))
    disk.write(1, 0, 3, events(1, 3, 3))
    closed = f"{disk.root}/{folder(1)}"
    scandir = os.scandir

    def guarded(path: str) -> object:
        if str(path) == closed:
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr("os.scandir", guarded)
    for period in ((None, None), (TEN, TEN + 2 * HOUR_MS)):
        with pytest.raises(ArchiveError, match="Permission denied"):
            check(disk.source, stream, *period)


def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["opensea-metrics", "archive", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0), *capsys.readouterr()


def test_the_command(
    place: Place,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    place.write(0, 0, 0, [*events(0, 0, 3), b"odd"])
    code, out, _ = run(monkeypatch, capsys, "check", "--source", place.url)
    assert (code, out.splitlines()[-1]) == (0, "sound")
    place.write(0, 0, 6, events(0, 6, 3))
    code, out, _ = run(monkeypatch, capsys, "check", "--source", place.url)
    assert (code, out.splitlines()[-1]) == (2, "not sound")
    assert "1 gaps of offsets (2 records)" in out
    code, out, _ = run(monkeypatch, capsys, "check", "--source", place.url, "--json")
    report = json.loads(out)
    assert (code, report["clean"]) == (2, False)
    assert [(each["kind"], each["defect"]) for each in report["findings"]] == [
        ("gap", True),
        ("failed", False),
    ]
    hour = ("--from", "2026-09-15T11:00", "--to", "2026-09-15T12:00")
    assert run(monkeypatch, capsys, "check", "--source", place.url, *hour)[0] == 0
    code, out, err = run(monkeypatch, capsys, "check", "--source", place.url.replace("topics", "none"))
    assert (code, out) == (1, "")
    assert err.startswith("error: There is no archive at")
    code, out, err = run(monkeypatch, capsys, "check", "--source", place.url, "--from", "noon")
    assert (code, out) == (1, "")
    assert "'noon' is not a time" in err


@pytest.mark.parametrize("verb", ["check", "compact"])
def test_help_has_an_example(verb: str) -> None:
    result = CliRunner().invoke(cli.whole_app(), ["archive", verb, "--help"])
    assert f"Example: opensea-metrics archive {verb}" in result.output
