"""doctor against real parts: a broker, Connect, a registry, Cassandra, an S3 server, the embedded server."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import httpx
import pyarrow as pa
import pytest
import tenacity
import yaml
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from typer.testing import CliRunner

from opensea_metrics.deploy import cli, commands
from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.doctor import (
    Check,
    KsqldbTarget,
    connect,
    examine,
    kafka,
    schema_registry,
    spark,
)
from opensea_metrics.deploy.doctor.checks import Unreachable
from opensea_metrics.deploy.embedded import server
from opensea_metrics.producer.settings import KafkaSettings
from opensea_metrics.spark_batch.cassandra import write
from tests.parts import cassandra as cassandra_part
from tests.parts import connect as connect_part
from tests.parts import kafka as kafka_part
from tests.parts import process
from tests.parts import s3 as s3_part
from tests.parts.ports import free_port

pytest.importorskip("cassandra", reason="needs the extra cassandra")

RAW, GLOBAL, COLLECTIONS = (
    "OpenSeaRawEvents",
    "OpenSeaEnrichedGlobalEvents",
    "OpenSeaEnrichedCollectionsEvents",
)
WINDOW = {"windows": "[{size: 5 MINUTES}]"}
NAMED = (
    "KSQLDB_URL", "KAFKA_BOOTSTRAP_SERVERS", "OPENSEA_METRICS_CONNECT_URL",
    "OPENSEA_METRICS_SCHEMA_REGISTRY_URL", "OPENSEA_METRICS_ARCHIVE", "CASSANDRA_CONTACT_POINTS",
    "CASSANDRA_PORT", "OPENSEA_METRICS_SPARK_MASTER", "OPENSEA_METRICS_VARIABLES",
)  # fmt: skip


def fill_kafka(bootstrap: str) -> None:
    """Create the topics of the stack, with five fresh events. A sink has read three of them."""
    stamped = {"message.timestamp.type": "LogAppendTime"}
    wanted = [
        NewTopic(RAW, 2, 1),
        NewTopic(GLOBAL, 1, 1, config=stamped),
        NewTopic(COLLECTIONS, 1, 1),
    ]
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for future in admin.create_topics(wanted).values():
        future.result(60)
    producer = Producer({"bootstrap.servers": bootstrap})
    for number in range(5):
        producer.produce(RAW, f"{number}", partition=0)
    assert producer.flush(60) == 0
    reader = Consumer({"bootstrap.servers": bootstrap, "group.id": "connect-elsewhere"})
    commit = partial(reader.commit, offsets=[TopicPartition(RAW, 0, 3)], asynchronous=False)
    # A new broker has no coordinator of groups at first.
    tenacity.Retrying(stop=tenacity.stop_after_delay(60), wait=tenacity.wait_fixed(0.5))(commit)
    reader.close()


def put_connector(url: str, name: str, file: Path) -> None:
    config = {
        "connector.class": "org.apache.kafka.connect.file.FileStreamSinkConnector",
        "topics": RAW, "file": str(file), "tasks.max": "1",
    }  # fmt: skip
    httpx.put(f"{url}/connectors/{name}/config", json=config, timeout=60).raise_for_status()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """All parts, filled as the stack fills them. Yields the variables that .env would name them with."""
    data = tmp_path_factory.mktemp("site")
    with ExitStack() as parts:
        broker = parts.enter_context(kafka_part.running(data / "kafka"))
        fill_kafka(broker.bootstrap)
        worker = parts.enter_context(connect_part.worker(data / "connect", broker.bootstrap))
        for name in connect.EXPECTED:
            put_connector(worker, name, data / f"{name}.txt")
        schemas = parts.enter_context(connect_part.registry(data / "registry"))
        schema = {"schema": json.dumps({"type": "record", "name": "Row", "fields": []})}
        for topic in (GLOBAL, COLLECTIONS):
            httpx.post(
                f"{schemas}/subjects/{topic}-value/versions", json=schema, timeout=60
            ).raise_for_status()
        node = parts.enter_context(cassandra_part.running(data / "cassandra"))
        cassandra_part.make_tables(node)
        row = {"METRIC": "m", "COLLECTION": "c", "NFT_ID": "", "timestamp": 1, "VALUE": 1.0}
        row |= dict.fromkeys(("ASSET_NAME", "ASSET_URL", "IMAGE_URL"), "x")
        for table in ("global_metrics", "collections_metrics"):
            write([pa.RecordBatch.from_pylist([row])], table, node)
        store = parts.enter_context(s3_part.running(data / "s3"))
        hour = data / f"files/topics/{RAW}/year=2026/month=09/day=15/hour=13"
        hour.mkdir(parents=True)
        (hour / f"{RAW}+0+0000000000.json.gz").write_bytes(b"x" * 2000)
        store.upload(data / "files", "raw-data")
        ksqldb = parts.enter_context(server.running(data / "embedded"))
        commands.apply(KsqlClient(ksqldb), Path("sql"), WINDOW)
        yield {
            "KSQLDB_URL": ksqldb,
            "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap,
            "OPENSEA_METRICS_CONNECT_URL": worker,
            "OPENSEA_METRICS_SCHEMA_REGISTRY_URL": schemas,
            "OPENSEA_METRICS_ARCHIVE": f"s3a://raw-data/topics/{RAW}",
            "CASSANDRA_CONTACT_POINTS": node.contact_points,
            "CASSANDRA_PORT": str(node.port),
            "OPENSEA_METRICS_VARIABLES": json.dumps(WINDOW),
            **store.environment,
        }


@pytest.fixture
def named(site: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    for name in NAMED:
        monkeypatch.delenv(name, raising=False)
    for name, value in site.items():
        monkeypatch.setenv(name, value)
    return site


def look(site: dict[str, str]) -> dict[tuple[str, str], Check]:
    client = KsqlClient(site["KSQLDB_URL"], timeout=15, patience=5)
    checks = examine(KsqldbTarget(client, Path("sql"), WINDOW))
    assert all(check.advice for check in checks if check.verdict != "ok")
    return {(check.part, check.name): check for check in checks}


@tenacity.retry(stop=tenacity.stop_after_delay(60), wait=tenacity.wait_fixed(0.5), reraise=True)
def until(part: str, name: str, verdict: str, url: str) -> Check:
    check = next(candidate for candidate in connect.examine(url) if (candidate.part, candidate.name) == (part, name))
    assert check.verdict == verdict, check
    return check


def test_a_healthy_site_except_for_one_topic(named: dict[str, str]) -> None:
    until("connect", "s3-raw-events", "ok", named["OPENSEA_METRICS_CONNECT_URL"])
    checks = look(named)
    assert {key: check for key, check in checks.items() if check.verdict != "ok"}.keys() == {
        ("kafka", f"{COLLECTIONS} time"),  # created without LogAppendTime above
        ("spark", "configured"),
    }
    assert checks["spark", "configured"].verdict == "left out"
    assert checks["kafka", RAW].observation == "2 partitions, 5 records"
    assert checks["ksqldb", "queries"].observation.endswith("run")
    assert checks["ksqldb", "migrations"].observation.startswith("all ")
    assert checks["archive", "files"].observation.startswith(
        "newest hour year=2026/month=09/day=15/hour=13: 1 file"
    )
    assert checks["cassandra", "reachable"].observation == f"version {cassandra_part.VERSION}"
    assert checks["schema registry", GLOBAL].observation == "AVRO, version 1"


def test_lag_is_counted_in_records(named: dict[str, str]) -> None:
    facts = kafka.fetch(KafkaSettings(_env_file=None), [RAW, "other"], ("connect-else",))
    assert facts.lags == {"connect-elsewhere": (2,)}
    assert facts.topics.keys() == {RAW}
    assert facts.topics[RAW].newest == pytest.approx(time.time(), abs=600)


def test_a_failed_task_names_its_cause(named: dict[str, str], tmp_path: Path) -> None:
    url = named["OPENSEA_METRICS_CONNECT_URL"]
    put_connector(url, "broken", tmp_path / "no/such/folder/file")
    try:
        failed = until("connect", "broken", "failed", url)
        assert "NoSuchFileException" in failed.observation
        assert "/connectors/broken/restart" in failed.advice
    finally:
        httpx.delete(f"{url}/connectors/broken", timeout=60)


def test_a_paused_connector(named: dict[str, str]) -> None:
    url = named["OPENSEA_METRICS_CONNECT_URL"]
    name = "cassandra-global-metrics"
    httpx.put(f"{url}/connectors/{name}/pause", timeout=60)
    try:
        assert until("connect", name, "warning", url).observation == "paused"
    finally:
        httpx.put(f"{url}/connectors/{name}/resume", timeout=60)


def test_pending_migrations_and_other_settings(named: dict[str, str]) -> None:
    client = KsqlClient(named["KSQLDB_URL"])
    checks = examine(KsqldbTarget(client, Path("sql"), WINDOW | {"long_form_format": "AVRO"}))
    (migrations,) = [check for check in checks if (check.part, check.name) == ("ksqldb", "migrations")]
    assert migrations.observation == "changed since they were applied: V004"


def test_the_command(named: dict[str, str]) -> None:
    done = CliRunner().invoke(cli.whole_app(), ["doctor", "--json"])
    assert done.exit_code == 0, done.output
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert {line["part"] for line in lines} == {
        "ksqldb", "kafka", "connect", "schema registry", "archive", "cassandra", "spark",
    }  # fmt: skip
    table = CliRunner().invoke(cli.whole_app(), ["doctor"]).stdout
    assert "kafka-configs --alter" in table
    assert "1 left out" in table


def test_parts_that_are_down_fail_and_hide_no_other(
    named: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    for name, value in {
        "KSQLDB_URL": f"http://127.0.0.1:{port}",
        "OPENSEA_METRICS_CONNECT_URL": f"http://user:hidden@127.0.0.1:{port}",
        "OPENSEA_METRICS_SCHEMA_REGISTRY_URL": f"http://127.0.0.1:{port}",
        "OPENSEA_METRICS_ARCHIVE": "s3a://no-such-bucket/topics/x",
        "CASSANDRA_PORT": str(port),
        "OPENSEA_METRICS_SPARK_MASTER": "spark://127.0.0.1:7077",
        "OPENSEA_METRICS_SPARK_UI_URL": f"http://127.0.0.1:{port}",
        "CASSANDRA_TIMEOUT": "3",
    }.items():
        monkeypatch.setenv(name, value)
    done = CliRunner().invoke(cli.whole_app(), ["doctor", "--json"])
    assert done.exit_code == 1
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    failed = {line["part"] for line in lines if line["verdict"] == "failed"}
    assert failed == {"ksqldb", "connect", "schema registry", "archive", "cassandra", "spark"}
    assert any(line["part"] == "kafka" and line["verdict"] == "ok" for line in lines)
    assert "hidden" not in done.output


def test_a_spark_cluster_as_docker_compose_starts_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pyspark = pytest.importorskip("pyspark", reason="needs the extra spark")
    if shutil.which("java") is None:
        pytest.skip("Spark needs java")
    starter = [str(Path(pyspark.__file__).parent / "bin/spark-class")]
    services = yaml.safe_load(Path("docker-compose.yml").read_text())["services"]
    port, page, other = free_port(), free_port(), free_port()
    here = {"spark-master": "127.0.0.1", "7077": str(port), "8080": str(page)}
    cheap = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
    env = os.environ | {
        "SPARK_LOCAL_DIRS": str(tmp_path), "SPARK_NO_DAEMONIZE": "1",
        "SPARK_DAEMON_JAVA_OPTS": cheap, "SPARK_LAUNCHER_OPTS": cheap,
    }  # fmt: skip
    master = [here.get(argument, argument) for argument in services["spark-master"]["command"][1:]]
    worker = [
        argument.replace("spark-master:7077", f"127.0.0.1:{port}").replace("/var/spark", str(tmp_path))
        for argument in services["spark-worker"]["command"][1:]
    ]
    given = {name: str(value) for name, value in services["spark-worker"]["environment"].items()}
    given["SPARK_WORKER_WEBUI_PORT"] = str(other)
    url = f"http://127.0.0.1:{page}"
    with ExitStack() as parts:
        parts.enter_context(
            process.running(
                [*starter, *master], tmp_path / "master.log", lambda: answers(url), env=env
            )
        )
        assert spark.examine(f"spark://127.0.0.1:{port}", url)[-1].verdict == "failed"
        parts.enter_context(
            process.running(
                [*starter, *worker], tmp_path / "worker.log",
                lambda: spark.examine(f"spark://127.0.0.1:{port}", url)[-1].verdict == "ok",
                env=env | given,
            )
        )  # fmt: skip
        checks = spark.examine(f"spark://127.0.0.1:{port}", url)
        assert checks[-1].observation == "1 alive, 1 cores, 640 MB for executors"
        # The jobs of docker compose ask for as much memory as its workers have.
        defaults = Path("deploy/compose/spark/spark-defaults.conf").read_text()
        assert f"spark.executor.memory                 {given['SPARK_WORKER_MEMORY']}" in defaults


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def test_a_broker_that_is_down() -> None:
    settings = KafkaSettings(_env_file=None, bootstrap_servers=f"127.0.0.1:{free_port()}")
    with pytest.raises(Unreachable, match="does not answer"):
        kafka.fetch(settings, [RAW], ("connect-",))


def test_a_server_that_is_not_a_registry(named: dict[str, str]) -> None:
    with pytest.raises(Unreachable, match="has no /subjects"):
        schema_registry.examine(named["OPENSEA_METRICS_CONNECT_URL"], [GLOBAL])


def test_nothing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in NAMED:
        monkeypatch.delenv(name, raising=False)
    sql = Path("sql").resolve()
    monkeypatch.chdir(tmp_path)  # it has no .env
    done = CliRunner().invoke(cli.whole_app(), ["doctor", "--sql", str(sql)])
    assert done.exit_code == 0
    assert done.stdout.count("left out") == 7 + 1  # and in the sum
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("variable", "value"),
    [("OPENSEA_METRICS_CONNECT_URL", "kafka-connect:8083"), ("CASSANDRA_PORT", "no number")],
)
def test_a_setting_that_cannot_be_read_is_named_without_its_value(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(variable, value)
    monkeypatch.setattr("sys.argv", ["opensea-metrics", "doctor"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    message = capsys.readouterr().err
    assert variable in message
    assert value not in message
