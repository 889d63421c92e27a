"""A command that starts Spark shows nothing of Spark's or Java's own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.spark_batch.archives import START, needs, write_sample

HOUR_MS = 3_600_000
PROGRAM = "from opensea_metrics.deploy.cli import main; main()"


def recompute(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    topic = write_sample(folder, 50, START, HOUR_MS)
    arguments = ["recompute", "global_1_minute", "--engine", "spark", "--source", str(topic)]
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        capture_output=True, text=True, check=False, env=os.environ | environment,
    )  # fmt: skip


@pytest.mark.slow
def test_no_warnings_of_java(tmp_path: Path) -> None:
    needs("spark")
    done = recompute(tmp_path)
    assert done.returncode == 0
    (line,) = done.stderr.splitlines()
    assert "50 of 50 records, spark" in line


def test_without_java_the_error_says_why(tmp_path: Path) -> None:
    pytest.importorskip("pyspark", reason="needs the extra spark")
    done = recompute(tmp_path, JAVA_HOME=str(tmp_path / "nowhere"))
    assert done.returncode == 1
    first, *rest = done.stderr.splitlines()
    assert first.startswith("error: Spark does not start at local[*]: ")
    assert any("nowhere/bin/java" in line for line in rest)
    assert "Traceback" not in done.stderr
