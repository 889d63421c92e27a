"""A real S3 server (versitygw) on loopback. It checks signatures and keeps objects as files.

Go builds it once, into the tests' cache (84 MB).
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.parts.cache import once
from tests.parts.ports import free_port

VERSION = "v1.8.0"
_MODULE = "github.com/versity/versitygw/cmd/versitygw"


def binary() -> Path:
    """The server's program. Builds it if needed. Skips the test without Go."""
    if shutil.which("go") is None:
        pytest.skip("an S3 server needs go, to build versitygw")
    return once(f"versitygw-{VERSION}", _build) / "versitygw"


def _build(folder: Path) -> None:
    done = subprocess.run(
        ("go", "install", f"{_MODULE}@{VERSION}"),
        env=os.environ | {"GOBIN": str(folder)},
        capture_output=True, text=True, timeout=590, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        pytest.skip(f"Go cannot build versitygw: {done.stderr[-300:]}")


@dataclass(frozen=True)
class S3:
    """A running server: its address and its keys."""

    endpoint: str
    access_key: str = "tests"
    secret_key: str = field(default_factory=lambda: secrets.token_hex(16))
    region: str = "us-east-1"

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables that name the server to AWS's tools and opensea-metrics."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": self.region,
        }

    def filesystem(self) -> Any:
        """A new s3fs file system that does not cache listings."""
        import s3fs  # takes 0.4 s of CPU time, in each worker that only collects the tests of a bucket

        return s3fs.S3FileSystem(
            key=self.access_key,
            secret=self.secret_key,
            endpoint_url=self.endpoint,
            client_kwargs={"region_name": self.region},
            config_kwargs={"s3": {"addressing_style": "path"}},
            use_listings_cache=False,
            skip_instance_cache=True,
        )

    def upload(self, folder: Path, to: str) -> None:
        """Copy a folder's files to ``bucket/path``. Creates the bucket if needed."""
        there = self.filesystem()
        bucket = to.partition("/")[0]
        if not there.exists(bucket):
            there.call_s3("create_bucket", Bucket=bucket)  # mkdir names the region, but us-east-1 allows no name
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        targets = [f"{to}/{path.relative_to(folder).as_posix()}" for path in files]
        there.put([str(path) for path in files], targets)


@contextmanager
def running(data: Path) -> Iterator[S3]:
    """A server that runs during a block. Its objects and its log go to ``data``."""
    program = binary()
    port = free_port()
    server = S3(f"http://127.0.0.1:{port}")
    (data / "objects").mkdir(parents=True)
    with open(data / "log", "wb") as log:
        process = subprocess.Popen(
            (str(program), "--port", f"127.0.0.1:{port}", "--quiet", "posix", str(data / "objects")),
            env=os.environ
            | {"ROOT_ACCESS_KEY": server.access_key, "ROOT_SECRET_KEY": server.secret_key},
            stdout=log, stderr=log,
        )  # fmt: skip
        try:
            _wait(process, server, data / "log")
            yield server
        finally:
            process.kill()  # its data is deleted, so it needs no clean shutdown
            process.wait()


def _wait(process: subprocess.Popen[bytes], server: S3, log: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(server.endpoint, timeout=2).close()
            return
        except urllib.error.HTTPError:
            return  # it answers, even if it refuses an unsigned request
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(
                    f"the S3 server does not start: {log.read_text(errors='replace')[-2000:]}"
                ) from None
            time.sleep(0.05)
