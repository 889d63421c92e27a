"""Whether a function gives the same on every engine: examples, laws of aggregates, random arguments."""

from __future__ import annotations

import doctest
import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import duckdb
import pyarrow as pa

from sql.types import duckdb as duckdb_type
from udfs import api, calls
from udfs import duckdb as duckdb_udfs
from udfs import spark as spark_udfs
from udfs.arrow import array, arrow_type
from udfs.definition import Definition, Parameter
from udfs.ksqldb.jvm import Jvm
from udfs.samples import Group, Row, Samples

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

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


def laws(definition: Definition, count: int, seed: int = 1) -> list[str]:
    """What an aggregate that is declared safe over changelogs gets wrong: seeing a key's older values
    before its newest must change nothing."""
    if not definition.changelog_safe:
        return []
    found = []
    for case in cases(definition, count, seed):
        assert isinstance(case, Group)
        whole = [row for part in case.parts for row in part if counts(definition, row)]
        newest = list({row[0]: row for row in whole}.values())
        every, last = (
            Python().results(definition, [Group(case.constants, (tuple(rows),))])[0]
            for rows in (whole, newest)
        )
        if not same(every, last):
            found.append(f"{definition.name} is not changelog_safe: {whole} gives {every!r}, not {last!r}")
    return found


def counts(definition: Definition, row: Row) -> bool:
    """Whether an aggregate looks at a row: no NULL where it takes none, nothing infinite or NaN."""
    return not any(
        (value is None and not parameter.nullable)
        or (isinstance(value, float) and not math.isfinite(value))
        for parameter, value in zip(definition.parameters, row, strict=True)
    )


def engines(folder: Path, ksqldb: Iterable[Path], spark: bool) -> list[Engine]:
    """DuckDB, and on request the JVM (compiled into ``folder`` against ksqlDB's jars) and Spark."""
    made: list[Engine] = [DuckDb()]
    if jars := tuple(ksqldb):
        made.append(JavaBridge(Jvm(jars, folder)))
    if spark:
        made.append(Spark())
    return made


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
        case dict(), list():  # Arrow's form of a MAP
            return same(one, dict(other))
        case list(), list():
            return len(one) == len(other) and all(map(same, one, other))
        case dict(), dict():
            return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return type(one) is type(other) and bool(one == other)


def _literal(value: Any, quote: str = "''") -> str:
    """A constant as SQL, ``quote`` being how a quote is written in a text."""
    return "'" + value.replace("'", quote) + "'" if isinstance(value, str) else str(value)


def _spark_literal(value: Any) -> str:
    """A constant as Spark's SQL, where a backslash escapes."""
    return _literal(value.replace("\\", "\\\\") if isinstance(value, str) else value, "\\'")


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
            self._load(definition.parameters, [(i, 0, *row) for i, row in enumerate(rows)])
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
        self._load(definition.parameters, rows)
        native = duckdb_udfs.filled(definition, [_literal(value) for value in constants])
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

    def _load(self, parameters: Sequence[Parameter], rows: Sequence[Row]) -> None:
        self._connection.register("arrived", _table(parameters, rows))
        self._connection.execute(
            "CREATE OR REPLACE TEMP TABLE calls AS"
            " SELECT *, row_number() OVER () AS off FROM arrived"
        )
        self._connection.unregister("arrived")


def _table(parameters: Sequence[Parameter], rows: Sequence[Row]) -> pa.Table:
    """``id``, ``part`` and the columns ``c0`` …"""
    kinds = [("id", pa.int64()), ("part", pa.int64())]
    kinds += [(f"c{i}", arrow_type(p.type)) for i, p in enumerate(parameters)]
    columns = zip(*rows, strict=True)
    return pa.table({n: array(column, kind) for (n, kind), column in zip(kinds, columns, strict=True)})


class JavaBridge:
    """The generated classes and CPython in a JVM."""

    name = "jvm"

    def __init__(self, jvm: Jvm) -> None:
        self._jvm = jvm

    def results(self, definition: Definition, cases: Sequence[Case]) -> list[Any]:
        """From four threads at once."""
        return self._jvm.run([(definition, case) for case in cases])


class Spark:
    """A local Spark, in which groups are not merged: Spark hands over whole ones."""

    name = "spark"

    def __init__(self, session: SparkSession | None = None) -> None:
        """Takes a session, or makes one. Raises UdfError without pyspark."""
        if session is None:
            session = spark_udfs.local_session()
        self._session = session
        spark_udfs.register(session)

    def results(self, definition: Definition, cases: Sequence[Case]) -> list[Any]:
        """Through SQL, from a table of Arrow's."""
        if definition.kind == "aggregate":
            return self._groups(definition, cases)
        rows = [(i, 0, *case) for i, case in enumerate(cases) if isinstance(case, tuple)]
        self._load(definition.parameters, rows)
        names = ", ".join(f"c{i}" for i in range(len(definition.parameters)))
        query = f"SELECT id, {definition.name}({names}) AS result FROM calls"
        return self._answers(query, len(cases))

    def _groups(self, definition: Definition, cases: Sequence[Case]) -> list[Any]:
        found: list[Any] = []
        empty = (None,) * len(definition.parameters)
        groups = [case for case in cases if isinstance(case, Group)]
        rows = [
            (index, number, *row)
            for index, group in enumerate(groups)
            for number, row in enumerate([r for part in group.parts for r in part] or [empty])
        ]
        self._load(definition.parameters, rows)
        found = [None] * len(groups)
        names = "".join(f"c{i}, " for i in range(len(definition.parameters)))
        for constants in {group.constants for group in groups}:
            chosen = [i for i, group in enumerate(groups) if group.constants == constants]
            arguments = (names + ", ".join(map(_spark_literal, constants))).rstrip(", ")
            query = (
                f"SELECT id, {definition.name}({arguments}) AS result FROM calls"
                f" WHERE id IN ({', '.join(map(str, chosen))}) GROUP BY id"
            )
            answers = self._answers(query, len(groups))
            for index in chosen:
                found[index] = answers[index]
        return found

    def _answers(self, query: str, count: int) -> list[Any]:
        found: list[Any] = [None] * count
        for row in self._session.sql(query).toArrow().to_pylist():
            found[row["id"]] = row["result"]
        return found

    def _load(self, parameters: Sequence[Parameter], rows: Sequence[Row]) -> None:
        table = _table(parameters, rows)
        self._session.createDataFrame(table).createOrReplaceTempView("calls")
