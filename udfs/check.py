"""Whether a function gives the same on every engine: examples, laws of aggregates, random arguments."""

from __future__ import annotations

import doctest
import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import duckdb

from sql.types import BIGINT
from sql.types import duckdb as duckdb_type
from udfs import api, calls
from udfs import duckdb as duckdb_udfs
from udfs.definition import Definition, Parameter
from udfs.samples import Group, Row, Samples

Case = Row | Group


class Engine(Protocol):
    """Computes plain results; ``name`` is for the report."""

    name: str

    def results(self, definition: Definition, cases: Sequence[Case]) -> list[Any]:
        """The results of one function, in order."""
        ...


@dataclass(frozen=True)
class Difference:
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
    found: list[Case] = []
    rows = 0
    while rows < count:
        group = samples.group(60)
        found.append(group)
        rows += 1 + sum(map(len, group.parts))
    return found


def differences(
    definition: Definition, engines: Iterable[Engine], count: int, seed: int = 1
) -> list[Difference]:
    """Where the engines differ from plain Python over random arguments."""
    wanted = cases(definition, count, seed)
    expected = Python().results(definition, wanted)
    return [
        Difference(definition.name, engine.name, case, right, got)
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
        case list(), list():
            return len(one) == len(other) and all(map(same, one, other))
        case dict(), dict():
            return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return type(one) is type(other) and bool(one == other)


class Python:
    """The function itself, under the rules of a call."""

    name = "python"

    def results(self, definition: Definition, cases: Sequence[Case]) -> list[Any]:
        """Groups are computed in one go: parts and merging are for the engines."""
        if definition.kind != "aggregate":
            call = calls.guarded(definition)
            return [call(*case) for case in cases if isinstance(case, tuple)]
        found = []
        for case in cases:
            assert isinstance(case, Group)
            aggregation = calls.Aggregation(definition, case.constants)
            found.append(aggregation.finish(aggregation.partial([r for p in case.parts for r in p])))
        return found


class DuckDb:
    """DuckDB, with the statements that the embedded server makes of a call."""

    name = "duckdb"

    def __init__(self) -> None:
        self._connection = duckdb.connect()
        duckdb_udfs.register(self._connection)

    def results(self, definition: Definition, cases: Sequence[Case]) -> list[Any]:
        """Groups with the same constants are computed together, by parts that are then merged."""
        if definition.kind != "aggregate":
            rows = [case for case in cases if isinstance(case, tuple)]
            self._load("calls", definition.parameters, [(i, 0, *row) for i, row in enumerate(rows)])
            names = ", ".join(f"c{i}" for i in range(len(definition.parameters)))
            result = self._connection.execute(
                f"SELECT {definition.name}({names}) FROM calls ORDER BY id"
            )
            return [row[0] for row in result.fetchall()]
        found: list[Any] = [None] * len(cases)
        groups = [(i, case) for i, case in enumerate(cases) if isinstance(case, Group)]
        for constants in {group.constants for _, group in groups}:
            chosen = [(i, group) for i, group in groups if group.constants == constants]
            for index, value in self._aggregate(definition, constants, chosen):
                found[index] = value
        return found

    def _aggregate(
        self, definition: Definition, constants: Row, groups: Sequence[tuple[int, Group]]
    ) -> list[tuple[int, Any]]:
        rows = [
            (index, number, *row)
            for index, group in groups
            for number, part in enumerate(group.parts)
            for row in part or [(None,) * len(definition.parameters)]
        ]
        self._load("calls", definition.parameters, rows)
        native = duckdb_udfs.filled(definition, [repr(value) for value in constants])
        columns = [
            f"CAST(c{i} AS {duckdb_type(p.type)})" for i, p in enumerate(definition.parameters)
        ]
        partial = native.partial.format(*columns, off="off")
        tidy = native.tidy.format(a="a")
        parts = (
            f"SELECT id, part, {tidy} AS a FROM (SELECT id, part, {partial} AS a FROM calls"
            " GROUP BY id, part)"
        )
        merged = native.merge.format(a="a", src="part")
        whole = f"SELECT id, {tidy} AS a FROM (SELECT id, {merged} AS a FROM ({parts}) GROUP BY id)"
        return self._connection.execute(
            f"SELECT id, {native.finish.format(a='a')} FROM ({whole})"
        ).fetchall()

    def _load(self, table: str, parameters: Sequence[Parameter], rows: Sequence[Row]) -> None:
        """A table of ``id``, ``part``, ``off`` and the columns ``c0`` …"""
        kinds = [("id", BIGINT), ("part", BIGINT)]
        kinds += [(f"c{i}", parameter.type) for i, parameter in enumerate(parameters)]
        columns = ", ".join(
            f"unnest(${i + 1}::{duckdb_type(kind)}[]) AS {name}"
            for i, (name, kind) in enumerate(kinds)
        )
        values = [list(column) for column in zip(*rows, strict=True)]
        self._connection.execute(
            f"CREATE OR REPLACE TEMP TABLE {table} AS"
            f" SELECT *, row_number() OVER () AS off FROM (SELECT {columns})",
            values,
        )
