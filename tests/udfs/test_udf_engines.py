"""Every function gives the same on every engine, over 10,000 random arguments."""

from __future__ import annotations

import gc
import logging
import os
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from opensea_metrics.core.definition import Definition
from opensea_metrics.udfs import check, engines, registry
from opensea_metrics.udfs import duckdb as udfs_duckdb
from opensea_metrics.udfs.ksqldb.jvm import Jvm
from opensea_metrics.udfs.samples import SampleGroup
from tests.udfs.conftest import OWN

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

COUNT = 10_000


def _functions(own: str) -> list[Definition]:
    before = os.environ.get(registry.VARIABLE)
    os.environ[registry.VARIABLE] = own
    try:
        return list(registry.functions().values())
    finally:
        if before is None:
            del os.environ[registry.VARIABLE]
        else:
            os.environ[registry.VARIABLE] = before


FUNCTIONS = _functions(str(OWN))
ECHOES = _functions(str(OWN / "echoes.py"))


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Random arguments make functions raise thousands of times; the messages are tested elsewhere."""
    logger = logging.getLogger("opensea_metrics.udfs")
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(logging.NOTSET)


def named(definitions: list[Definition]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("definition", definitions, ids=lambda d: d.name)


@named(FUNCTIONS)
def test_examples(definition: Definition) -> None:
    assert check.examples(definition) == []


@named([d for d in FUNCTIONS if d.call.__module__.startswith("opensea_metrics.udfs.")])
def test_shipped_functions_are_documented(definition: Definition) -> None:
    assert definition.description
    assert definition.examples
    assert all(p.description for p in (*definition.parameters, *definition.constants))


@named(FUNCTIONS)
def test_random_arguments_are_worth_something(definition: Definition) -> None:
    """The comparisons below would mean nothing if all results were NULL, or no argument were."""
    cases = check.cases(definition, COUNT)
    results = engines.Python().results(definition, cases)
    if definition.name != "WRONG_TYPE":
        assert sum(result is not None for result in results) > len(cases) / 20
    rows = [r for c in cases for r in ([c] if isinstance(c, tuple) else sum(c.parts, ()))]
    assert any(value is None for row in rows for value in row)
    assert any(isinstance(case, tuple) or len(case.parts[1]) > 1 for case in cases)


@named(FUNCTIONS)
def test_duckdb(definition: Definition, duckdb_engine: engines.DuckDb) -> None:
    assert check.differences(definition, [duckdb_engine], COUNT) == []


@pytest.fixture(scope="module")
def spark_engine(spark: SparkSession) -> engines.Spark:
    return engines.Spark(spark)


@named(ECHOES)
def test_spark(definition: Definition, spark_engine: engines.Spark) -> None:
    assert check.differences(definition, [spark_engine], COUNT) == []


@pytest.fixture(scope="module")
def jvm_results(jvm: Jvm) -> dict[str, list[Any]]:
    """One JVM for all functions, its four threads calling now this and now that one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(registry.VARIABLE, str(OWN))
        wanted = [(d, case) for d in FUNCTIONS for case in check.cases(d, COUNT)]
        # Cases of different functions side by side.
        order = sorted(range(len(wanted)), key=lambda index: index * 7919 % len(wanted))
        results = dict(zip(order, jvm.run([wanted[index] for index in order]), strict=True))
    found: dict[str, list[Any]] = {}
    for index, (definition, _) in enumerate(wanted):
        found.setdefault(definition.name, []).append(results[index])
    return found


@named(FUNCTIONS)
def test_jvm(definition: Definition, jvm_results: dict[str, list[Any]]) -> None:
    cases = check.cases(definition, COUNT)
    expected = engines.Python().results(definition, cases)
    wrong = [
        (case, right, got)
        for case, right, got in zip(cases, expected, jvm_results[definition.name], strict=True)
        if not check.same(right, got) and not (definition.kind == "table" and not right and not got)
    ]
    assert wrong[:5] == []


@named([d for d in FUNCTIONS if d.changelog_safe])
def test_declared_safe_over_changelogs(definition: Definition) -> None:
    assert check.laws(definition, COUNT) == []


def test_a_count_of_values_is_not_safe_over_changelogs() -> None:
    """That the check above finds what it is for."""
    from dataclasses import replace

    (definition,) = (d for d in FUNCTIONS if d.name == "COUNT_DISTINCT_EITHER")
    assert check.laws(replace(definition, changelog_safe=True), 200)


@named([d for d in FUNCTIONS if d.kind == "aggregate"])
def test_parts_in_any_grouping(definition: Definition) -> None:
    """Merging is associative: (a + b) + c = a + (b + c) = all at once."""
    from opensea_metrics.udfs.calls import Aggregation

    for case in check.cases(definition, 3_000):
        assert isinstance(case, SampleGroup)
        made = Aggregation(definition, case.constants)
        a, b, c = (made.partial(part) for part in case.parts)
        left = made.finish(made.merged([made.merged([a, b]), c]))
        right = made.finish(made.merged([a, made.merged([b, c])]))
        assert check.same(left, right)


def test_functions_outlive_their_database() -> None:
    """DuckDB's threads may still call a function when its database is closed, after a query that failed."""
    definition = next(d for d in registry.functions().values() if d.kind == "scalar")
    registered: list[weakref.ref[Any]] = []

    class Connection:
        def create_function(self, name: str, function: Any, *rest: Any, **options: Any) -> None:
            registered.append(weakref.ref(function))

    udfs_duckdb.register_scalar(Connection(), definition)  # type: ignore[arg-type]
    gc.collect()
    assert registered[0]() is not None
