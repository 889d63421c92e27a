"""The object store with the settings of docker-compose.yml: health, console, buckets, access."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import s3fs
import yaml

from tests.parts import process, s3
from tests.parts.ports import free_port

SERVICES = yaml.safe_load(Path("docker-compose.yml").read_text())["services"]
SECRET = "a secret of tests"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Port inside the container → port on this machine."""
    data = tmp_path_factory.mktemp("store")
    ports = {inside: str(free_port()) for inside in ("9000", "9001")}
    service = SERVICES["minio"]
    environment = {}
    for name, value in service["environment"].items():
        value = re.sub(r"\$\{MINIO_ROOT_PASSWORD[^}]*\}", SECRET, value)
        value = re.sub(r"\$\{MINIO_\w*PORT:-(\d+)\}", lambda match: ports[match[1]], value)
        value = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)
        environment[name] = re.sub(r"^:(\d+)$", lambda match: f"127.0.0.1:{ports[match[1]]}", value)
    (data / "objects").mkdir()
    command = [
        str(s3.binary()),
        *(argument.replace("/data", f"{data}/objects") for argument in service["command"]),
    ]
    health = service["healthcheck"]["test"][-1].replace("9000", ports["9000"])

    def ready() -> bool:
        try:
            return httpx.get(health, timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    env = {"PATH": os.environ["PATH"], **environment}
    with process.running(command, data / "store.log", ready, env=env):
        yield ports


def make_buckets(store: dict[str, str], secret: str = SECRET) -> subprocess.CompletedProcess[str]:
    env = os.environ | {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{store['9000']}", "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "opensea", "AWS_SECRET_ACCESS_KEY": secret,
    }  # fmt: skip
    return subprocess.run(
        [sys.executable, "deploy/compose/minio/buckets.py", *SERVICES["minio-bucket"]["command"]],
        env=env, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_buckets_are_created_once(store: dict[str, str]) -> None:
    assert make_buckets(store).stdout == "created the bucket raw-data\ncreated the bucket metrics\n"
    there = s3fs.S3FileSystem(
        key="opensea", secret=SECRET, endpoint_url=f"http://127.0.0.1:{store['9000']}",
        config_kwargs={"s3": {"addressing_style": "path"}}, skip_instance_cache=True,
    )  # fmt: skip
    there.pipe("raw-data/topics/x", b"kept")
    assert (
        make_buckets(store).stdout == "the bucket raw-data exists\nthe bucket metrics exists\n"
    )
    assert there.cat("raw-data/topics/x") == b"kept"


def test_a_wrong_secret_creates_nothing(store: dict[str, str]) -> None:
    done = make_buckets(store, "wrong")
    assert done.returncode != 0
    assert SECRET not in done.stdout + done.stderr


def test_the_console_answers_and_may_ask_the_store(store: dict[str, str]) -> None:
    console = f"http://127.0.0.1:{store['9001']}"
    assert "<html" in httpx.get(console, timeout=30, follow_redirects=True).text.lower()
    asked = httpx.options(
        f"http://127.0.0.1:{store['9000']}/raw-data", timeout=30,
        headers={"Origin": console, "Access-Control-Request-Method": "GET"},
    )  # fmt: skip
    assert asked.headers["access-control-allow-origin"] == console
