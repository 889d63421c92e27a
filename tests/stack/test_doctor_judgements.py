"""Doctor's pure functions that judge facts. No part runs here."""

from __future__ import annotations

from typing import Any

import pytest

from opensea_metrics.deploy.doctor import (
    archive,
    cassandra,
    connect,
    kafka,
    ksqldb,
    schema_registry,
    spark,
)
from opensea_metrics.deploy.doctor.cassandra import TableFacts
from opensea_metrics.deploy.doctor.checks import Check, age_text
from opensea_metrics.deploy.doctor.kafka import KafkaFacts, TopicFacts
from opensea_metrics.deploy.migrations.plan.files import VersionStatus
from opensea_metrics.deploy.migrations.record.records import VersionRecord, VersionState
from opensea_metrics.deploy.replies import ServerInfo, ServerQuery

NOW = 1_789_473_600.0
RAW, LONG, DEAD = "OpenSeaRawEvents", ("Global", "Collections"), ("OpenSeaRawEvents.dlq",)


def verdicts(checks: list[Check]) -> dict[str, str]:
    return {check.name: check.verdict for check in checks}


def not_well(checks: list[Check]) -> list[Check]:
    """The checks that are not ok. Each must say what to do."""
    faulty = [check for check in checks if check.verdict != "ok"]
    assert all(check.advice for check in faulty)
    return faulty


def topic(**changes: Any) -> TopicFacts:
    return TopicFacts(
        **{"partitions": 2, "short": 0, "records": 10, "newest": NOW - 5, "append_time": True}
        | changes
    )


def brokers(raw: TopicFacts | None = None, lags: Any = (), **topics: TopicFacts) -> list[Check]:
    topics_or_none = {RAW: raw or topic(), "Global": topic(), "Collections": topic()} | topics
    existing = {name: known for name, known in topics_or_none.items() if known}
    facts = KafkaFacts(1, existing, dict(lags))
    return kafka.judge(facts, RAW, LONG, DEAD, NOW)


def test_kafka_that_is_well() -> None:
    checks = brokers(lags={"connect-s3": (3,), "_confluent-ksql-q1": (9_000,)})
    assert not_well(checks) == []
    assert verdicts(checks).keys() == {"reachable", RAW, "Global", "Collections", "events", "lag"}
    assert checks[-1].observation == "2 readers, 9,003 records"


@pytest.mark.parametrize(
    ("checks", "name", "verdict", "text"),
    [
        (brokers(Global=None), "Global", "failed", "no such topic"),  # type: ignore[arg-type]
        (brokers(topic(short=1)), RAW, "failed", "1 of 2 partitions"),
        (brokers(topic(records=0, newest=None)), "events", "warning", "is empty"),
        (brokers(topic(newest=NOW - 7300)), "events", "warning", "2 h ago"),
        (brokers(Global=topic(append_time=False)), "Global time", "warning", "greatest value"),
        (brokers(**{"OpenSeaRawEvents.dlq": topic(records=7)}), DEAD[0], "warning", "7 dead letters"),
        (
            brokers(lags={"slow": (20_000, 20_500), "well": (0, 0)}),
            "lag",
            "warning",
            "slow by 20,500",
        ),
        (brokers(lags={"slow": (20_000,)}), "lag", "warning", "slow"),
    ],
)
def test_kafka_that_is_not(checks: list[Check], name: str, verdict: str, text: str) -> None:
    (one,) = not_well(checks)
    assert (one.name, one.verdict) == (name, verdict)
    assert text in one.observation


def test_readers_that_catch_up_are_well() -> None:
    checks = brokers(lags={"fast": (900_000, 600_000)})
    assert not_well(checks) == []
    assert "fast has 600,000 records left" in checks[-1].observation


def server(status: str = "RUNNING", states: tuple[str, ...] = ("RUNNING",), healthy: bool = True,
           versions: tuple[VersionStatus, ...] = ()) -> list[Check]:  # fmt: skip
    queries = [ServerQuery(f"CTAS_{at}", (), state, "") for at, state in enumerate(states)]
    return ksqldb.judge(ServerInfo("7.9.1", "opensea_", status), healthy, queries, versions)


def version(number: int, state: VersionState, changed: bool = False) -> VersionStatus:
    return VersionStatus(VersionRecord(number, "x", state, ""), 1, 1, changed)


def test_ksqldb_that_is_well() -> None:
    checks = server(versions=(version(1, VersionState.MIGRATED),))
    assert not_well(checks) == []
    assert checks[0].observation == "version 7.9.1, service opensea_"


@pytest.mark.parametrize(
    ("checks", "name", "verdict", "text"),
    [
        (server("ERROR"), "healthy", "failed", "error"),
        (server(healthy=False), "healthy", "failed", "7.9.1"),
        (server(states=("RUNNING", "ERROR")), "queries", "failed", "1 of 2 do not run: CTAS_1"),
        (server(states=("ERROR",) * 5), "queries", "failed", "CTAS_2 and 2 more"),
        (server(states=("PAUSED",)), "queries", "warning", "1 are paused"),
        (server(states=()), "queries", "warning", "none"),
        (server(versions=(version(1, VersionState.MIGRATED), version(2, VersionState.PENDING))),
         "migrations", "warning", "V002 pending"),
        (server(versions=(version(4, VersionState.MIGRATED, changed=True),)), "migrations", "warning", "applied: V004"),
    ],
)  # fmt: skip
def test_ksqldb_that_is_not(checks: list[Check], name: str, verdict: str, text: str) -> None:
    (one,) = not_well(checks)
    assert (one.name, one.verdict) == (name, verdict)
    assert text in one.observation


