"""Names of archive files, and which of them hold each record once."""

from __future__ import annotations

import pytest

from opensea_metrics.producer.archive.layout import (
    ArchiveFile,
    archive_file,
    newest_cover,
    parquet_name,
)

HOUR = "topics/OpenSeaRawEvents/year=2024/month=07/day=28/hour=12"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("OpenSeaRawEvents+3+0000000120.json.gz", (3, 120, None, "json.gz")),
        ("OpenSeaRawEvents+3+0000000120.json", (3, 120, None, "json")),
        # The predecessor's sink has file.delim=-
        ("OpenSeaRawEvents-0-0000000003.json.gz", (0, 3, None, "json.gz")),
        ("my-topic-2-0-0000000003.json.gz", (0, 3, None, "json.gz")),
        ("opensea.events+0+12-15.parquet", (0, 12, 15, "parquet")),
        ("OpenSeaRawEvents+0+12.parquet", None),
        ("OpenSeaRawEvents-0-12-15.parquet", None),
        # Names without numbers: the records are of partition 0.
        ("OpenSeaRawEvents+0+12-15.json", (0, 0, None, "json")),
        ("OpenSeaRawEvents+0-12.json", (0, 0, None, "json")),
        ("live.ndjson", (0, 0, None, "json")),
        ("keys.json.gz", (0, 0, None, "json.gz")),
        # Files of keys and headers that stand beside files of values.
        ("OpenSeaRawEvents+0+12.keys.json.gz", None),
        ("OpenSeaRawEvents+0+12.headers.json", None),
        ("OpenSeaRawEvents-0-0000000012.keys.avro", None),
        ("raw-2026-11.json", (0, 0, None, "json")),
        ("OpenSeaRawEvents+0+12.json.gz.tmp", None),
        (".OpenSeaRawEvents+0+12.json.gz", None),
        ("README.md", None),
    ],
)
def test_names(name: str, expected: tuple[int, int, int | None, str] | None) -> None:
    file = archive_file(f"{HOUR}/{name}", 7)
    if expected is None:
        assert file is None
    else:
        assert file is not None
        assert (file.partition, file.start, file.end, file.form) == expected
        assert (file.hour_ms, file.size, file.name) == (1_722_168_000_000, 7, name)


def test_folders() -> None:
    assert archive_file("t/year=2024/month=7/day=8/hour=9/t+0+1.json").hour_ms == 1_720_429_200_000  # type: ignore[union-attr]
    assert archive_file("t/t+0+1.json").hour_ms == -1  # type: ignore[union-attr]
    assert archive_file("t/year=2024/month=13/day=8/hour=9/t+0+1.json").hour_ms == -1  # type: ignore[union-attr]


def named(*names: str) -> list[ArchiveFile]:
    files = [archive_file(f"{HOUR}/t+{name}") for name in names]
    return [file for file in files if file is not None]


def test_a_compacted_file_stands_for_what_it_was_made_of() -> None:
    covered = named("0+0.json.gz", "0+40.json.gz", "0+60.json", "0+0-50.parquet", "0+50-100.parquet")
    kept = named("0+0-100.parquet", "0+100.json.gz", "1+0.json.gz", "1+99.json")
    assert newest_cover([*covered, *kept]) == kept
    assert newest_cover([*kept, *reversed(covered)]) == kept
    assert newest_cover(covered) == named("0+0-50.parquet", "0+50-100.parquet")


def test_what_no_compacted_file_has_is_kept() -> None:
    files = named("0+0-50.parquet", "0+40-90.parquet", "0+90.json", "0+95-97.parquet")
    assert newest_cover(files) == files
    other_hour = archive_file("t/year=2024/month=07/day=28/hour=13/t+0+10.json")
    assert other_hour is not None
    assert newest_cover([*named("0+0-50.parquet"), other_hour]) == [*named("0+0-50.parquet"), other_hour]
    assert newest_cover([]) == []


def test_a_compacted_files_name_is_read_again() -> None:
    file = archive_file(f"{HOUR}/{parquet_name('a-b', 7, 5, 1_000)}")
    assert file is not None
    assert (file.partition, file.start, file.end) == (7, 5, 1_000)
