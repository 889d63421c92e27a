"""Class paths to compile the generated classes against: ksqlDB's jars, or stand-ins."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from opensea_metrics.core.definition import UdfError
from opensea_metrics.udfs.ksqldb import build
from tests.parts.cache import once

STANDINS = Path(__file__).parent / "standins"
# What ksqlDB brings besides its own classes, which standins/ stands for.
LIBRARIES = (
    "org.apache.kafka:connect-api:3.9.1",
    "org.apache.kafka:kafka-clients:3.9.1",
    "com.fasterxml.jackson.core:jackson-core:2.17.2",
    "org.slf4j:slf4j-api:1.7.36",
)


def ksqldb_classes(folder: Path) -> list[Path]:
    """ksqlDB's jars (folders in $KSQLDB_JARS, separated as in PATH), or stand-ins made in ``folder``.

    Raises UdfError with what is missing: a JDK, Jep, or Maven and its repository.
    """
    build.javac()
    build.jep_jar()
    if given := os.environ.get("KSQLDB_JARS"):
        return [Path(path) for path in given.split(os.pathsep)]
    libraries, classes = once(f"udf-libraries-{_digest()}", _fetch), folder / "standins"
    sources = {str(f.relative_to(STANDINS)): f.read_text("utf-8") for f in STANDINS.rglob("*.java")}
    build.compile_java(sources, classes, build.jars([libraries]))
    return [classes, libraries]


def _digest() -> str:
    return hashlib.sha256(" ".join(LIBRARIES).encode()).hexdigest()[:8]


def _fetch(folder: Path) -> None:
    for artifact in LIBRARIES:
        _copy(artifact, folder)


def _copy(artifact: str, folder: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise UdfError("there is no mvn to get Kafka's and Jackson's jars with")
    command = [maven, "-q", "-B", "dependency:copy", f"-Dartifact={artifact}"]
    done = subprocess.run(
        [*command, f"-DoutputDirectory={folder}"], capture_output=True, text=True, timeout=300
    )
    if done.returncode:
        raise UdfError(f"mvn cannot get {artifact}: {done.stdout.strip()[-300:]}")
