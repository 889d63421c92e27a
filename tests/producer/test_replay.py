"""Replays: pace, shift, order, progress, resumption."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from opensea_metrics.producer import envelope
from opensea_metrics.producer.archive.layout import HOUR_MS
from opensea_metrics.producer.archive.writer import ArchiveWriter
from opensea_metrics.producer.envelope import TOPIC, DeadLetter, Record
from opensea_metrics.producer.recorded_replay import replay_recording, shift_to_now, span
from opensea_metrics.producer.recording import Bookmark, KeyedFrame, Recording, RecordingError
from opensea_metrics.producer.replay import ReplayCounts, replay
from opensea_metrics.producer.sinks import ArchiveSink, SinkError
from tests.producer.events import START_MS, event, number_of
from tests.producer.files import files, lines


class ListSink:
    """A sink with room for so many records between polls."""

    def __init__(self, room: int = 10**9) -> None:
        self.records: list[Record] = []
        self.letters: list[DeadLetter] = []
        self.flushes: list[int] = []
        self.closed = False
        self._room = self._left = room

    @property
    def delivered(self) -> int:
        return len(self.records) + len(self.letters)

    queued = 0

    @property
    def dead_letters(self) -> int:
        return len(self.letters)

    def write(self, record: Record) -> bool:
        if self._left == 0:
            return False
        self._left -= 1
        self.records.append(record)
        return True

    def dead(self, letter: DeadLetter) -> bool:
        self.letters.append(letter)
        return True

    def poll(self) -> None:
        self._left = self._room

    def flush(self, timeout: float) -> bool:
        self.flushes.append(self.delivered)
        return True

    def give_up(self) -> None: ...

    def close(self, timeout: float = 30.0) -> None:
        self.closed = True

    @property
    def numbers(self) -> list[int]:
        return [number_of(each.value) for each in self.records]


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds


def frame(number: int) -> bytes:
    each = event(number)
    return f'["1",null,"{each.topic}","{each.kind}",{each.payload.decode()}]'.encode()


def recorded(path: Path, *numbers: int) -> Path:
    with gzip.open(path, "wb") if path.suffix == ".gz" else open(path, "wb") as file:
        for number in numbers:
            file.write(frame(number) + b"\n")
    return path


def test_everything_is_passed_on_in_order_and_counted() -> None:
    sink = ListSink()
    seen: list[ReplayCounts] = []
    control = b'["1","1","t","phx_reply",{}]'
    frames = [frame(3), b"junk", control, frame(1), frame(1)]
    counts = replay(frames, sink, progress=seen.append)
    assert counts == ReplayCounts(read=5, written=3, dead=1, skipped=1, oldest_ms=START_MS + 1)
    assert sink.numbers == [3, 1, 1]
    assert [each.frame for each in sink.letters] == [b"junk"]
    assert sink.flushes == [4]
    assert seen[-1] == counts


def test_a_full_sink_is_waited_for() -> None:
    sink = ListSink(room=3)
    clock = Clock()
    replay(map(frame, range(10)), sink, clock=clock, sleep=clock.sleep)
    assert sink.numbers == list(range(10))


@pytest.mark.parametrize(("speed", "seconds"), [(1.0, 60.0), (10.0, 6.0), (0.5, 120.0)])
def test_speed(speed: float, seconds: float) -> None:
    clock, sink = Clock(), ListSink()
    replay(map(frame, (0, 30_000, 60_000)), sink, speed=speed, clock=clock, sleep=clock.sleep)
    assert clock.now - 100.0 == pytest.approx(seconds, abs=0.01)


def test_holes_in_a_recording_are_not_waited_for() -> None:
    clock, sink = Clock(), ListSink()
    numbers = (0, 10_000, 10_000_000, 10_005_000, 0, 5_000)
    replay(map(frame, numbers), sink, speed=1, clock=clock, sleep=clock.sleep)
    assert clock.now - 100.0 == pytest.approx(20, abs=0.01)
    assert sink.numbers == list(numbers)


def test_it_flushes_while_it_waits() -> None:
    clock, sink = Clock(), ListSink()
    replay(map(frame, (0, 5_000)), sink, speed=1, flush_seconds=1, clock=clock, sleep=clock.sleep)
    assert sink.flushes[:4] == [1, 1, 1, 1]


def test_a_speed_is_positive() -> None:
    with pytest.raises(ValueError, match="positive"):
        replay([frame(1)], ListSink(), speed=0)


def test_event_times_are_shifted_and_payloads_are_not() -> None:
    sink = ListSink()
    replay([frame(5)], sink, shift_ms=7_000)
    (record,) = sink.records
    assert record.timestamp_ms == START_MS + 7_005
    assert json.loads(record.value)["event_time"] == START_MS + 7_005
    assert event(5).payload in record.value


@pytest.mark.parametrize(("speed", "first"), [(1.0, 0), (10.0, -54_000), (None, -60_000)])
def test_shifted_to_now_the_last_event_is_of_the_moment_it_is_sent(
    tmp_path: Path, speed: float | None, first: int
) -> None:
    now = 2_000_000_000_000
    times = span(Recording(recorded(tmp_path / "r.ndjson", 5, 0, 60_000, 9)))
    shift = shift_to_now(times, speed, now)
    assert START_MS + shift - now == first
    takes = 60_000 / speed if speed else 0
    assert START_MS + 60_000 + shift == now + takes


def test_a_recording_is_read_compressed_or_not(tmp_path: Path) -> None:
    for name in ("a.ndjson", "a.ndjson.gz"):
        path = recorded(tmp_path / name, *range(3_000))
        found = Recording(path)
        frames = list(found.frames())
        assert frames == [frame(number) for number in range(3_000)]
        assert found.read_bytes == found.total_bytes == path.stat().st_size


def test_blank_lines_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "r").write_bytes(b"\n\n[1]\r\n  \n[2]\n")
    assert list(Recording(tmp_path / "r").frames()) == [b"[1]", b"[2]"]


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"Cannot read .*nope: No such file"):
        Recording(tmp_path / "nope")
    with pytest.raises(RecordingError, match="no archive of OpenSeaRawEvents"):
        Recording(tmp_path)
    path = recorded(tmp_path / "r.gz", *range(1_000))
    path.write_bytes(path.read_bytes()[:-30])
    recording = Recording(path)
    assert 0 < len(list(recording.frames())) < 1_000
    assert recording.damaged[str(path)].reason == "its end is missing"
    (tmp_path / "empty.ndjson").write_bytes(b"junk\n")
    with pytest.raises(RecordingError, match="no events"):
        span(Recording(tmp_path / "empty.ndjson"))


def archived(
    root: Path, numbers: Iterator[int] | range, partitions: int = 3, step: int = 1
) -> None:
    with ArchiveWriter(root, TOPIC, partitions, roll=400) as writer:
        for number in numbers:
            record = envelope.decode(frame(number * step))
            assert isinstance(record, Record)
            writer.write(record.key, record.timestamp_ms, record.value)


def test_an_archive_is_merged_by_event_time_and_copied_exactly(tmp_path: Path) -> None:
    archived(tmp_path / "from", range(6_000), step=2_000)  # over three hours and a bit
    sink = ListSink()
    replay(Recording(tmp_path / "from").frames(), sink)
    assert sink.numbers == [number * 2_000 for number in range(6_000)]
    assert [each.value for each in sink.records] == [
        event(number * 2_000).record for number in range(6_000)
    ]


def test_an_archive_of_shifted_events_keeps_their_times(tmp_path: Path) -> None:
    target = ArchiveSink(tmp_path)
    replay(map(frame, range(10)), target, shift_ms=5 * HOUR_MS)
    target.close()
    sink = ListSink()
    replay(Recording(tmp_path).frames(), sink)
    assert sink.records[0].timestamp_ms == START_MS + 5 * HOUR_MS


class Stop:
    """Says stop after so many looks."""

    def __init__(self, after: int) -> None:
        self.left = after

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


def run(
    tmp_path: Path, source: Path, stop_after: int = 10**9, **options: object
) -> tuple[ReplayCounts, bool]:
    found = Recording(source)
    return replay_recording(
        found,
        ArchiveSink(tmp_path / "to"),
        Bookmark(tmp_path / "marks", found, "to"),
        stop=Stop(stop_after),
        **options,  # type: ignore[arg-type]
    )


def test_a_stopped_replay_goes_on_without_a_gap_or_a_repeat(tmp_path: Path) -> None:
    source = recorded(tmp_path / "r.ndjson.gz", *range(5_000))
    stops = 0
    for after in (0, 1, 700, 1_499, 10**9):
        _, finished = run(tmp_path, source, after, resume=True)
        stops += not finished
    assert stops == 4
    assert sorted(map(number_of, lines(tmp_path / "to", TOPIC))) == list(range(5_000))
    assert list((tmp_path / "marks").iterdir()) == [], "a finished replay leaves no position"


def test_without_resume_it_begins_again(tmp_path: Path) -> None:
    source = recorded(tmp_path / "r.ndjson", *range(100))
    assert run(tmp_path, source, 50) == (ReplayCounts(50, 50, oldest_ms=START_MS), False)
    assert run(tmp_path, source) == (ReplayCounts(100, 100, oldest_ms=START_MS), True)


def test_the_shift_is_kept_when_it_goes_on(tmp_path: Path) -> None:
    source = recorded(tmp_path / "r.ndjson", *range(100))
    run(tmp_path, source, 50, to_now=True)
    run(tmp_path, source, resume=True, to_now=True)
    times = [json.loads(line)["event_time"] for line in lines(tmp_path / "to", TOPIC)]
    assert sorted(times) == list(range(min(times), min(times) + 100))


def test_a_source_that_changed_cannot_go_on(tmp_path: Path) -> None:
    source = recorded(tmp_path / "r.ndjson", *range(100))
    run(tmp_path, source, 50)
    recorded(source, *range(101))
    with pytest.raises(RecordingError, match="without --resume"):
        run(tmp_path, source, resume=True)
    ArchiveSink(tmp_path / "to").close()  # the sink was let go


def test_a_killed_replay_repeats_at_most_what_was_not_noted(tmp_path: Path) -> None:
    """A position is noted only when all before it is safe."""
    found = Recording(recorded(tmp_path / "r.ndjson", *range(0, 30_000, 300)))
    mark = Bookmark(tmp_path / "marks", found, "to")

    class Killed(BaseException):
        pass

    class Dying(ListSink):
        def flush(self, timeout: float) -> bool:
            if self.flushes:
                raise Killed
            return super().flush(timeout)

    sink = Dying()
    with pytest.raises(Killed):
        replay_recording(found, sink, mark, speed=10)
    assert sink.closed
    position = mark.load()
    assert position is not None
    assert position.frames == sink.flushes[0]


def test_what_could_not_be_delivered_is_in_a_file_and_not_repeated(tmp_path: Path) -> None:
    class Failing(ListSink):
        def close(self, timeout: float = 30.0) -> None:
            raise SinkError("40 records are in a file")

    found = Recording(recorded(tmp_path / "r.ndjson", *range(100)))
    mark = Bookmark(tmp_path / "marks", found, "to")
    with pytest.raises(SinkError, match="in a file"):
        replay_recording(found, Failing(), mark, stop=Stop(60))
    position = mark.load()
    assert position is not None
    assert position.frames == 60


def test_a_damaged_position_is_told(tmp_path: Path) -> None:
    source = recorded(tmp_path / "r.ndjson", *range(100))
    run(tmp_path, source, 50)
    (path,) = (tmp_path / "marks").iterdir()
    path.write_bytes(b"{")
    with pytest.raises(RecordingError, match="Delete it"):
        run(tmp_path, source, resume=True)


def test_keys_beside_the_values_are_replayed_and_kept(tmp_path: Path) -> None:
    """The archive's own keys, where a file of keys says them; no other file of keys is written."""
    archived(tmp_path / "from", range(6), partitions=1)
    (values,) = files(tmp_path / "from", TOPIC)
    keys = values.with_name(values.name.replace(".json.gz", ".keys.json"))
    keys.write_bytes(b'"a"\n"b"\nnull\n"d"\n"e"\n"f"\n')
    recording = Recording(tmp_path / "from")
    target = ArchiveSink(tmp_path / "to", partitions=1)
    replay(recording.frames(), target)
    target.close()
    (copied,) = files(tmp_path / "to", TOPIC)
    written = gzip.decompress(copied.with_name(copied.name.replace(".json", ".keys.json")).read_bytes())
    (from_value,) = {record.key for record in map(envelope.decode, [frame(2)]) if isinstance(record, Record)}
    assert written == b'"a"\n"b"\n"%s"\n"d"\n"e"\n"f"\n' % str(from_value).encode()
    assert list(lines(tmp_path / "to", TOPIC)) == list(lines(tmp_path / "from", TOPIC))
    again = [each.key if isinstance(each, KeyedFrame) else None for each in Recording(tmp_path / "to").frames()]
    assert again == ["a", "b", from_value, "d", "e", "f"]
    keys.unlink()
    plain = ArchiveSink(tmp_path / "plain", partitions=1)
    replay(Recording(tmp_path / "from").frames(), plain)
    plain.close()
    assert not list((tmp_path / "plain").rglob("*.keys.*"))
