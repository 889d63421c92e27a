"""The cases of tests/conformance: right on each engine, or refused there by the name of the feature.

If KSQLDB_URL is set, all cases also run on that server, where nothing may be refused.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.sqltests import cases, runner
from opensea_metrics.deploy.sqltests.cases import Case
from opensea_metrics.deploy.sqltests.embedded import EmbeddedTarget
from opensea_metrics.deploy.sqltests.evaluator import Evaluator
from opensea_metrics.deploy.sqltests.server import ServerTarget
from opensea_metrics.deploy.sqltests.targets import Target
from opensea_metrics.sql.language.functions.library import BUILT_IN
from opensea_metrics.sql.language.project.project import Project

FOLDER = Path(__file__).parents[1] / "conformance"
CASES = [case for path in sorted(FOLDER.glob("*.sql")) for case in cases.load(path, FOLDER, {})]
each_case = pytest.mark.parametrize(
    "case", [pytest.param(case, id=f"{Path(case.place.file).stem}: {case.name}") for case in CASES]
)


def project() -> Project:
    raise AssertionError("no case of this folder applies migrations")


@pytest.fixture(scope="module")
def evaluator() -> Iterator[Evaluator]:
    with closing(Evaluator()) as opened:
        yield opened


@pytest.fixture(scope="module")
def embedded() -> Iterator[Target]:
    target = EmbeddedTarget()
    yield target
    target.close()


@pytest.fixture(scope="module")
def spark(evaluator: Evaluator) -> Target:
    """A Spark on two threads of this machine."""
    if importlib.util.find_spec("pyspark") is None:
        pytest.skip("pyspark is not installed")
    if shutil.which("java") is None:
        pytest.skip("Spark needs Java")
    from opensea_metrics.deploy.sqltests.spark import SparkTarget
    from opensea_metrics.spark_batch.settings import BatchSettings
    from opensea_metrics.spark_batch.spark_session import open_session

    return SparkTarget(evaluator, open_session(BatchSettings(spark_master="local[2]"), None))


@pytest.fixture(scope="module")
def ksqldb() -> Target:
    if not (url := os.environ.get("KSQLDB_URL")):
        pytest.skip("KSQLDB_URL is not set")
    return ServerTarget(KsqlClient(url), patience=60)


@each_case
def test_on_the_embedded_engine(embedded: Target, evaluator: Evaluator, case: Case) -> None:
    failure = runner.run(case, embedded, project, evaluator).failure
    assert failure is None or failure.feature is not None, failure


@pytest.mark.slow
@each_case
def test_on_spark(spark: Target, evaluator: Evaluator, case: Case) -> None:
    failure = runner.run(case, spark, project, evaluator).failure
    assert failure is None or failure.feature is not None, failure


@pytest.mark.slow
@each_case
def test_on_ksqldb(ksqldb: Target, evaluator: Evaluator, case: Case) -> None:
    assert runner.run(case, ksqldb, project, evaluator).failure is None


def test_each_aggregate_and_table_function_has_a_case() -> None:
    texts = " ".join(step.text for case in CASES for step in case.steps)
    named = {name for name, function in BUILT_IN.items() if function.kind in ("aggregate", "table")}
    assert {name for name in named if f"{name}(" not in texts} == set()
