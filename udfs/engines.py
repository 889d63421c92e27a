"""The engines on which functions are compared. Each computes the plain results of many calls."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa

from opensea_metrics.core.database import open_database
from opensea_metrics.core.definition import Definition, Parameter
from opensea_metrics.core.quoting import quoted, spark_quoted, spark_text, text
from opensea_metrics.core.types import duckdb as duckdb_type
from opensea_metrics.udfs import calls
from opensea_metrics.udfs import duckdb as duckdb_udfs
from opensea_metrics.udfs import spark as spark_udfs
from opensea_metrics.udfs.arrow import array, arrow_type
from opensea_metrics.udfs.ksqldb.jvm import Jvm
from opensea_metrics.udfs.samples import Row, SampleGroup

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Case = Row | SampleGroup


class UdfEngine(Protocol):
    """Computes plain results. ``name`` is used in reports."""

    name: str

    def results(self, definition: Definition, cases: Sequence[Case]) -> list[Any]:
        """The results of one function, in order."""
        ...


def present(folder: Path, ksqldb: Iterable[Path], spark: bool) -> list[UdfEngine]:
    """DuckDB, and if requested the JVM (compiled into ``folder`` against ksqlDB's jars) and Spark."""
    engines: list[UdfEngine] = [DuckDb()]
    if jars := tuple(ksqldb):
        engines.append(JavaBridge(Jvm(jars, folder)))
    if spark:
        engines.append(Spark())
    return engines


def _literal(value: Any, text: Callable[[str], str]) -> str:
    """A constant as SQL. ``text`` writes a string in the engine's SQL."""
    return text(value) if isinstance(value, str) else str(value)


class Python:
    """The plain Python function, called with the rules for NULL and errors."""

    name = "python"

    def results(self, definition: Definition, cases: Sequence[Case]) -> list[Any]:
        """The results. Each group is computed as a whole, because only the other engines split and merge groups."""
        if definition.kind != "aggregate":
            call = calls.guarded(definition)
            return [call(*case) for case in cases if isinstance(case, tuple)]
        values = []
        for case in cases:
            assert isinstance(case, SampleGroup)
            aggregation = calls.Aggregation(definition, case.constants)
            values.append(aggregation.finish(aggregation.partial([r for p in case.parts for r in p])))
        return values


class DuckDb:
    """DuckDB, with the statements that the embedded server writes for a call."""

    name = "duckdb"

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="opensea-metrics-")
        self._connection = open_database(None, Path(self._folder.name))
        duckdb_udfs.register(self._connection)

    def results(self, definition: Definition, cases: Sequence[Case]) -> list[Any]:
        """The results. Groups with the same constants are computed together, in parts that are then merged."""
        if definition.kind != "aggregate":
            rows = [case for case in cases if isinstance(case, tuple)]
            self._load(definition.parameters, [(i, 0, *row) for i, row in enumerate(rows)])
            names = ", ".join(f"c{i}" for i in range(len(definition.parameters)))
            result = self._connection.execute(
                f"SELECT {quoted(definition.name)}({names}) FROM calls ORDER BY id"
            )
            return [row[0] for row in result.fetchall()]
        values: list[Any] = [None] * len(cases)
        groups = [(i, case) for i, case in enumerate(cases) if isinstance(case, SampleGroup)]
        for constants in {group.constants for _, group in groups}:
            chosen = [(i, group) for i, group in groups if group.constants == constants]
            for index, value in self._aggregate(definition, constants, chosen):
                values[index] = value
        return values

    def _aggregate(
        self, definition: Definition, constants: Row, groups: Sequence[tuple[int, SampleGroup]]
    ) -> list[tuple[int, Any]]:
        rows = [
            (index, number, *row)
            for index, group in groups
            for number, part in enumerate(group.parts)
            for row in part or [(None,) * len(definition.parameters)]
        ]
        self._load(definition.parameters, rows)
        native = definition.in_duckdb([_literal(value, text) for value in constants])
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
    """A table with the columns ``id``, ``part`` and ``c0`` …"""
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
        """The results, computed in four threads at once."""
        return self._jvm.run([(definition, case) for case in cases])


class Spark:
    """A local Spark. Groups are not merged, because Spark passes whole groups."""

    name = "spark"

    def __init__(self, session: SparkSession | None = None) -> None:
        """Use a session, or create one. Raises UdfError without pyspark."""
        if session is None:
            session = spark_udfs.local_session()
        self._session = session
        spark_udfs.register(session)

    def results(self, definition: Definition, cases: Sequence[Case]) -> list[Any]:
        """The results, computed through SQL from an Arrow table."""
        if definition.kind == "aggregate":
            return self._groups(definition, cases)
        rows = [(i, 0, *case) for i, case in enumerate(cases) if isinstance(case, tuple)]
        self._load(definition.parameters, rows)
        names = ", ".join(f"c{i}" for i in range(len(definition.parameters)))
        query = f"SELECT id, {spark_quoted(definition.name)}({names}) AS result FROM calls"
        return self._answers(query, len(cases))

    def _groups(self, definition: Definition, cases: Sequence[Case]) -> list[Any]:
        values: list[Any] = []
        empty = (None,) * len(definition.parameters)
        groups = [case for case in cases if isinstance(case, SampleGroup)]
        rows = [
            (index, number, *row)
            for index, group in enumerate(groups)
            for number, row in enumerate([r for part in group.parts for r in part] or [empty])
        ]
        self._load(definition.parameters, rows)
        values = [None] * len(groups)
        names = [f"c{i}" for i in range(len(definition.parameters))]
        for constants in {group.constants for group in groups}:
            chosen = [i for i, group in enumerate(groups) if group.constants == constants]
            literals = [_literal(value, spark_text) for value in constants]
            by_python = f"{spark_quoted(definition.name)}({', '.join([*names, *literals])})", "a"
            partial, finish = definition.in_spark(names, literals, "part", "a") or by_python
            query = (
                f"SELECT id, {finish} AS result FROM (SELECT id, {partial} AS a FROM calls"
                f" WHERE id IN ({', '.join(map(str, chosen))}) GROUP BY id)"
            )
            answers = self._answers(query, len(groups))
            for index in chosen:
                values[index] = answers[index]
        return values

    def _answers(self, query: str, count: int) -> list[Any]:
        values: list[Any] = [None] * count
        for row in self._session.sql(query).toArrow().to_pylist():
            values[row["id"]] = row["result"]
        return values

    def _load(self, parameters: Sequence[Parameter], rows: Sequence[Row]) -> None:
        table = _table(parameters, rows)
        self._session.createDataFrame(table).createOrReplaceTempView("calls")
