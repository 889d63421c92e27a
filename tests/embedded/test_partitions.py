"""A folder of files is a topic: its number of partitions, and the files of partitions that it does not have."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from opensea_metrics.deploy import commands
from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.demo import wait_until_read
from opensea_metrics.deploy.embedded import server
from opensea_metrics.deploy.embedded.engine import Engine
from opensea_metrics.deploy.embedded.statements.statement_runner import (
    Statements,
    StatementsRequest,
)
from opensea_metrics.producer.replay import replay
from opensea_metrics.producer.sinks import ArchiveSink
from tests.embedded.topic import CountedTopic, lines, running
from tests.metrics import frames

CREATE = "CREATE STREAM {name} (k VARCHAR) WITH (KAFKA_TOPIC='{topic}', VALUE_FORMAT='JSON'{more});"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with running(tmp_path) as running_engine:
        yield running_engine


def put(engine: Engine, *names: str, topic: str = "raw") -> None:
    for name in names:
        path = engine.root / topic / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(lines("x"))


def ask(engine: Engine, text: str) -> tuple[Any, int]:
    return Statements(engine).run(StatementsRequest(text, {}, {}))


def create(engine: Engine, more: str = "", name: str = "s", topic: str = "raw") -> tuple[Any, int]:
    return ask(engine, CREATE.format(name=name, topic=topic, more=more))


def partitions(engine: Engine, topic: str = "raw") -> int | None:
    (reply,), _ = ask(engine, "SHOW TOPICS;")
    listed = {entry["name"]: len(entry["replicaInfo"]) for entry in reply["topics"]}
    return listed.get(topic)


ARCHIVE = ("year=2026/raw+0+0000000000.json.gz", "year=2026/raw+1+0000000000.json")


@pytest.mark.parametrize("declared", [2, 3, 12])
def test_the_first_declaration_says_how_many_partitions_a_folder_has(engine: Engine, declared: int) -> None:
    put(engine, *ARCHIVE)
    assert partitions(engine) == 2
    assert create(engine, f", PARTITIONS={declared}")[1] == 200
    assert partitions(engine) == declared
    (described,), _ = ask(engine, "DESCRIBE s EXTENDED;")
    assert described["sourceDescription"]["partitions"] == declared
    assert ask(engine, f"ASSERT TOPIC raw WITH (PARTITIONS={declared});")[1] == 200
    reply, status = create(engine, f", PARTITIONS={declared + 1}", "other")
    assert status == 500
    assert f"KSQL expects {declared + 1} partitions (topic has {declared})" in reply["message"]


def test_a_declaration_without_partitions_takes_those_of_the_files(engine: Engine) -> None:
    put(engine, *ARCHIVE)
    assert create(engine)[1] == 200
    assert partitions(engine) == 2
    (described,), _ = ask(engine, "DESCRIBE s;")
    assert described["sourceDescription"]["partitions"] == 2
    assert create(engine, ", PARTITIONS=2", "other")[1] == 200


def test_a_declaration_that_has_too_few_names_partition_and_file(engine: Engine) -> None:
    put(engine, *ARCHIVE, "year=2026/raw+10+0000000007.json.gz")
    reply, status = create(engine, ", PARTITIONS=2")
    assert status == 500
    assert reply["message"] == (
        "A Kafka topic with the name 'raw' already exists, with different partition/replica/retention"
        " configuration than required. KSQL expects 2 partitions (topic has 11), 1 replication factor (topic"
        " has 1).\nThe file year=2026/raw+10+0000000007.json.gz is of partition 10. Declare PARTITIONS=11, or"
        " move such files out of the topic's directory."
    )
    assert ask(engine, "SHOW STREAMS;")[0][0]["streams"][0]["name"] == "KSQL_PROCESSING_LOG"
    (engine.root / "raw/year=2026/raw+10+0000000007.json.gz").unlink()
    assert create(engine, ", PARTITIONS=2")[1] == 200


@pytest.mark.parametrize(
    "name",
    [
        "a.json", "raw.json", "other+5+0000000000.json", "raw-2026-11.json", "raw+5.json", "raw+x+0.json",
        "+5+0.json", "raw+5+0.txt", ".raw+5+0.json", "raw++5+0.json", "raw+5+x.json",
    ],
)  # fmt: skip
def test_other_names_have_no_partition(engine: Engine, name: str) -> None:
    put(engine, name)
    assert partitions(engine) == 1
    assert create(engine, ", PARTITIONS=1")[1] == 200


def test_the_statements_of_one_request_see_each_other(engine: Engine) -> None:
    put(engine, *ARCHIVE)
    both = CREATE.format(name="a", topic="raw", more=", PARTITIONS=4")
    reply, status = ask(engine, both + CREATE.format(name="b", topic="raw", more=", PARTITIONS=3"))
    assert status == 500
    assert "KSQL expects 3 partitions (topic has 4)" in reply["message"]
    assert ask(engine, both + CREATE.format(name="b", topic="raw", more=", PARTITIONS=4"))[1] == 200


def test_a_query_may_write_into_a_folders_topic(engine: Engine) -> None:
    put(engine, *ARCHIVE, topic="raw")
    put(engine, "sink+2+0.json", topic="sink")
    assert create(engine, ", PARTITIONS=2")[1] == 200
    select = "AS SELECT * FROM s EMIT CHANGES;"
    reply, status = ask(engine, f"CREATE STREAM two WITH (KAFKA_TOPIC='sink', PARTITIONS=2) {select}")
    assert status == 500
    assert "The file sink+2+0.json is of partition 2" in reply["message"]
    assert ask(engine, f"CREATE STREAM three WITH (KAFKA_TOPIC='sink') {select}")[1] == 200
    assert partitions(engine, "sink") == 3


def test_a_later_file_of_a_partition_that_is_not_there_is_reported(engine: Engine) -> None:
    topic = CountedTopic(engine, "t")  # with 2 partitions
    for name in ("t+0+0.json", "t+1+0.json", "t+1+1.json.gz"):
        topic.write(name, lines("good"))
    for name in ("t+2+0.json", "t+7+0000000000.json.gz", "deep/t+99999999999999999999+0.json"):
        topic.write(name, lines("bad"))
    for _ in range(2):
        assert topic.counts() == {"good": 3}
    assert sorted(message for _, message in topic.reports()) == sorted(
        f"Skipped a file of topic: t. its name says partition {number}, but the topic has 2 (0 to 1);"
        f" rename the file ({topic.folder / name})"
        for number, name in [
            (2, "t+2+0.json"),
            (7, "t+7+0000000000.json.gz"),
            (99999999999999999999, "deep/t+99999999999999999999+0.json"),
        ]
    )
    (topic.folder / "t+2+0.json").rename(topic.folder / "t+1+2.json")
    assert topic.counts() == {"good": 3, "bad": 1}
    topic.drop()
    assert partitions(engine, "t") == 8


def test_a_huge_partition_number_is_refused(engine: Engine) -> None:
    put(engine, "raw+4000000000+0.json", "raw+9999+0.json")
    assert partitions(engine) == 10_000
    assert create(engine)[1] == 200
    assert partitions(engine) == 10_000


@pytest.mark.parametrize("serve_first", [True, False])
def test_events_first_and_apply_later(tmp_path: Path, serve_first: bool) -> None:
    def record() -> None:
        sink = ArchiveSink(tmp_path)
        try:
            counts = replay(islice(frames(), 500), sink)
        finally:
            sink.close()
        assert counts.written > 400
        written.append(counts.written)

    written: list[int] = []
    if not serve_first:
        record()
    with server.running(tmp_path) as url:
        client = KsqlClient(url)
        if serve_first:
            record()
        assert {t.name: t.partitions for t in client.topics()}["OpenSeaRawEvents"] == 2
        commands.apply(client, Path("sql"), {"windows": "[{size: 1 MINUTE}]"})
        wait_until_read(client, 60)
        assert sum(row["EVENTS"] for row in client.pull("SELECT events FROM global_1_minute;")) == written[0]
        assert {t.name: t.partitions for t in client.topics()}["OpenSeaRawEvents"] == 2


JOINED = """
CREATE STREAM a (k VARCHAR KEY, v INT) WITH (KAFKA_TOPIC='a', VALUE_FORMAT='JSON', PARTITIONS=3);
CREATE TABLE b (k VARCHAR PRIMARY KEY, w INT) WITH (KAFKA_TOPIC='b', VALUE_FORMAT='JSON', PARTITIONS=3);
CREATE STREAM j AS SELECT a.k AS k, v, w FROM a LEFT JOIN b ON a.k = b.k;
CREATE TABLE t AS SELECT k, COUNT(*) AS n FROM a GROUP BY k;
"""


def test_descriptions_have_the_offsets_of_all_sources(engine: Engine) -> None:
    """The same statements give the same numbers on a real 7.9.1."""
    rows = [f"INSERT INTO b (k, w) VALUES ('k{n}', {n});" for n in range(3)]
    rows += [f"INSERT INTO a (k, v) VALUES ('k{n}', {n});" for n in range(5)]
    assert ask(engine, JOINED + "".join(rows))[1] == 200
    while engine.work():
        pass
    of_a = [(0, 0, 1, 1), (1, 0, 2, 2), (2, 0, 2, 2)]
    expected = {"J": {"a": of_a, "b": [(0, 0, 1, 1), (1, 0, 0, 0), (2, 0, 2, 2)]}, "T": {"a": of_a}}
    for name, topics in expected.items():
        (reply,), _ = ask(engine, f"DESCRIBE {name} EXTENDED;")
        (summary,) = reply["sourceDescription"]["queryOffsetSummaries"]
        offsets = {topic["kafkaTopic"]: topic["offsets"] for topic in summary["topicSummaries"]}
        assert {topic: [tuple(item.values()) for item in items] for topic, items in offsets.items()} == topics
    (reply,), _ = ask(engine, "SHOW TOPICS EXTENDED;")
    groups = {item["name"]: (item["consumerCount"], item["consumerGroupCount"]) for item in reply["topics"]}
    assert (groups["a"], groups["b"], groups["J"]) == ((6, 2), (3, 1), (0, 0))
