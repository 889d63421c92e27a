"""Jars from Maven Central. The tests' cache fetches each set once."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.parts.cache import once

_POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion><groupId>test</groupId><artifactId>part</artifactId>
  <version>1</version><dependencies>{}</dependencies></project>"""
_DEPENDENCY = (
    "<dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version></dependency>"
)


def jars(name: str, *artifacts: str) -> Path:
    """A folder with the artifacts (``group:artifact:version``) and all their dependencies.

    Skips the test without Java or Maven, or if Maven cannot fetch them.
    """
    for tool in ("java", "mvn"):
        if shutil.which(tool) is None:
            pytest.skip(f"{name} needs {tool}")

    def fetch(folder: Path) -> None:
        dependencies = "".join(_DEPENDENCY.format(*artifact.split(":")) for artifact in artifacts)
        (folder / "pom.xml").write_text(_POM.format(dependencies), encoding="utf-8")
        _run(
            name,
            folder,
            "dependency:copy-dependencies",
            "-DoutputDirectory=.",
            "-DincludeScope=runtime",
        )

    return once(name, fetch)


def archive(name: str, artifact: str) -> Path:
    """A folder with the unpacked files of the artifact ``group:artifact:version:tar.gz:classifier``."""
    for tool in ("java", "mvn"):
        if shutil.which(tool) is None:
            pytest.skip(f"{name} needs {tool}")

    def fetch(folder: Path) -> None:
        _run(name, folder, "dependency:copy", f"-Dartifact={artifact}", "-DoutputDirectory=.")
        (packed,) = folder.glob("*.tar.gz")
        shutil.unpack_archive(packed, folder)
        packed.unlink()

    return once(name, fetch)


def _run(name: str, folder: Path, *arguments: str) -> None:
    done = subprocess.run(
        ("mvn", "-q", "-B", *arguments),
        cwd=folder, capture_output=True, text=True, timeout=590, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        pytest.skip(f"Maven cannot fetch the jars of {name}: {done.stdout[-300:]}")
