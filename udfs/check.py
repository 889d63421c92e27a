"""Checks that a function has the same results on every engine.

Tests examples, laws of aggregates and random arguments.
"""

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
    """A case in which an engine and plain Python have different results."""

    function: str
    engine: str
    case: Case
    expected: Any
    got: Any

    def __str__(self) -> str:
        return f"{self.function} of {self.case}: {self.engine} {self.got!r}, Python {self.expected!r}"


def examples(definition: Definition) -> list[str]:
    """The failures of the docstring's examples, as doctest reports them. Empty if all examples are right."""
    names = {**vars(sys.modules[definition.call.__module__]), "aggregate": api.aggregate}
    test = doctest.DocTestParser().get_doctest(
        definition.examples, names, definition.name, definition.place.rpartition(":")[0], 0
    )
    report: list[str] = []
    doctest.DocTestRunner().run(test, out=report.append)
    return report


def cases(definition: Definition, count: int, seed: int = 1) -> list[Case]:
    """Random calls. For an aggregate: random groups with ``count`` rows in total."""
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
    """The violations of ``changelog_safe`` by an aggregate that declares it. A key's older values must have no effect
    if they come before its newest value."""
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
            broken.append(f"{definition.name} is not changelog_safe: {whole} returns {every!r}, not {last!r}")
    return broken


def counts(definition: Definition, row: Row) -> bool:
    """True if an aggregate uses a row: no NULL in a column that does not accept it, and no infinity or NaN."""
    return not any(
        (value is None and not parameter.nullable)
        or (isinstance(value, float) and not math.isfinite(value))
        for parameter, value in zip(definition.parameters, row, strict=True)
    )


def differences(
    definition: Definition, engines: Iterable[UdfEngine], count: int, seed: int = 1
) -> list[EngineDifference]:
    """The cases with random arguments in which the engines differ from plain Python."""
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
    """True for equal values. NaN equals NaN. Any sequence types may be compared, because each engine has its own."""
    match one, other:
        case float(), float():
            return one == other or (math.isnan(one) and math.isnan(other))
        case dict(), list():  # Arrow represents a MAP as a list of pairs
            return same(one, dict(other))
        case list(), list():
            return len(one) == len(other) and all(map(same, one, other))
        case dict(), dict():
            return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return type(one) is type(other) and bool(one == other)
