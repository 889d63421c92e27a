"""Engines for the tests: a JVM with the generated classes, a local Spark. Each is skipped with the
reason where its parts are missing."""

from __future__ import annotations

import importlib.util
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from opensea_metrics.core.definition import UdfError
from opensea_metrics.udfs import engines, registry
from opensea_metrics.udfs.ksqldb.jvm import Jvm
from tests.udfs import jars

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

HERE = Path(__file__).parent
OWN = HERE / "own"


@pytest.fixture(autouse=True)
def log_level_as_it_was() -> Iterator[None]:
    """``udfs test`` silences the functions' log for its process."""
    logger = logging.getLogger("opensea_metrics.udfs")
    level = logger.level
    yield
    logger.setLevel(level)


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The functions of own/echoes.py are known."""
    monkeypatch.setenv(registry.VARIABLE, str(OWN / "echoes.py"))
    return OWN / "echoes.py"


@pytest.fixture(scope="session")
def ksqldb_classes(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """ksqlDB's jars (folders in $KSQLDB_JARS, separated as in PATH), or stand-ins."""
    try:
        return jars.ksqldb_classes(tmp_path_factory.mktemp("ksqldb"))
    except UdfError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def jvm(ksqldb_classes: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jvm]:
    """The generated classes of all functions, shipped ones and those of own/."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(registry.VARIABLE, str(OWN))
        yield Jvm(ksqldb_classes, tmp_path_factory.mktemp("classes"))


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    """A local Spark that knows the shipped functions and those of own/echoes.py."""
    if importlib.util.find_spec("pyspark") is None:
        pytest.skip("Spark is not installed: pip install -e '.[spark]'")
    if shutil.which("java") is None:
        pytest.skip("there is no Java for Spark")
    from opensea_metrics.udfs import spark as spark_udfs

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(registry.VARIABLE, str(OWN / "echoes.py"))
        session = spark_udfs.local_session()
        yield session
        session.stop()


@pytest.fixture(scope="session")
def duckdb_engine() -> Iterator[engines.DuckDb]:
    """DuckDB with the shipped functions and those of own/."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(registry.VARIABLE, str(OWN))
        yield engines.DuckDb()
