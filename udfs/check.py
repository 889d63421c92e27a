"""Checks that a function has the same results on every engine: examples, laws of aggregates, random arguments."""

from __future__ import annotations

import doctest
import math
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from opensea_metrics.core.definition import Definition
from opensea_metrics.udfs import api
from opensea_metrics.udfs.engines import Case, Python, UdfEngine
from opensea_metrics.udfs.samples import Row, SampleGroup, Samples


@dataclass(frozen=True)
class EngineDifference:
    """A case on which an engine and plain Python do not agree."""

    function: str
    engine: str
    case: Case
    expected: Any
    got: Any

    def __str__(self) -> str:
        return f"{self.function} of {self.case}: {self.engine} {self.got!r}, Python {self.expected!r}"


def examples(definition: Definition) -> list[str]:
    """What the docstring's examples get wrong, as doctest reports it; empty if they are right."""
    names = {**vars(sys.modules[definition.call.__module__]), "aggregate": api.aggregate}
    test = doctest.DocTestParser().get_doctest(
        definition.examples, names, definition.name, definition.place.rpartition(":")[0], 0
    )
    report: list[str] = []
    doctest.DocTestRunner().run(test, out=report.append)
    return report


def cases(definition: Definition, count: int, seed: int = 1) -> list[Case]:
    """Random calls; of an aggregate random groups, with as many rows in all."""
    samples = Samples(definition, seed)
    if definition.kind != "aggregate":
        return [samples.row() for _ in range(count)]
    chosen: list[Case] = []
    rows = 0
    while rows < count:
        group = samples.group(60)
        chosen.append(group)
        rows += 1 + sum(map(len, group.parts))
    return chosen


def laws(definition: Definition, count: int, seed: int = 1) -> list[str]:
    """What an aggregate that is declared safe over changelogs gets wrong: seeing a key's older values
    before its newest must change nothing."""
    if not definition.changelog_safe:
        return []
    broken = []
    for case in cases(definition, count, seed):
        assert isinstance(case, SampleGroup)
        whole = [row for part in case.parts for row in part if counts(definition, row)]
        newest = list({row[0]: row for row in whole}.values())
        every, last = (
            Python().results(definition, [SampleGroup(case.constants, (tuple(rows),))])[0]
            for rows in (whole, newest)
        )
        if not same(every, last):
            broken.append(f"{definition.name} is not changelog_safe: {whole} gives {every!r}, not {last!r}")
    return broken


def counts(definition: Definition, row: Row) -> bool:
    """Whether an aggregate looks at a row: no NULL where it takes none, nothing infinite or NaN."""
    return not any(
        (value is None and not parameter.nullable)
        or (isinstance(value, float) and not math.isfinite(value))
        for parameter, value in zip(definition.parameters, row, strict=True)
    )


def differences(
    definition: Definition, engines: Iterable[UdfEngine], count: int, seed: int = 1
) -> list[EngineDifference]:
    """Where the engines differ from plain Python over random arguments."""
    wanted = cases(definition, count, seed)
    expected = Python().results(definition, wanted)
    return [
        EngineDifference(definition.name, engine.name, case, right, got)
        for engine in engines
        for case, right, got in zip(
            wanted, expected, engine.results(definition, wanted), strict=True
        )
        if not same(right, got) and not (definition.kind == "table" and not right and not got)
    ]


def same(one: Any, other: Any) -> bool:
    """Equal values; NaN equals NaN, and a list is a list on every engine."""
    match one, other:
        case float(), float():
            return one == other or (math.isnan(one) and math.isnan(other))
        case dict(), list():  # Arrow's form of a MAP
            return same(one, dict(other))
        case list(), list():
            return len(one) == len(other) and all(map(same, one, other))
        case dict(), dict():
            return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return type(one) is type(other) and bool(one == other)
