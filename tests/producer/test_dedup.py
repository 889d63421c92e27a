"""What was seen lately, in bounded memory."""

from __future__ import annotations

import resource

from opensea_metrics.producer import dedup
from opensea_metrics.producer.dedup import Recent


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_seen_within_the_time_and_forgotten_after_twice_it() -> None:
    clock = Clock()
    recent = Recent(10, clock)
    assert not recent.seen("a")
    clock.now += 9
    assert not recent.seen("b")
    clock.now += 9.9  # b is 9.9 s old, a 18.9
    assert recent.seen("b")
    clock.now += 10.1
    assert not recent.seen("a")


def test_a_long_silence_forgets_everything() -> None:
    clock = Clock()
    recent = Recent(10, clock)
    assert not recent.seen("a")
    clock.now += 1_000
    assert not recent.seen("a")
    assert recent.seen("a")


def test_many_distinct_identities_are_told_apart_in_bounded_memory() -> None:
    """More than both tables hold: the latest are known, and memory does not grow."""
    recent = Recent(3_600)
    total = 2 * dedup._MOST + 200_000
    before = 0
    for number in range(total):
        if number == dedup._MOST:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert not recent.seen(("item_sold", number))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 64 * 1024, "KiB; the tables have 2 × 16 MiB, and a third for a moment"
    assert all(
        recent.seen(("item_sold", number)) for number in range(total - dedup._MOST, total, 7)
    )
    assert not recent.seen(("item_sold", 0))
