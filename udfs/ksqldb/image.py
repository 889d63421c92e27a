"""Builds a Docker image of ksqlDB that contains the functions."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from opensea_metrics.core.definition import UdfError
from opensea_metrics.udfs import registry

_DOCKERFILE = Path("deploy/compose/ksqldb/Dockerfile")


def build_image(tag: str) -> None:
    """Build the image from a checkout, the working directory, including the project's own functions.

    Docker's progress is shown in the terminal. Raises UdfError if Docker or the checkout is missing,
    or if the build fails.
    """
    root = Path.cwd()
    if not (root / _DOCKERFILE).is_file():
        raise UdfError(f"{_DOCKERFILE} does not exist here: run this in a checkout of opensea-metrics")
    if shutil.which("docker") is None:
        raise UdfError("there is no docker command: install Docker, or build jars with --ksqldb DIR")
    with tempfile.TemporaryDirectory() as own:
        for file in registry.own_files():
            shutil.copy(file, own)
        done = subprocess.run(
            ["docker", "build", "-f", _DOCKERFILE, "-t", tag, "--build-context", f"own={own}", "."],
            cwd=root,
            check=False,
        )
    if done.returncode:
        raise UdfError(f"docker build failed with exit code {done.returncode}")
