"""Archive files: layout, atomicity, offsets, one writer."""

from __future__ import annotations

import gzip
import os
import re
import stat
from pathlib import Path

import pytest

from opensea_metrics.producer.archive.errors import ArchiveError, Damaged
from opensea_metrics.producer.archive.layout import HOUR_MS
from opensea_metrics.producer.archive.writer import ArchiveWriter
from tests.producer.files import files, lines, lines_of

TEN = 1_789_466_400_000  # 2026-09-15T10:00:00Z


def names(root: Path) -> list[str]:
    return [path.relative_to(root / "topics" / "t").as_posix() for path in files(root, "t")]


def test_layout(tmp_path: Path) -> None:
    with ArchiveWriter(tmp_path, "t", partitions=1) as writer:
        writer.write("a", TEN, b"1")
        writer.write("b", TEN + HOUR_MS - 1, b"2")
        writer.write("a", TEN + HOUR_MS, b"3")
        assert (writer.published, writer.waiting) == (0, 3)
    assert (writer.published, writer.waiting) == (3, 0)
    assert names(tmp_path) == [
        "year=2026/month=09/day=15/hour=10/t+0+0000000000.json.gz",
        "year=2026/month=09/day=15/hour=11/t+0+0000000002.json.gz",
    ]
    assert gzip.decompress(files(tmp_path, "t")[0].read_bytes()) == b"1\n2\n"
    assert list(lines(tmp_path, "t")) == [b"1", b"2", b"3"]


def test_a_key_stays_in_its_partition_and_in_order(tmp_path: Path) -> None:
    with ArchiveWriter(tmp_path, "t", partitions=4) as writer:
        for number in range(400):
            writer.write(f"k{number % 20}", TEN, b"%d" % number)
    partitions = [list(map(int, values)) for values in lines_of(tmp_path, "t")]
    assert len(partitions) == 4
    for numbers in partitions:
        for key in range(20):
            own = [number for number in numbers if number % 20 == key]
            assert own in ([], list(range(key, 400, 20)))


def test_nothing_is_seen_before_it_is_whole(tmp_path: Path) -> None:
    with ArchiveWriter(tmp_path, "t") as writer:
        for number in range(30_000):
            writer.write(None, TEN, b"%d" % number * 10)
        assert files(tmp_path, "t") == []
        writer.flush()
        assert len(list(lines(tmp_path, "t"))) == 30_000


def test_files_roll_by_records_and_by_bytes(tmp_path: Path) -> None:
    with ArchiveWriter(tmp_path, "t", roll=10) as writer:
        for number in range(25):
            writer.write(None, TEN, b"%d" % number)
        assert [int(name[-18:-8]) for name in names(tmp_path)] == [0, 10]
    with ArchiveWriter(tmp_path, "t", roll_bytes=100) as writer:
        for _ in range(25):
            writer.write(None, TEN, b"x" * 30)
    assert [int(name[-18:-8]) for name in names(tmp_path)] == [
        0,
        10,
        20,
        25,
        29,
        33,
        37,
        41,
        45,
        49,
    ]


def test_offsets_go_on_in_another_writer(tmp_path: Path) -> None:
    for start in (0, 3):
        with ArchiveWriter(tmp_path, "t") as writer:
            for number in range(start, start + 3):
                writer.write(None, TEN, b"%d" % number)
    assert [int(name[-18:-8]) for name in names(tmp_path)] == [0, 3]
    assert list(lines(tmp_path, "t")) == [b"%d" % number for number in range(6)]


def test_few_files_are_open_at_a_time(tmp_path: Path) -> None:
    with ArchiveWriter(tmp_path, "t", max_open=2) as writer:
        for hour in range(5):
            writer.write(None, TEN + hour * HOUR_MS, b"x")
        assert len(files(tmp_path, "t")) == 3


def test_what_a_killed_writer_left_is_cleared_away(tmp_path: Path) -> None:
    writer = ArchiveWriter(tmp_path, "t")
    writer.write(None, TEN, b"x")
    writer._lock.close()  # as when the process dies
    with ArchiveWriter(tmp_path, "t") as other:
        assert not list(tmp_path.rglob("*.tmp"))
        other.write(None, TEN, b"y")
    assert list(lines(tmp_path, "t")) == [b"y"]


def test_a_topic_has_one_writer(tmp_path: Path) -> None:
    with ArchiveWriter(tmp_path, "t"):
        with pytest.raises(ArchiveError, match="Another process writes"):
            ArchiveWriter(tmp_path, "t")
        ArchiveWriter(tmp_path, "other").close()
    ArchiveWriter(tmp_path, "t").close()


def test_a_file_is_never_overwritten(tmp_path: Path) -> None:
    with ArchiveWriter(tmp_path, "t") as writer:
        writer.write(None, TEN, b"x")
        taken = tmp_path / "topics/t/year=2026/month=09/day=15/hour=10/t+0+0000000000.json.gz"
        taken.write_bytes(b"somebody's")
        with pytest.raises(ArchiveError, match=re.escape(str(taken))):
            writer.flush()
        assert taken.read_bytes() == b"somebody's"


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    hour = tmp_path / "topics/t/year=2026/month=09/day=15/hour=10"
    hour.mkdir(parents=True)
    writer = ArchiveWriter(tmp_path, "t")
    (hour / ".t+0.tmp").symlink_to("/dev/full")
    with pytest.raises(ArchiveError, match=r"\.t\+0\.tmp: No space left on device"):
        writer.write(None, TEN, os.urandom(300_000))
    writer.close()
    assert list(tmp_path.rglob("*.json.gz")) == [], "a file that was not written whole"


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    with ArchiveWriter(tmp_path, "t") as writer:
        for number in range(1_000):
            writer.write(None, TEN, b"%d" % number)
    (path,) = files(tmp_path, "t")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(Damaged, match="its end is missing"):
        list(lines(tmp_path, "t"))
    with pytest.raises(ArchiveError, match=re.escape(str(path))):
        ArchiveWriter(tmp_path, "t")


def test_the_same_records_give_the_same_bytes(tmp_path: Path) -> None:
    for root in (tmp_path / "a", tmp_path / "b"):
        with ArchiveWriter(root, "t") as writer:
            writer.write("k", TEN, b"x")
    first, second = (files(tmp_path / name, "t")[0] for name in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()
    assert stat.S_ISREG(first.stat().st_mode)
