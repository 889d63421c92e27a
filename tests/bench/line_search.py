"""The search for lines that DuckDB would misread: as it is, and with a regular expression.

Ten paired runs, CPU time: ``python -m tests.bench.line_search``.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from statistics import median
from unittest import mock

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from opensea_metrics.producer import sample
from opensea_metrics.sql.language.lowering.records import capitals, malformed
from opensea_metrics.sql.language.lowering.records.malformed import Bytes

RUNS, COPIES = 10, 12
NAMES = ("event_type", "payload", "item", "nft_id", "collection", "slug", "sale_price", "quantity", "maker", "taker")
PATTERN = re.compile(malformed.PATTERN.encode())


def with_pattern(text: Bytes) -> npt.NDArray[np.intp]:
    return np.array([match.start() for match in PATTERN.finditer(text.data)], np.intp)


def seconds(lines: pa.LargeStringArray, places: Callable[[Bytes], npt.NDArray[np.intp]]) -> float:
    """The CPU time of a search with a function in place of :func:`malformed.places`."""
    with mock.patch.object(malformed, "places", places):
        begun = time.process_time()
        capitals.Capitals(NAMES).of(lines)
        return time.process_time() - begun


def main() -> None:
    lines = pa.array([frame.decode() for frame in sample.bundled()] * COPIES, pa.large_string())
    ways = {"as it is": malformed.places, "regular expression": with_pattern}
    times: dict[str, list[float]] = {way: [] for way in ways}
    for run in range(RUNS):
        for way in list(ways)[:: 1 if run % 2 else -1]:
            times[way].append(seconds(lines, ways[way]))
    for way, measured in times.items():
        print(f"{way:20} {lines.nbytes / 1e6 / median(measured):6.0f} MB/s of CPU time")


if __name__ == "__main__":
    main()
