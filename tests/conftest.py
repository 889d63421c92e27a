"""Fixtures that all tests share."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import structlog

from tests.parts import kafka

ONE_JVM = (
    "tests/spark_batch/test_damaged_files.py",
    "tests/spark_batch/test_hostile_names.py",
    "tests/spark_batch/test_recompute.py",
    "tests/spark_batch/test_recompute_joins.py",
    "tests/spark_batch/test_recompute_kafka.py",
    "tests/spark_batch/test_recompute_records.py",
    "tests/spark_batch/test_recompute_sessions.py",
    "tests/spark_batch/test_recompute_sources.py",
    "tests/spark_batch/test_recompute_spark.py",
    "tests/spark_batch/test_spark",
    "tests/udfs/test_udf_bridge.py",
    "tests/udfs/test_udf_engines.py",
    "tests/deploy/test_buyers_sellers.py::test_recompute_on_spark",
    "tests/sqltests/test_conformance.py::test_on_spark",
)
"""One worker runs these tests, because a Spark takes 15 s of CPU time until its code is loaded and compiled."""
FIRST = (
    *ONE_JVM,
    "tests/deploy/test_apply.py",
    "tests/deploy/test_sidebyside.py",
)
"""The tests of one worker, and the longest of the other files."""
LAST = "tests/sql/"
"""Short files."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files are first and the short ones are last, so that all workers end at nearly one time."""
    items.sort(key=lambda item: (not item.nodeid.startswith(FIRST), item.nodeid.startswith(LAST)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With ``--dist loadfile``, the tests of ONE_JVM go to one worker, one after the other."""
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    scheduling = LoadFileScheduling(config, log)
    file_of = scheduling._split_scope

    def scope(nodeid: str) -> str:
        return ONE_JVM[0] if nodeid.startswith(ONE_JVM) else str(file_of(nodeid))

    scheduling._split_scope = scope
    return scheduling


@pytest.fixture(autouse=True, scope="session")
def spark_compiles_little() -> None:
    """A Spark that lives for some minutes spends more CPU time on Java's optimising compiler than it saves.

    Without that compiler, Java keeps only 48 MB for compiled code. Spark has more, and Java would drop and compile
    it again and again.
    """
    os.environ.setdefault("SPARK_SUBMIT_OPTS", "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m")


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """Reset logging, because the command configures it for the whole process."""
    yield
    structlog.reset_defaults()


@pytest.fixture(autouse=True, scope="session")
def one_name_for_each_module() -> Iterator[None]:
    """The folders are imported only as parts of opensea_metrics. A class under two names would be two classes."""
    yield
    root = Path(__file__).parents[1]
    folders = ("deploy", "producer", "spark_batch", "sql", "udfs")
    twice = [name for name in folders if (module := sys.modules.get(name)) and root in _parents(module)]
    assert twice == []


def _parents(module: ModuleType) -> tuple[Path, ...]:
    return tuple(Path(str(module.__file__)).parents)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[kafka.Broker]:
    """A real Kafka broker. Skips the test without Java."""
    with kafka.running(tmp_path_factory.mktemp("kafka")) as running:
        yield running