def workers(**states: Any) -> list[Check]:
    """Connect's checks. Each connector is (its state, the states of its tasks)."""
    replies = {
        name: {
            "status": {
                "connector": {"state": state},
                "tasks": [{"id": at, "state": task} for at, task in enumerate(tasks)],
            }
        }
        for name, (state, tasks) in (dict.fromkeys(connect.EXPECTED, ("RUNNING", ["RUNNING"])) | states).items()
        if state
    }  # fmt: skip
    return connect.judge({"version": "7.9.1-ccs"}, replies)


def test_connect_that_is_well() -> None:
    assert not_well(workers(own=("RUNNING", ["RUNNING", "RUNNING"]))) == []


@pytest.mark.parametrize(
    ("changed", "verdict", "text"),
    [
        (("RUNNING", ["RUNNING", "FAILED"]), "failed", "1 of 2 tasks failed: without a reason"),
        (("FAILED", []), "failed", "0 of 0"),
        (("PAUSED", []), "warning", "paused"),
        (("RUNNING", []), "warning", "0 of 0 tasks run"),
        (("UNASSIGNED", ["UNASSIGNED"]), "warning", "unassigned"),
        ((None, None), "warning", "not registered, so the archive gets no data"),
    ],
)
def test_connect_that_is_not(changed: Any, verdict: str, text: str) -> None:
    (one,) = not_well(workers(**{"s3-raw-events": changed}))
    assert (one.name, one.verdict) == ("s3-raw-events", verdict)
    assert text in one.observation


def test_a_failed_task_names_its_last_cause() -> None:
    trace = "o.a.k.ConnectException: Exiting\n\tat x\nCaused by: java.io.IOException: no route\n\tat y\n"
    status = {
        "connector": {"state": "RUNNING"},
        "tasks": [{"id": 0, "state": "FAILED", "trace": trace}],
    }
    checks = connect.judge({}, {"own": {"status": status}})
    assert "java.io.IOException: no route" in next(
        check.observation for check in checks if check.name == "own"
    )


def test_the_registry() -> None:
    latest: dict[str, dict[str, Any]] = {
        "Global": {"version": 1},
        "Collections": {"version": 3, "schemaType": "PROTOBUF"},
    }
    checks = schema_registry.judge(["Global-value", "Collections-value"], LONG, latest)
    assert not_well(checks) == []
    assert [check.observation for check in checks] == [
        "2 subjects",
        "AVRO, version 1",
        "PROTOBUF, version 3",
    ]
    (one,) = not_well(schema_registry.judge(["Global-value"], LONG, {"Global": {"version": 1}}))
    assert (one.name, one.verdict) == ("Collections", "warning")
    assert "long_form_format=AVRO" in one.advice


def tables(**changed: TableFacts | None) -> list[Check]:
    well = {table: TableFacts(key, NOW - 30) for table, key in cassandra.KEYS.items()}
    existing: Any = {table: facts for table, facts in (well | changed).items() if facts}
    return cassandra.judge("5.0.6", existing, NOW)


@pytest.mark.parametrize(
    ("changed", "verdict", "text"),
    [
        (None, "failed", "no such table"),
        (TableFacts(("collection", "metric", "timestamp"), NOW), "failed", "its key is"),
        (TableFacts(cassandra.KEYS["collections_metrics"], None), "warning", "empty"),
        (TableFacts(cassandra.KEYS["collections_metrics"], NOW - 3600), "warning", "60 min ago"),
    ],
)
def test_cassandra(changed: TableFacts | None, verdict: str, text: str) -> None:
    assert not_well(tables()) == []
    (one,) = not_well(tables(collections_metrics=changed))
    assert (one.name, one.verdict) == ("collections_metrics", verdict)
    assert text in one.observation


def test_the_archive() -> None:
    facts = archive.ArchiveFacts("year=2026", 3, 1_500_000, NOW - 60)
    assert not_well(archive.judge("s3a://b/t", facts, NOW)) == []
    (old,) = not_well(archive.judge("s3a://b/t", archive.ArchiveFacts("x", 3, 1, NOW - 9000), NOW))
    assert (old.name, old.verdict) == ("growing", "warning")
    (none,) = not_well(archive.judge("s3a://b/t", None, NOW))
    assert none.verdict == "warning"


def master(*states: str) -> list[Check]:
    workers = [{"state": state, "cores": 1, "memory": 640} for state in states]
    return spark.judge({"url": "spark://m:7077", "status": "ALIVE", "workers": workers})


def test_spark() -> None:
    assert not_well(master("ALIVE", "ALIVE")) == []
    assert master("ALIVE", "ALIVE")[-1].observation == "2 alive, 2 cores, 1280 MB for executors"
    assert verdicts(master("ALIVE", "DEAD"))["workers"] == "warning"
    assert verdicts(master("DEAD"))["workers"] == "failed"
    assert verdicts(master())["workers"] == "failed"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (119, "119 s"), (600, "10 min"), (10_000, "3 h"), (500_000, "6 days")],
)
def test_ages(seconds: float, text: str) -> None:
    assert age_text(seconds) == text
