"""The whole stack, if a Docker engine answers: events → ksqlDB → sinks → Cassandra and archive → recompute.

Builds the images, which takes minutes. The stack has its own ports and its own project name.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator
from datetime import UTC
from pathlib import Path
from typing import Any

import httpx
import pytest
import tenacity
from pydantic import SecretStr

from opensea_metrics.deploy import commands
from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.demo import wait_until_read
from opensea_metrics.deploy.embedded import server
from opensea_metrics.producer import sample
from opensea_metrics.producer.replay import replay
from opensea_metrics.producer.sinks import ArchiveSink
from opensea_metrics.spark_batch.cassandra_session import CassandraSettings
from tests.parts import cassandra
from tests.parts.ports import free_port

SECRETS = (
    "MINIO_ROOT_PASSWORD", "CASSANDRA_PASSWORD", "CONDUKTOR_ADMIN_PASSWORD",
    "CONDUKTOR_DB_PASSWORD", "DASHBOARD_PASSWORD", "JUPYTER_TOKEN",
)  # fmt: skip
PORTS = (
    "NOTEBOOK", "SPARK_DRIVER_UI", "SPARK_MASTER_UI", "MINIO", "MINIO_CONSOLE", "CASSANDRA", "KAFKA",
    "SCHEMA_REGISTRY", "REST_PROXY", "CONNECT", "KSQLDB", "CONDUKTOR", "DASHBOARD",
)  # fmt: skip
PATIENCE = 900  # seconds; the slowest machine may need them
SOURCE = "s3a://raw-data/topics/OpenSeaRawEvents"
WINDOW = {"windows": "[{size: 5 MINUTES}]"}

pytestmark = pytest.mark.timeout(5400)


def engine() -> None:
    """Skips the test if no Docker engine answers."""
    if shutil.which("docker") is None:
        pytest.skip("the whole stack needs docker")
    done = subprocess.run(
        ("docker", "info"), capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode != 0:
        reason = (done.stderr or done.stdout).strip().splitlines()
        pytest.skip(f"no Docker engine answers: {reason[-1] if reason else 'docker info fails'}")
    compose = subprocess.run(
        ("docker", "compose", "version"), capture_output=True, timeout=60, check=False
    )
    if compose.returncode != 0:
        pytest.skip("docker has no compose plugin")


class Stack:
    """The running stack: its settings and its compose commands."""

    def __init__(self, command: list[str], settings: dict[str, str]) -> None:
        self.command, self.settings = command, settings

    def url(self, port: str) -> str:
        return f"http://127.0.0.1:{self.settings[port]}"

    def run(self, *arguments: str, code: int = 0) -> str:
        done = subprocess.run(
            [*self.command, *arguments],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == code, done.stdout[-4000:] + done.stderr[-4000:]
        return done.stdout

    def tool(self, *arguments: str, code: int = 0) -> str:
        return self.run("run", "--rm", "-T", "tools", *arguments, code=code)

    def cassandra(self) -> CassandraSettings:
        return CassandraSettings(
            _env_file=None, contact_points="127.0.0.1", port=int(self.settings["CASSANDRA_PORT"]),
            user="opensea", password=SecretStr(self.settings["CASSANDRA_PASSWORD"]),
        )  # fmt: skip


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    engine()
    pytest.importorskip("cassandra", reason="needs the extra cassandra")
    from testcontainers.compose import DockerCompose

    settings = {name: f"Aa1-{uuid.uuid4().hex}" for name in SECRETS}
    settings |= {f"{name}_PORT": str(free_port()) for name in PORTS}
    # One window, and a quarter of the persistent queries.
    settings["OPENSEA_METRICS_VARIABLES"] = json.dumps(WINDOW | {"long_form_format": "AVRO"})
    file = tmp_path_factory.mktemp("stack") / "env"
    file.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    # A separate project, because the end deletes its volumes.
    os.environ["COMPOSE_PROJECT_NAME"] = f"opensea-metrics-test-{uuid.uuid4().hex[:8]}"
    compose = DockerCompose(
        ".", "docker-compose.yml", build=True, wait=False, env_file=str(file),
        profiles=["kafka", "cassandra"],
    )  # fmt: skip
    try:
        with compose:
            started = Stack(compose.docker_compose_command(), settings)
            ended(started, "migrate", "connectors", "cassandra-init")
            yield started
    finally:
        del os.environ["COMPOSE_PROJECT_NAME"]


def ended(stack: Stack, *services: str) -> None:
    """Wait until one-shot services have ended without an error."""
    deadline = time.monotonic() + PATIENCE
    for service in services:
        while True:
            text = stack.run("ps", "--all", "--format", "json", service)
            (container,) = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
            if container["State"] == "exited":
                assert container["ExitCode"] == 0, stack.run("logs", service)
                break
            assert time.monotonic() < deadline, (
                f"{service} has not ended: {stack.run('ps', '--all')}"
            )
            time.sleep(2)


def expected(data: Path) -> dict[str, dict[tuple[Any, ...], float | None]]:
    """The last value of each long-form row on the embedded server."""
    with server.running(data) as url:
        client = KsqlClient(url)
        commands.apply(client, Path("sql"), WINDOW)
        sink = ArchiveSink(data)
        replay(sample.bundled(), sink)
        sink.close()
        wait_until_read(client, 120)
        return {
            table: {
                (row["METRIC"], row["COLLECTION"], row["timestamp"], row.get("NFT_ID")): row[
                    "VALUE"
                ]
                for row in client.pull(f"SELECT * FROM {stream};")
            }
            for table, stream in (
                ("global_metrics", "enriched_global_events"),
                ("collections_metrics", "enriched_collections_events"),
            )
        }


def stored(settings: CassandraSettings, table: str) -> dict[tuple[Any, ...], float | None]:
    values = {}
    for row in cassandra.read(settings, f"SELECT * FROM {table}"):
        moment = round(row["timestamp"].replace(tzinfo=UTC).timestamp() * 1000)
        values[row["metric"], row["collection"], moment, row.get("nft_id")] = row["value"]
    return values


def test_events_become_rows_archive_and_the_same_metrics_again(
    stack: Stack, tmp_path: Path
) -> None:
    # Write a file a few seconds after its events, instead of at the next full ten minutes.
    connect = stack.url("CONNECT_PORT")
    config = httpx.get(f"{connect}/connectors/s3-raw-events/config", timeout=60).json()
    config["rotate.schedule.interval.ms"] = "10000"
    httpx.put(
        f"{connect}/connectors/s3-raw-events/config", json=config, timeout=60
    ).raise_for_status()
    stack.tool("replay", "--sink", "kafka")

    wanted = expected(tmp_path / "embedded")

    @tenacity.retry(
        stop=tenacity.stop_after_delay(PATIENCE), wait=tenacity.wait_fixed(5), reraise=True
    )
    def rows_are_all_there() -> None:
        for table, rows in wanted.items():
            values = stored(stack.cassandra(), table)
            assert rows.keys() <= values.keys()
            assert {key: values[key] for key in rows} == {
                key: value if value is None else pytest.approx(value, rel=1e-9)
                for key, value in rows.items()
            }
            # An asset or collection that leaves a top list keeps its last row (V004).
            assert all("top_" in metric for metric, *_ in values.keys() - rows.keys())

    rows_are_all_there()

    @tenacity.retry(stop=tenacity.stop_after_delay(300), wait=tenacity.wait_fixed(5), reraise=True)
    def archive_is_whole() -> None:
        stack.tool("archive", "check", "--source", SOURCE)
        stack.tool("reconcile", "--table", "GLOBAL_5_MINUTES", "--source", SOURCE)

    archive_is_whole()
    for engine_name in ("duckdb", "spark"):
        stack.tool(
            "recompute", "all", "--source", SOURCE, "--engine", engine_name, "--to-cassandra"
        )
        rows_are_all_there()


def test_doctor_reports_no_failure(stack: Stack) -> None:
    lines = [
        json.loads(line)
        for line in stack.tool("doctor", "--json").splitlines()
        if line.startswith("{")
    ]
    assert [line for line in lines if line["verdict"] == "failed"] == []
    assert {line["part"] for line in lines if line["verdict"] == "ok"} == {
        "ksqldb", "kafka", "connect", "schema registry", "archive", "cassandra", "spark",
    }  # fmt: skip


def test_a_second_start_changes_nothing(stack: Stack) -> None:
    stack.run("up", "--detach")
    ended(stack, "migrate", "connectors", "cassandra-init", "topics", "minio-bucket")
    assert "nothing to do" in stack.run("logs", "migrate").lower()


def test_consoles_answer(stack: Stack) -> None:
    for port, path in (
        ("NOTEBOOK_PORT", "/api"), ("SPARK_MASTER_UI_PORT", "/"), ("MINIO_PORT", "/health"),
        ("MINIO_CONSOLE_PORT", "/"), ("CONDUKTOR_PORT", "/"), ("REST_PROXY_PORT", "/topics"),
    ):  # fmt: skip
        reply = httpx.get(stack.url(port) + path, timeout=60, follow_redirects=True)
        assert reply.status_code == 200, port
    notebook = httpx.get(stack.url("NOTEBOOK_PORT") + "/api/contents", timeout=60)
    assert notebook.status_code == 403  # without the token
