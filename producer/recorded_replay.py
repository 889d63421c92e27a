"""Replays a recording: at other times if wanted, and from where the last replay stopped."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

from opensea_metrics.producer.envelope import Record
from opensea_metrics.producer.recording import Bookmark, Recording, RecordingError, Span
from opensea_metrics.producer.replay import PROGRESS_FRAMES, ReplayCounts, decoded, replay
from opensea_metrics.producer.sinks import Sink, SinkError, now_ms


def span(recording: Recording, progress: Callable[[ReplayCounts], None] = lambda _: None) -> Span:
    """The earliest and latest event time of a recording. Raises RecordingError if it has no events."""
    first, last = None, 0
    for number, frame in enumerate(recording.frames()):
        item = decoded(frame)
        if isinstance(item, Record):
            first = min(item.timestamp_ms, item.timestamp_ms if first is None else first)
            last = max(item.timestamp_ms, last)
        if number % PROGRESS_FRAMES == 0:
            progress(ReplayCounts(number))
    if first is None:
        raise RecordingError(f"There are no events in {recording.path}")
    return Span(first, last)


def shift_to_now(times: Span, speed: float | None, now: int) -> int:
    """Milliseconds to add to event times, so that the newest event has the time at which it is replayed.

    At original speed, the first event's time becomes now. At a higher speed, the first event's time is earlier.
    """
    lasts_ms = (times.last_ms - times.first_ms) / speed if speed is not None else 0
    return now + int(lasts_ms) - times.last_ms


def replay_recording(
    recording: Recording,
    sink: Sink,
    bookmark: Bookmark,
    *,
    resume: bool = False,
    to_now: bool = False,
    speed: float | None = None,
    progress: Callable[[ReplayCounts], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
) -> tuple[ReplayCounts, bool]:
    """Replay a recording and close the sink. Returns the counts of this run, and whether it reached the end.

    The position is saved during the replay and after an early end, so ``resume`` continues after the last safe frame.
    If the process is killed, the next run repeats the frames of the last second. Raises RecordingError
    and the sink's errors.
    """
    try:
        position = bookmark.load() if resume else None
        start = position.frames if position else 0
        if position:
            shift = position.shift_ms
        else:
            shift = shift_to_now(span(recording, progress), speed, now_ms()) if to_now else 0
            bookmark.clear()
        finished = True

        def stops() -> bool:
            nonlocal finished
            finished = finished and not stop()
            return not finished

        counts = ReplayCounts()

        def note(now: ReplayCounts) -> None:
            nonlocal counts
            counts = now
            progress(ReplayCounts(start + now.read, now.written, now.dead, now.skipped))

        counts = replay(
            islice(recording.frames(), start, None),
            sink,
            speed=speed,
            shift_ms=shift,
            flush_seconds=1.0,
            progress=note,
            flushed=lambda safe: bookmark.save(start + safe.read, shift),
            stop=stops,
        )
    except BaseException:
        sink.close(5.0)
        raise
    try:
        sink.close(5.0)
    except SinkError:  # undelivered records are in a file, so they need not be replayed from here
        bookmark.save(start + counts.read, shift)
        raise
    if finished:
        bookmark.clear()
    else:
        bookmark.save(start + counts.read, shift)
    return counts, finished
