"""Fixtures that all tests share."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import structlog

from tests.parts import kafka


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The short files of tests/sql are last, so that two workers end at nearly the same time."""
    items.sort(key=lambda item: item.nodeid.startswith("tests/sql/"))


@pytest.fixture(autouse=True, scope="session")
def spark_compiles_little() -> None:
    """A Spark that lives for some minutes spends more CPU time on Java's optimising compiler than it saves."""
    os.environ.setdefault("SPARK_SUBMIT_OPTS", "-XX:TieredStopAtLevel=1")


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
