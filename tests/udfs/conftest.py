"""Engines for the tests: a JVM with the generated classes, a local Spark. Each is skipped with the
reason where its parts are missing."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from udfs import check, registry
from udfs.definition import UdfError
from udfs.ksqldb import build
from udfs.ksqldb.jvm import Jvm

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

HERE = Path(__file__).parent
OWN = HERE / "own"
# What ksqlDB brings besides its own classes, which standins/ stands for.
LIBRARIES = (
    "org.apache.kafka:connect-api:3.9.1",
    "org.apache.kafka:kafka-clients:3.9.1",
    "com.fasterxml.jackson.core:jackson-core:2.17.2",
    "org.slf4j:slf4j-api:1.7.36",
)


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The functions of own/echoes.py are known."""
    monkeypatch.setenv(registry.VARIABLE, str(OWN / "echoes.py"))
    return OWN / "echoes.py"


@pytest.fixture(scope="session")
def ksqldb_classes(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """ksqlDB's jars (folders in $KSQLDB_JARS, separated as in PATH), or stand-ins."""
    try:
        build.javac()
        build.jep_jar()
    except UdfError as error:
        pytest.skip(str(error))
    if given := os.environ.get("KSQLDB_JARS"):
        return [Path(path) for path in given.split(os.pathsep)]
    libraries = tmp_path_factory.mktemp("libraries")
    for artifact in LIBRARIES:
        _copy(artifact, libraries)
    classes = tmp_path_factory.mktemp("standins")
    root = HERE / "standins"
    sources = {str(f.relative_to(root)): f.read_text("utf-8") for f in root.rglob("*.java")}
    build.compile_java(sources, classes, build.jars([libraries]))
    return [classes, libraries]


def _copy(artifact: str, folder: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        pytest.skip("there is no mvn to get Kafka's and Jackson's jars with")
    command = [maven, "-q", "-B", "dependency:copy", f"-Dartifact={artifact}"]
    done = subprocess.run(
        [*command, f"-DoutputDirectory={folder}"], capture_output=True, text=True, timeout=300
    )
    if done.returncode:
        pytest.skip(f"mvn cannot get {artifact}: {done.stdout.strip()[-300:]}")


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
    from udfs import spark as spark_udfs

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(registry.VARIABLE, str(OWN / "echoes.py"))
        session = spark_udfs.local_session()
        yield session
        session.stop()


@pytest.fixture(scope="session")
def duckdb_engine() -> Iterator[check.DuckDb]:
    """DuckDB with the shipped functions and those of own/."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(registry.VARIABLE, str(OWN))
        yield check.DuckDb()
