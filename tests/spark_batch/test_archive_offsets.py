"""Gaps and overlaps of offsets."""

from __future__ import annotations

import random

import pytest

from opensea_metrics.producer.archive.layout import HOUR_MS, ArchiveFile
from opensea_metrics.spark_batch.upkeep.offsets import Counted, breaks


def files(*given: tuple[int, int, int]) -> list[Counted]:
    """Files of one partition by hour, start and number of records."""
    return [
        Counted(ArchiveFile(hour * HOUR_MS, 0, start, f"{hour}/{start}", 1, "json.gz"), records)
        for hour, start, records in given
    ]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], []),
        ([(1, 500, 7)], []),
        ([(1, 0, 10), (1, 10, 5), (2, 15, 1)], []),
        ([(1, 0, 10), (1, 12, 5)], [("gap", 10, 12)]),
        ([(1, 0, 10), (2, 12, 5), (2, 17, 3), (3, 30, 1)], [("gap", 10, 12), ("gap", 20, 30)]),
        ([(1, 0, 10), (1, 8, 5), (1, 13, 2)], [("overlap", 8, 10)]),
        ([(1, 0, 10), (1, 3, 4), (1, 10, 2)], [("overlap", 3, 7)]),
        ([(1, 0, 10), (1, 0, 10), (1, 10, 2)], [("overlap", 0, 10)]),
        # Another hour has them as well: two more records than offsets.
        ([(1, 0, 10), (2, 8, 5), (2, 13, 2)], [("overlap", 11, 13)]),
        ([(1, 0, 10), (2, 0, 10), (2, 10, 2)], [("overlap", 0, 10)]),
        # Records of two hours alternate: 90, 91, 93, 96 and 92, 94, 95.
        ([(1, 90, 4), (2, 92, 3), (2, 97, 10)], []),
        ([(1, 90, 4), (2, 92, 3), (2, 99, 10)], [("gap", 97, 99)]),
    ],
)
def test_breaks(given: list[tuple[int, int, int]], expected: list[tuple[str, int, int]]) -> None:
    assert [(each.kind, each.start, each.end) for each in breaks(files(*given))] == expected


def test_a_sink_by_event_time_gives_none() -> None:
    """Records of two hours, some late, committed all together every now and then."""
    rng = random.Random(1)
    missed = 0
    for _ in range(200):
        made: list[tuple[int, int, int]] = []
        committed = offset = 0
        for _ in range(rng.randrange(2, 8)):
            open_: dict[int, list[int]] = {}
            committed = offset
            for _ in range(rng.randrange(1, 60)):
                open_.setdefault(rng.choice((1, 2)), []).append(offset)
                offset += 1
            made += [(hour, offsets[0], len(offsets)) for hour, offsets in open_.items()]
        assert list(breaks(files(*made))) == []
        # A file that is lost is missed, but for the first one and those of the last commit.
        lost = rng.choice([each for each in made if each[1] < committed])
        if lost[1] > 0:
            made.remove(lost)
            found = list(breaks(files(*made)))
            assert sum(each.end - each.start for each in found if each.kind == "gap") >= lost[2]
            missed += 1
    assert missed > 100
