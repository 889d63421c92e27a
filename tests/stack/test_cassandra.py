"""Long-form rows in a real Cassandra, with the stack's tables and mapping."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pydantic import SecretStr

from opensea_metrics.deploy import commands
from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.demo import wait_until_read
from opensea_metrics.deploy.embedded import server
from opensea_metrics.producer import sample
from opensea_metrics.producer.replay import replay
from opensea_metrics.producer.sinks import ArchiveSink
from opensea_metrics.spark_batch.cassandra import COLUMNS, Table, write
from opensea_metrics.spark_batch.cassandra_session import (
    CassandraError,
    CassandraSettings,
    connected,
)
from tests.parts import cassandra
from tests.parts.ports import free_port

pytest.importorskip("cassandra", reason="needs the extra cassandra")

COMPOSE = Path("deploy/compose")
NOON = 1_789_473_600_000


def batch(**columns: list[Any]) -> pa.RecordBatch:
    """Long-form rows of a collection. Columns that are not given are NULL."""
    names = ("METRIC", "COLLECTION", "NFT_ID", "VALUE", "ASSET_NAME", "ASSET_URL", "IMAGE_URL")
    size = len(columns["METRIC"])
    arrays = {
        name: pa.array(
            columns.get(name, [None] * size), pa.float64() if name == "VALUE" else pa.string()
        )
        for name in names
    }
    arrays["timestamp"] = pa.array(columns.get("timestamp", [NOON] * size), pa.int64())
    return pa.RecordBatch.from_pydict(arrays)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CassandraSettings]:
    with cassandra.running(tmp_path_factory.mktemp("cassandra") / "node") as settings:
        cassandra.make_tables(settings)
        yield settings


@pytest.fixture
def empty(node: CassandraSettings) -> CassandraSettings:
    with connected(node) as session:
        for table in COLUMNS:
            session.execute(f"TRUNCATE {table}", timeout=60)
    return node


def test_the_schema_can_be_run_again_and_has_the_keys(node: CassandraSettings) -> None:
    cassandra.make_tables(node)
    rows = cassandra.read(
        node,
        "SELECT table_name, column_name, kind, position, clustering_order FROM system_schema.columns"
        " WHERE keyspace_name = 'opensea'",
    )
    keys = {
        (row["table_name"], row["column_name"]): (
            row["kind"],
            row["position"],
            row["clustering_order"],
        )
        for row in rows
        if row["kind"] != "regular"
    }
    assert keys == {
        ("global_metrics", "metric"): ("partition_key", 0, "none"),
        ("global_metrics", "collection"): ("clustering", 0, "asc"),
        ("global_metrics", "timestamp"): ("clustering", 1, "desc"),
        ("collections_metrics", "collection"): ("partition_key", 0, "none"),
        ("collections_metrics", "metric"): ("partition_key", 1, "none"),
        ("collections_metrics", "timestamp"): ("clustering", 0, "desc"),
        ("collections_metrics", "nft_id"): ("clustering", 1, "asc"),
    }
    columns = {(row["table_name"], row["column_name"]) for row in rows}
    assert columns == {(table, column) for table, mapping in COLUMNS.items() for column in mapping}


@pytest.mark.parametrize("table", COLUMNS)
def test_batch_and_streaming_sink_map_the_same_fields(table: Table) -> None:
    kind = table.partition("_")[0]
    config = json.loads((COMPOSE / f"connect/connectors/cassandra-{kind}-metrics.json").read_text())
    mapping = config[f"topic.{config['topics']}.opensea.{table}.mapping"]
    streamed = dict(pair.strip().split("=value.") for pair in mapping.split(","))
    assert streamed == COLUMNS[table]


@pytest.fixture(scope="module")
def streamed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """The long form of the sample events, as the migrations compute it."""
    data = tmp_path_factory.mktemp("data")
    with server.running(data) as url:
        client = KsqlClient(url)
        commands.apply(client, Path("sql"), {"windows": "[{size: 5 MINUTES}]"})
        sink = ArchiveSink(data)
        replay(sample.bundled(), sink)
        sink.close()
        wait_until_read(client, 120)
        return {
            "global_metrics": list(client.pull("SELECT * FROM enriched_global_events;")),
            "collections_metrics": list(client.pull("SELECT * FROM enriched_collections_events;")),
        }


@pytest.mark.parametrize("table", COLUMNS)
def test_all_rows_of_the_long_form_are_stored_with_their_last_value(
    empty: CassandraSettings, streamed: dict[str, list[dict[str, Any]]], table: Any
) -> None:
    rows = streamed[table]
    key = ("METRIC", "COLLECTION", "timestamp", "NFT_ID")
    last = {tuple(row.get(part) for part in key): row for row in rows}
    assert len(last) > 100
    assert all(
        row.get("NFT_ID", "") is not None for row in rows
    )  # Cassandra takes no NULL in a key
    # A recompute has one row per key. Several rows of one key would be written in any order.
    batches = [pa.RecordBatch.from_pylist(list(last.values()))]
    assert write(batches, table, empty) == len(last)
    once = cassandra.read(empty, f"SELECT * FROM {table}")
    assert len(once) == len(last)
    for row in once:
        moment = int(row["timestamp"].replace(tzinfo=UTC).timestamp() * 1000)
        expected = last[row["metric"], row["collection"], moment, row.get("nft_id")]
        assert {name: expected[source] for name, source in COLUMNS[table].items()} == {
            **row,
            "timestamp": moment,
        }
    write(batches, table, empty)
    assert cassandra.read(empty, f"SELECT * FROM {table}") == once


def test_top_assets_of_one_moment_do_not_overwrite_one_another(empty: CassandraSettings) -> None:
    rows = batch(
        METRIC=["top__1_hour"] * 3 + ["floor__1_hour"],
        COLLECTION=["otters"] * 4,
        NFT_ID=["ethereum/0x1/1", "ethereum/0x1/2", "ethereum/0x1/3", None],
        VALUE=[3.0, 2.0, 1.0, None],
        ASSET_NAME=["One", None, "Three", None],
    )
    assert write([rows], "collections_metrics", empty) == 4
    assets = cassandra.read(
        empty,
        "SELECT * FROM collections_metrics WHERE collection='otters' AND metric='top__1_hour'",
    )
    assert [(row["nft_id"], row["value"], row["asset_name"]) for row in assets] == [
        ("ethereum/0x1/1", 3.0, "One"),
        ("ethereum/0x1/2", 2.0, None),
        ("ethereum/0x1/3", 1.0, "Three"),
    ]
    (floor,) = cassandra.read(
        empty,
        "SELECT * FROM collections_metrics WHERE collection='otters' AND metric='floor__1_hour'",
    )
    assert floor["nft_id"] == ""
    assert floor["value"] is None
    assert floor["timestamp"].replace(tzinfo=UTC) == datetime.fromtimestamp(NOON / 1000, UTC)


def test_a_later_write_replaces_also_by_a_lower_value_or_none(empty: CassandraSettings) -> None:
    named = {"METRIC": ["floor"], "COLLECTION": ["otters"]}
    for value in (5.0, 4.0, None):
        for texts in ({"ASSET_NAME": ["kept"]}, {}):
            write([batch(**named, VALUE=[value], **texts)], "collections_metrics", empty)
        (row,) = cassandra.read(empty, "SELECT * FROM collections_metrics")
        assert (row["value"], row["asset_name"]) == (value, "kept")


def test_times_may_be_arrow_timestamps(empty: CassandraSettings) -> None:
    rows = batch(METRIC=["m"], COLLECTION=["otters"], VALUE=[1.0])
    at = rows.schema.get_field_index("timestamp")
    rows = rows.set_column(at, "timestamp", rows.column(at).cast(pa.timestamp("ms", "UTC")))
    write([rows], "global_metrics", empty)
    (row,) = cassandra.read(empty, "SELECT * FROM global_metrics")
    assert row["timestamp"].replace(tzinfo=UTC) == datetime.fromtimestamp(NOON / 1000, UTC)


def test_more_rows_than_a_chunk(empty: CassandraSettings) -> None:
    count = 12_345
    rows = batch(
        METRIC=["m"] * count, COLLECTION=[f"c{number % 50}" for number in range(count)],
        timestamp=[NOON + number * 1000 for number in range(count)], VALUE=[float(number) for number in range(count)],
    )  # fmt: skip
    assert write(iter([rows]), "global_metrics", empty) == count
    assert cassandra.read(empty, "SELECT count(*) AS n FROM global_metrics")[0]["n"] == count


def test_a_null_in_a_key_or_a_missing_column_is_an_error_before_rows_are_sent(empty: CassandraSettings) -> None:
    with pytest.raises(CassandraError, match="NULL in METRIC"):
        write([batch(METRIC=[None], COLLECTION=["otters"])], "global_metrics", empty)
    with pytest.raises(CassandraError, match="lack the columns ASSET_NAME"):
        write(
            [batch(METRIC=["m"], COLLECTION=["c"]).drop_columns(["ASSET_NAME"])],
            "collections_metrics",
            empty,
        )


def test_a_table_with_the_predecessors_key_is_an_error(empty: CassandraSettings) -> None:
    with connected(empty) as session:
        session.execute(
            "CREATE KEYSPACE IF NOT EXISTS older WITH replication ="
            " {'class': 'SimpleStrategy', 'replication_factor': 1}", timeout=60
        )  # fmt: skip
        session.execute(
            "CREATE TABLE IF NOT EXISTS older.collections_metrics (metric text, timestamp timestamp, collection text,"
            " value double, asset_name text, asset_url text, image_url text,"
            " PRIMARY KEY ((collection, metric), timestamp))", timeout=60
        )  # fmt: skip
    older = empty.model_copy(update={"keyspace": "older"})
    with pytest.raises(CassandraError, match=r"nft_id(?s:.)*schema\.cql"):
        write([batch(METRIC=["m"], COLLECTION=["c"])], "collections_metrics", older)


def test_no_keyspace_no_node_no_data_center(node: CassandraSettings) -> None:
    rows = [batch(METRIC=["m"], COLLECTION=["c"])]
    with pytest.raises(CassandraError, match="no keyspace elsewhere"):
        write(rows, "global_metrics", node.model_copy(update={"keyspace": "elsewhere"}))
    with pytest.raises(CassandraError, match="cannot be reached"):
        write(rows, "global_metrics", node.model_copy(update={"port": free_port(), "timeout": 3}))
    with pytest.raises(CassandraError, match="data center mars"):
        write(rows, "global_metrics", node.model_copy(update={"local_dc": "mars"}))


@pytest.mark.slow
def test_the_first_start_of_the_stack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """init.sh with docker compose's settings creates our user and the tables, and locks out everybody else."""
    cqlsh = shutil.which("cqlsh") or shutil.which("cqlsh", path=os.path.dirname(sys.executable))
    if cqlsh is None:
        pytest.skip("needs cqlsh: pip install cqlsh")
    options = (
        (COMPOSE.parent.parent / "docker-compose.yml").read_text().split("JVM_EXTRA_OPTS: >-")[1]
    )
    properties = tuple(option for option in options.split("ports:")[0].split() if option.startswith("-D"))
    assert any("PasswordAuthenticator" in option for option in properties)
    user, password = "opensea", "it's a secret"
    with cassandra.running(tmp_path / "node", properties) as settings:
        script = tmp_path / "init.sh"
        script.write_text(
            (COMPOSE / "cassandra/init.sh")
            .read_text()
            .replace("/schema.cql", str(cassandra.SCHEMA.resolve()))
        )
        environment = {
            "PATH": f"{os.path.dirname(cqlsh)}:{os.environ['PATH']}", "HOME": str(tmp_path),
            "CASSANDRA_HOST": "127.0.0.1", "CQLSH_PORT": str(settings.port),
            "CASSANDRA_USER": user, "CASSANDRA_PASSWORD": password,
        }  # fmt: skip
        for _ in range(2):  # the second start changes nothing
            done = subprocess.run(
                ["bash", script], env=environment, capture_output=True, text=True, timeout=180
            )
            assert done.returncode == 0, done.stderr
            assert password not in done.stdout + done.stderr
        known = settings.model_copy(update={"user": user, "password": SecretStr(password)})
        assert write([batch(METRIC=["m"], COLLECTION=["c"])], "global_metrics", known) == 1
        for who, secret in (("cassandra", "cassandra"), (user, "wrong"), ("", "")):
            other = settings.model_copy(update={"user": who, "password": SecretStr(secret)})
            with pytest.raises(CassandraError) as refusal:
                write([batch(METRIC=["m"], COLLECTION=["c"])], "global_metrics", other)
            assert secret == "" or secret == who or secret not in str(refusal.value)
