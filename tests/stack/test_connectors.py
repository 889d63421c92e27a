"""The configurations of the connectors: documented options, the archive's layout, the tables' keys, no secrets."""

from __future__ import annotations

import json
import re
import subprocess
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from opensea_metrics.sql.language.project.project import load_settings
from tests.parts.yaml_files import read_yaml

FOLDER = Path("deploy/compose/connect/connectors")
CONFIGS: dict[str, dict[str, str]] = {
    path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))
}
OPTIONS: dict[str, list[str]] = read_yaml(Path(__file__).parent / "connector_options.yml")
SETTINGS = load_settings(Path("sql"), {})
SINKS = {
    "cassandra-global-metrics": (SETTINGS["global_topic"], "opensea.global_metrics"),
    "cassandra-collections-metrics": (SETTINGS["collections_topic"], "opensea.collections_metrics"),
}


def undocumented(config: dict[str, str]) -> list[str]:
    known = [*OPTIONS["sink"], *OPTIONS[config["connector.class"]]]
    for converter in ("key.converter", "value.converter"):
        known += [f"{converter}.{option}" for option in OPTIONS[config[converter]]]
    pattern = "|".join(re.sub(r"<\w+>", r"[\\w-]+", option.replace(".", r"\.")) for option in known)
    return [option for option in config if not re.fullmatch(pattern, option)]


@pytest.mark.parametrize("name", CONFIGS)
def test_every_option_is_documented(name: str) -> None:
    config = CONFIGS[name]
    assert undocumented(config) == []
    assert undocumented({**config, "flush.sise": "3", "topic.a.b.mapping": ""}) == [
        "flush.sise",
        "topic.a.b.mapping",
    ]
    assert all(isinstance(value, str) for value in config.values())


@pytest.mark.parametrize("name", CONFIGS)
def test_secrets_come_from_the_workers_environment(name: str) -> None:
    for option, value in CONFIGS[name].items():
        if re.search("password|secret|username|access.key", option):
            variable = re.fullmatch(r"\$\{env:(\w+)\}", value)
            assert variable, option
            assert f"{variable[1]}: ${{{variable[1]}" in Path("docker-compose.yml").read_text()


def test_the_raw_topic_goes_to_the_archive_by_the_hour_of_its_records() -> None:
    config = CONFIGS["s3-raw-events"]
    assert config["topics"] == SETTINGS["raw_topic"]
    assert config["topics.dir"] == "topics"
    assert config["path.format"] == "'year'=YYYY/'month'=MM/'day'=dd/'hour'=HH"
    assert (config["timestamp.extractor"], config["timezone"]) == ("Record", "UTC")
    assert config["partition.duration.ms"] == "3600000"
    assert int(config["flush.size"]) >= 10_000
    assert int(config["rotate.schedule.interval.ms"]) <= 600_000
    assert "rotate.interval.ms" not in config  # it would end a file at each event of another hour
    # The sink writes unchanged bytes, in files named .json.gz.
    assert config["value.converter"].endswith(".ByteArrayConverter")
    assert config["format.class"].endswith(".ByteArrayFormat")
    assert (config["format.bytearray.extension"], config["s3.compression.type"]) == (
        ".json",
        "gzip",
    )
    assert int(config["tasks.max"]) <= SETTINGS["partitions"]


@pytest.mark.parametrize("name", SINKS)
def test_the_long_form_goes_to_its_table(name: str) -> None:
    topic, table = SINKS[name]
    config = CONFIGS[name]
    assert config["topics"] == topic
    prefix = f"topic.{topic}.{table}"
    assert (
        config[f"{prefix}.deletesEnabled"] == "false"
    )  # otherwise a metric without a value deletes its row
    assert config[f"{prefix}.nullToUnset"] == "true"
    schema = Path("deploy/compose/cassandra/schema.cql").read_text()
    create = schema.split(f"CREATE TABLE IF NOT EXISTS {table} (")[1].split(") WITH")[0]
    columns = set(re.findall(r"^  (\w+) (?:text|double|timestamp),", create, re.MULTILINE))
    mapping = dict(pair.strip().split("=") for pair in config[f"{prefix}.mapping"].split(","))
    assert set(mapping) == columns
    # One task, because the topic has one partition, and its order says which value of a row is the last.
    assert config["tasks.max"] == "1"


def test_topics_of_the_long_form_are_created_before_and_stamped_on_append() -> None:
    script = Path("deploy/compose/kafka/topics.sh").read_text()
    for topic, _ in SINKS.values():
        assert topic in script
    assert "message.timestamp.type=LogAppendTime" in script
    migration = Path("sql/migrations/V004__long_form.sql").read_text()
    assert "PARTITIONS=1" in migration
    assert "--partitions 1" in script  # ksqlDB refuses a topic with another number of partitions
    assert "RETENTION_MS=-1" in migration
    assert "retention.ms=-1" in script


class Worker:
    """Stands in for Connect's REST interface. It answers with the given statuses, then with 201."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.put: dict[str, Any] = {}
        worker = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = worker.statuses.pop(0) if worker.statuses else 201
                if status == 201:
                    worker.put[self.path] = json.loads(body)
                self.send_response(status)
                self.end_headers()
                self.wfile.write(b'{"message": "no such plugin"}')

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=self.server.serve_forever, daemon=True).start()

    def register(self, tmp_path: Path) -> subprocess.CompletedProcess[str]:
        script = tmp_path / "register.sh"
        text = (
            (FOLDER.parent / "register.sh")
            .read_text()
            .replace("/connectors/*.json", f"{FOLDER.resolve()}/*.json")
        )
        script.write_text(
            text.replace("getent hosts cassandra", "true").replace(
                "/tmp/reply", str(tmp_path / "reply")
            )
        )
        url = f"http://127.0.0.1:{self.server.server_address[1]}"
        return subprocess.run(
            ["bash", script], env={"PATH": "/usr/bin:/bin", "CONNECT_URL": url},
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip


def test_registering_waits_for_a_worker_that_is_rebalancing(tmp_path: Path) -> None:
    worker = Worker(409, 503)
    done = worker.register(tmp_path)
    assert done.returncode == 0, done.stderr
    assert worker.put == {f"/connectors/{name}/config": config for name, config in CONFIGS.items()}


def test_registering_shows_why_connect_refuses(tmp_path: Path) -> None:
    done = Worker(400).register(tmp_path)
    assert done.returncode == 1
    assert "no such plugin" in done.stderr
