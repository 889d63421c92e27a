"""No secret is in anything that the command prints, logs, plans or records, also when it fails."""

from __future__ import annotations

import json
import logging
import socket
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import structlog
from pydantic_settings import BaseSettings

from opensea_metrics.core.environment import may_be_set
from opensea_metrics.deploy import cli
from opensea_metrics.deploy.cli import sinks
from opensea_metrics.deploy.cli.options import variables
from opensea_metrics.deploy.client import BadAddress, KsqlClient
from opensea_metrics.deploy.config import FunctionSettings, ServeSettings, Settings
from opensea_metrics.deploy.doctor.examination import PartSettings
from opensea_metrics.deploy.embedded.server import running
from opensea_metrics.producer import environment, kafka
from opensea_metrics.producer.archive.errors import ArchiveError
from opensea_metrics.producer.archive.location import open_archive
from opensea_metrics.producer.archive.s3 import S3Settings
from opensea_metrics.producer.environment import Environment, SettingsError, variable
from opensea_metrics.producer.sample import write_sample
from opensea_metrics.producer.settings import KafkaSettings, StreamSettings
from opensea_metrics.spark_batch import kafka as results
from opensea_metrics.spark_batch.cassandra_session import CassandraSettings
from opensea_metrics.spark_batch.settings import BatchSettings
from tests.deploy.projects import THREE
from tests.deploy.stub import Write

