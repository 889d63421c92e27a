"""Text files as streams of lines, which can be read a second time."""

from __future__ import annotations

import gzip
import random
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from opensea_metrics.producer.archive import lines, text
from opensea_metrics.producer.archive.errors import ArchiveError
from opensea_metrics.producer.archive.layout import HOUR_MS, ArchiveFile, archive_file
from opensea_metrics.producer.archive.lines import line_blocks
from opensea_metrics.producer.archive.location import Archive, open_archive
from opensea_metrics.spark_batch import chunk_reading
from opensea_metrics.spark_batch.line_streams import FileLineSource, LineStream
from opensea_metrics.sql.language.lowering.records import utf8
from opensea_metrics.sql.language.lowering.records.capitals import Capitals
from tests import oracle
from tests.spark_batch.archives import START, add, compare, event, recomputed, records_of, request
from tests.spark_batch.places import TOPIC


@pytest.fixture
def source(tmp_path: Path) -> Archive:
    (tmp_path / TOPIC).mkdir()
    return open_archive(tmp_path / TOPIC)


def written(source: Archive, start: int, content: list[bytes]) -> ArchiveFile:
    path = Path(source.root) / f"{TOPIC}+0+{start:010d}.json.gz"
    path.write_bytes(gzip.compress(b"\n".join(content)))
    file = archive_file(str(path), path.stat().st_size)
    assert file is not None
    return file


NO_NAMES = Capitals(())


def texts_of(rows: Iterator[pa.RecordBatch] | pa.RecordBatchReader) -> list[tuple[int, str]]:
    return [(row["_off"], row["line"].rstrip("\n")) for batch in rows for row in batch.to_pylist()]


@pytest.mark.parametrize("size", [1, 7, 64, 1_000])
def test_lines_are_the_same_whatever_a_block_holds(
    source: Archive, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text, "_TEXT", size)
    monkeypatch.setattr(lines, "_SIZE", 3 * size)
    chance = random.Random(size)
    content = [
        chance.choice([b"x", "é".encode(), b"{}", b"ab\xff"]) * chance.choice([0, 1, 5, 70, 900])
        for _ in range(300)
    ]
    found = [
        row
        for piece in line_blocks(source, written(source, 40, content))
        for row in texts_of(iter(piece.batches(NO_NAMES)))
    ]
    expected = [utf8.decoded(line) for line in content if line]
    assert found == list(enumerate(expected, 40))


def test_blocks_tell_whether_a_line_has_the_name_of_the_event_time(source: Archive) -> None:
    content = [b'{"event_time": 1}' if 28 <= number < 32 else b'{"event_timestamp": 1}' for number in range(60)]
    long_lines = [line + b" " * 100_000 for line in content]  # a block holds about 20 of them
    timed = {
        row["_off"]: row["_timed"]
        for piece in line_blocks(source, written(source, 0, long_lines))
        for batch in piece.batches(NO_NAMES)
        for row in batch.to_pylist()
    }
    assert all(timed[number] for number in range(28, 32))
    assert not any(timed[number] for number in (*range(5), *range(55, 60)))


def test_streams_share_out_the_lines_and_can_be_read_again(source: Archive) -> None:
    files = [written(source, n * 10_000, [b"%d" % (n * 10_000 + i) for i in range(7_000)]) for n in range(3)]
    finished: list[ArchiveFile] = []
    texts = FileLineSource(source, files, finished.append)
    found = []
    while not texts.is_read():
        stream = LineStream(texts, 8_000)
        begun = stream.reader(NO_NAMES)
        begun.read_next_batch()  # and no more, as of a query that fails
        del begun
        whole = texts_of(stream.reader(NO_NAMES))
        assert texts_of(stream.reader(NO_NAMES)) == whole
        assert stream.sample is not None
        assert int(stream.sample.split()[0]) == whole[0][0]
        found += whole
    assert found == [(n * 10_000 + i, str(n * 10_000 + i)) for n in range(3) for i in range(7_000)]
    assert finished == files


def test_what_a_reader_fails_of_is_told(source: Archive) -> None:
    files = [written(source, 0, [b"1"] * 10), written(source, 10, [b"2"])]
    Path(files[1].path).unlink()
    stream = LineStream(FileLineSource(source, files, lambda file: None), 1_000)
    with pytest.raises(Exception, match="Cannot read"):
        stream.reader(NO_NAMES).read_all()
    assert isinstance(stream.error, ArchiveError)


@pytest.mark.parametrize("at", [0, 2_700, 5_999])
def test_a_line_that_is_no_json_in_any_chunk(
    tmp_path: Path, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The chunk is read again then, and nothing is counted twice."""
    monkeypatch.setattr(chunk_reading, "_ROWS", 1_000)
    monkeypatch.setattr(lines, "_SIZE", 64 * 1024)
    topic = tmp_path / TOPIC
    events = [event(START + n, f"slug-{n % 7}", f"n/{n % 501}") for n in range(6_000)]
    events[at] = b'{"event_time":1, no JSON'
    for first in range(0, 6_000, 1_500):
        add(topic, START, first, events[first : first + 1_500])
    tables, _, counts = recomputed(topic, request("1 hour"))
    assert (counts.read, counts.set_aside, dict(counts.reasons)) == (6_000, 1, {"not JSON": 1})
    compare(tables, "1_HOUR", oracle.compute(records_of(topic), HOUR_MS))


@pytest.mark.parametrize(
    ("content", "is_stamped"),
    [
        ([b'{"event_time":1}', b"", b'{"event_time":2}'], True),
        ([b'{"event_time":1}', b'{"event":"x"}'], False),
    ],
)
def test_a_stream_is_stamped_if_all_lines_of_its_sample_are(
    source: Archive, content: list[bytes], is_stamped: bool
) -> None:
    stream = LineStream(FileLineSource(source, [written(source, 0, content)], lambda file: None), 10)
    assert stream.is_stamped == is_stamped
