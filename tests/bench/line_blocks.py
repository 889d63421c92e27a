"""Blocks of lines in memory that is used again, and in new memory for each block.

Ten paired runs over an archive of sample events, CPU time: ``python -m tests.bench.line_blocks``.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from unittest import mock

from opensea_metrics.producer.archive import lines
from opensea_metrics.producer.archive.buffers import Buffers
from opensea_metrics.producer.archive.location import Archive, open_archive
from opensea_metrics.producer.sample import write_sample
from opensea_metrics.sql.language.lowering.records.capitals import Capitals
from tests.bench.line_search import NAMES

RUNS, EVENTS = 10, 100_000


def new(buffers: Buffers, size: int) -> memoryview:
    return memoryview(bytearray(size))


def seconds(archive: Archive, take: Callable[[Buffers, int], memoryview]) -> float:
    """The CPU time of reading an archive as batches, with a function in place of :meth:`Buffers.take`."""
    names = Capitals(NAMES)
    with mock.patch.object(Buffers, "take", take):
        begun = time.process_time()
        for file in archive.files():
            for block in lines.line_blocks(archive, file):
                block.batches(names)
        return time.process_time() - begun


def main() -> None:
    ways = {"used again": Buffers.take, "new": new}
    times: dict[str, list[float]] = {way: [] for way in ways}
    with tempfile.TemporaryDirectory() as folder:
        write_sample(Path(folder), EVENTS)
        archive = open_archive(Path(folder) / "topics/OpenSeaRawEvents")
        for run in range(RUNS):
            for way in list(ways)[:: 1 if run % 2 else -1]:
                times[way].append(seconds(archive, ways[way]))
    ratios = [new / again for again, new in zip(*times.values(), strict=True)]
    print(f"reading {EVENTS:,} events as batches: new memory takes {median(ratios):.2f} times the CPU")


if __name__ == "__main__":
    main()