Run = Callable[..., tuple[int, str]]
KINDS = (
    Settings, ServeSettings, FunctionSettings, PartSettings, StreamSettings, KafkaSettings, CassandraSettings,
    BatchSettings, S3Settings,
)  # fmt: skip
SECRETS = {
    "OPENSEA_API_KEY": "s3cret-api-key",
    "KSQLDB_URL": "http://s3cret-user:s3cret-url@127.0.0.1:1",
    "OPENSEA_METRICS_KSQLDB_HEADERS": '{"X-Key": "s3cret-header"}',
    "OPENSEA_METRICS_KSQLDB_KEY_PASSWORD": "s3cret-key-password",
    "OPENSEA_METRICS_SERVE_TOKEN": "s3cret-serve-token",
    "OPENSEA_METRICS_SERVE_KEY_PASSWORD": "s3cret-serve-key",
    "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
    "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
    "KAFKA_SASL_USERNAME": "anna",
    "KAFKA_SASL_PASSWORD": "s3cret-sasl",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
    "AWS_ACCESS_KEY_ID": "s3cret-key-id",
    "AWS_SECRET_ACCESS_KEY": "s3cret-aws",
    "AWS_SESSION_TOKEN": "s3cret-session",
    "CASSANDRA_CONTACT_POINTS": "127.0.0.1",
    "CASSANDRA_PORT": "1",
    "CASSANDRA_USER": "anna",
    "CASSANDRA_PASSWORD": "s3cret-cassandra",
    "OPENSEA_METRICS_CONNECT_URL": "http://anna:s3cret-connect@127.0.0.1:1",
    "OPENSEA_METRICS_SCHEMA_REGISTRY_URL": "http://anna:s3cret-registry@127.0.0.1:1",
    "OPENSEA_METRICS_ARCHIVE": "s3a://bucket/topics/OpenSeaRawEvents",
}
ON_A_SERVER: tuple[tuple[str, ...], ...] = (
    ("validate",), ("plan",), ("plan", "--json"), ("apply",), ("apply", "--dry-run"), ("apply", "--wait"),
    ("rollback", "--yes"), ("rollback", "--dry-run"), ("status",), ("unlock",), ("diff",),
    ("baseline", "1"), ("adopt",), ("repair", "--yes"), ("query", "SHOW TABLES"),
    ("query", "--json", "SELECT * FROM t EMIT CHANGES"), ("doctor",), ("doctor", "--json"),
)  # fmt: skip
DAY = ("global", "--window", "1 day")
ELSEWHERE: tuple[tuple[str, ...], ...] = (
    ("recompute", "--source", "nothing"), ("recompute", *DAY, "--to-kafka"),
    ("recompute", *DAY, "--to-cassandra"), ("recompute", *DAY, "--to-json", "s3a://b/x"),
    ("recompute", "--to-parquet", "s3a://anna:s3cret-to@bucket/x"),
    ("recompute", "--source", "s3a://anna:s3cret-source@bucket/x"),
    ("reconcile", "--table", "collection_1_minute"), ("archive", "check", "--source", "s3://b/t"),
    ("archive", "check", "--source", "https://anna:s3cret-scheme@host/t?k=s3cret-key"),
    ("archive", "compact", "--source", "nothing"), ("produce",), ("replay", "--sink", "kafka"),
    ("produce", "--url", "ws://anna:s3cret-stream@host"), ("replay", "nothing"),
    ("new", "a/b"), ("udfs", "list", "nothing"), ("serve", "--port", "{taken}"),
    ("demo", "--port", "{taken}"), ("validate", "--server", "http://anna:s3cret/ser@ver:x/"),
    ("plan", "--server", "anna:s3cret-bare@host:8088"), ("plan", "--server", "http://h/?k=s3cret-query"),
)  # fmt: skip
TO_KSQLDB = ("validate", "plan", "apply", "rollback", "status", "unlock", "diff", "query", "doctor")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a small archive."""
    found = tmp_path_factory.mktemp("data")
    write_sample(found, 300, 1)
    return found


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    data_dir: Path,
) -> Iterator[Run]:
    """Runs the command away from a developer's .env; gives its exit code and all that it printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sinks, "open_kafka", partial(kafka.open_kafka, wait_seconds=0.1))
    monkeypatch.setattr(results, "_WAIT", 0.1)
    monkeypatch.setattr("opensea_metrics.deploy.doctor.kafka.TIMEOUT", 0.1)
    monkeypatch.setattr("opensea_metrics.deploy.cli.doctor.PATIENCE", 0.1)
    once = S3Settings().s3fs() | {"config_kwargs": {"retries": {"max_attempts": 1}}}
    monkeypatch.setattr(S3Settings, "s3fs", lambda self: once | {"endpoint_url": self.aws_endpoint_url})
    monkeypatch.setattr("s3fs.core.S3FileSystem.retries", 1)
    monkeypatch.setenv("OPENSEA_METRICS_DATA_DIR", str(data_dir))
    monkeypatch.setenv("CASSANDRA_TIMEOUT", "0.1")

    def runs(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["opensea-metrics", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return int(ended.value.code or 0), "".join(capfd.readouterr())

    yield runs
    structlog.reset_defaults()


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    logging.getLogger("httpx").setLevel(logging.DEBUG)  # it logs URLs


@pytest.mark.parametrize("verb", ON_A_SERVER + ELSEWHERE, ids=" ".join)
def test_where_nothing_answers(
    verb: tuple[str, ...], run: Run, secrets: None, write_project: Write
) -> None:
    root = str(write_project(THREE))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        code, printed = run(*(part.replace("{taken}", port) for part in verb), *where(verb, root))
    assert code == 1, printed
    assert "s3cret" not in printed
    assert "error: " in printed or verb[0] == "doctor"
    assert "Traceback" not in printed


def where(verb: tuple[str, ...], root: str) -> tuple[str, ...]:
    """Which project: the packaged one for verbs that need its metrics."""
    own = verb in ON_A_SERVER and verb[0] not in ("query", "unlock")
    return ("--sql", root) if own or verb[0] == "new" else ()


@pytest.mark.parametrize(
    "value", ["s3cret", '["s3cret"]', '{"s3cret": {"s3cret": 1}}', '"s3cret', "s3cret\\udc80"]
)
@pytest.mark.parametrize("kind", KINDS)
def test_a_secret_in_the_wrong_variable(
    kind: type[Environment], value: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for field in kind.model_fields:
        with monkeypatch.context() as only:
            only.setenv(variable(kind, field), value)
            error = raised_by(kind)
        if error is not None:
            assert "s3cret" not in str(error)
            assert str(error).startswith(f"{variable(kind, field)} cannot be used: it must be ")
            assert (error.__cause__, error.__context__) == (None, None)


def raised_by(kind: type[Environment]) -> SettingsError | None:
    try:
        kind()
    except SettingsError as error:
        return error
    return None


@pytest.mark.parametrize("verb", TO_KSQLDB)
@pytest.mark.parametrize("name", ["KSQLDB_HEADERS", "DELETE_BY_BROKER", "VARIABLES"])
def test_no_verb_shows_a_setting_that_cannot_be_read(
    name: str, verb: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"OPENSEA_METRICS_{name}", '["s3cret"]')
    code, printed = run(verb, *(["SHOW TABLES"] if verb == "query" else []))
    assert code == 1
    assert printed.startswith(f"error: OPENSEA_METRICS_{name} cannot be used: it must be ")
    assert "  hint: correct it in the environment or in .env" in printed
    assert "s3cret" not in printed


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("replay",), "OPENSEA_METRICS_VARIABLES"),
        (("serve",), "OPENSEA_METRICS_VARIABLES"),
        (("archive", "check"), "OPENSEA_METRICS_VARIABLES"),
        (("recompute",), "OPENSEA_METRICS_VARIABLES"),
        (("replay", "--sink", "kafka"), "KAFKA_SECURITY_PROTOCOL"),
        (("recompute", "--to-kafka"), "KAFKA_SECURITY_PROTOCOL"),
        (("recompute", "--to-cassandra"), "CASSANDRA_PORT"),
        (("recompute", "--engine", "auto"), "OPENSEA_METRICS_SPARK_FROM_GB"),
        (("archive", "check", "--source", "s3://b/t"), "AWS_ENDPOINT_URL"),
        (("doctor",), "OPENSEA_METRICS_CONNECT_URL"),
        (("doctor",), "CASSANDRA_PORT"),
    ],
    ids=str,
)
def test_settings_of_every_part(
    arguments: tuple[str, ...], name: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each reads its settings by itself."""
    monkeypatch.setenv(name, "[s3cret]")
    code, printed = run(*arguments)
    assert (code, printed.partition(":")[0]) == (1, "error")
    assert f"{name} cannot be used: it must be " in printed
    assert "s3cret" not in printed


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"OPENSEA_API_KEY=s3cret\xff", ".env is not UTF-8"), (b"s3cret =\n= s3cret", "")],
)
def test_an_env_file_that_cannot_be_read(
    content: bytes, reason: str, run: Run, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_bytes(content)
    code, printed = run("validate", "--offline")
    assert (code, reason in printed) == (1 if reason else 0, True)
    assert "s3cret" not in printed


def test_every_class_of_settings_is_guarded() -> None:
    ours = {each for each in BaseSettings.__subclasses__() if not each.__module__.startswith("pydantic")}
    assert ours == {Environment}
    assert set(Environment.__subclasses__()) == set(KINDS)


def test_what_is_planned_and_recorded(
    run: Run, write_project: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    root = str(write_project(THREE))
    with running(tmp_path / "server") as url:
        monkeypatch.setenv("KSQLDB_URL", url.replace("//", "//s3cret-user:s3cret-url@"))
        monkeypatch.setenv("OPENSEA_METRICS_KSQLDB_HEADERS", SECRETS["OPENSEA_METRICS_KSQLDB_HEADERS"])
        done = [
            run(*verb, "--sql", root)[1]
            for verb in (("plan", "--json"), ("apply", "--wait"), ("status",), ("diff",), ("validate",))
        ]
        tables = [row for row in KsqlClient(url).tables() if row.name.startswith("MIGRATION")]
        done += [json.dumps(KsqlClient(url).pull(f"SELECT * FROM {row.name};")) for row in tables]
    assert len(tables) == 2
    assert "OMT_SALES" in done[0]
    assert "s3cret" not in "".join(done)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://anna:s3cret@host:1/a?k=s3cret#s3cret", "http://host:1/a"),
        ("http://anna:s3/c@ret@host", "http://host"),
        ("anna:s3cret@host", "host"),
        ("http://host", "http://host"),
    ],
)
def test_urls_in_messages(url: str, expected: str) -> None:
    assert environment.without_secrets(url) == expected


@pytest.mark.parametrize("url", ["http://anna:s3/cret@host", "anna:s3cret@host", "ftp://a:s3cret@h", "http://a:s3cret@h:x"])
def test_a_servers_url_that_cannot_be_used(url: str) -> None:
    with pytest.raises(BadAddress) as caught:
        KsqlClient(url)
    assert "s3cret" not in str(caught.value)
    assert "--server or KSQLDB_URL" in str(caught.value)
    with pytest.raises(ArchiveError) as other:
        open_archive(f"https://anna:s3cret@{url}")
    assert "s3cret" not in str(other.value)


@pytest.mark.parametrize("name", ["OPENSEA_METRICS_VARIABLES", "opensea_metrics_variables"])
def test_a_variable_of_any_case_or_in_the_file_is_noticed(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENSEA_METRICS_VARIABLES", raising=False)
    assert not may_be_set("OPENSEA_METRICS_VARIABLES")
    assert variables(["b=c"]) == {"b": "c"}
    monkeypatch.setenv(name, '{"a": "b"}')
    assert variables(["b=c"]) == {"a": "b", "b": "c"}
    monkeypatch.delenv(name)
    (tmp_path / ".env").write_text(f"{name}={{\"a\": \"c\"}}\n")
    assert variables([]) == {"a": "c"}
