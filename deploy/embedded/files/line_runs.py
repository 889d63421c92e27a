"""Where consecutive lines of files are: their path, partition and offsets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class LineRun:
    """Lines of a file: ``count`` records of a partition from offset ``first`` on."""

    path: str
    partition: int
    first: int
    count: int


def merged(runs: Sequence[LineRun]) -> Iterator[LineRun]:
    """The runs, with adjacent runs of a file merged into one."""
    current = runs[0]
    for run in runs[1:]:
        if (run.path, run.first) == (current.path, current.first + current.count):
            current = replace(current, count=current.count + run.count)
        else:
            yield current
            current = run
    yield current


def last_lines(runs: Sequence[LineRun], count: int) -> list[LineRun]:
    """The last lines of some runs."""
    kept: list[LineRun] = []
    for run in reversed(runs):
        taken = min(count, run.count)
        if taken:
            kept.append(replace(run, first=run.first + run.count - taken, count=taken))
        count -= taken
    return kept[::-1]
