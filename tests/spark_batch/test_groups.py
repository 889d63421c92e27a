"""Groups of files for lanes."""

from __future__ import annotations

from opensea_metrics.producer.archive.layout import archive_file
from opensea_metrics.spark_batch.groups import for_lanes

MEGA = 1024 * 1024


def grouped(sizes: list[int], lanes: int, even: bool = False, least: int = 0) -> list[list[int]]:
    """The sizes of files in groups. All files are there, in their order."""
    files = [archive_file(f"t+0+{n:010d}.json.gz", size) for n, size in enumerate(sizes)]
    groups = list(for_lanes([file for file in files if file], lanes, even, least))
    assert [file.start for group in groups for file in group] == list(range(len(sizes)))
    return [[file.size for file in group] for group in groups]


def test_groups_become_smaller_towards_the_end() -> None:
    counts = [len(group) for group in grouped([MEGA] * 96, 2)]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] == 24
    assert counts[-2] == 8


def test_even_groups_give_each_lane_as_many_files() -> None:
    assert [len(group) for group in grouped([MEGA] * 48, 2, even=True)] == [12] * 4
    assert [len(group) for group in grouped([MEGA] * 240, 4, even=True)] == [30] * 8
    assert [len(group) for group in grouped([3 * MEGA] * 48, 2, even=True)] == [8] * 6


def test_groups_have_a_least_and_a_greatest_size() -> None:
    assert grouped([], 2) == []
    assert grouped([MEGA] * 4, 4, least=16 * MEGA) == [[MEGA] * 4]
    assert grouped([500 * MEGA, 1, 1], 2) == [[500 * MEGA], [1, 1]]
    assert max(map(len, grouped([16 * MEGA] * 400, 2))) == 2
