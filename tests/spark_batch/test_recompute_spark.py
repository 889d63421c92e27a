"""What only Spark has: one scan for all tables, s3a://, a cluster. (That its numbers are right is tested
beside the other engine's, in ``test_recompute``.)"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from opensea_metrics.producer.archive.layout import archive_file
from opensea_metrics.producer.archive.location import open_archive
from opensea_metrics.spark_batch.groups import shared_out
from opensea_metrics.spark_batch.recompute import prepare
from opensea_metrics.spark_batch.spark_engine import SparkResults
from tests.metrics import near
from tests.parts import spark as parts
from tests.parts.s3 import S3
from tests.spark_batch.archives import SQL, START, compacted, recomputed, request, write_sample

HOUR_MS = 3_600_000


def test_the_archive_is_scanned_once(spark: Any, tmp_path: Path) -> None:
    topic = write_sample(tmp_path, 400, START, 2 * HOUR_MS)
    prepared = prepare(
        request("1 hour", "2 hours", engine="spark", first=START, end=START + 2 * HOUR_MS),
        open_archive(topic),
        SQL,
    )
    results = SparkResults(spark, prepared.job)
    try:
        results.compute(lambda done, total: None)
        for name in prepared.tables:
            assert sum(batch.num_rows for batch in results.table(name).batches)
        archive, *groupings = results.plans()
    finally:
        results.close()
    final = archive.partition("== Initial Plan ==")[0]
    assert final.count("MapInArrow") == 1, archive
    assert len(groupings) >= 4
    for plan in groupings:
        # What stands below an InMemoryRelation is how that was made, once.
        own = plan.partition("InMemoryRelation")[0]
        assert "InMemoryTableScan" in own
        assert "FileScan" not in own


def test_files_are_shared_out_by_their_size() -> None:
    def shared(sizes: list[int], tasks: int) -> list[list[int]]:
        files = [archive_file(f"t+0+{n:010d}.json.gz", size) for n, size in enumerate(sizes)]
        groups = list(shared_out([file for file in files if file], tasks, 0))
        assert [file.start for group in groups for file in group] == list(range(len(sizes)))
        return [[file.size for file in group] for group in groups]

    mega = 1024 * 1024
    assert shared([], 8) == []
    assert shared([mega] * 4, 8) == [[mega]] * 4
    assert shared([mega] * 40, 4) == [[mega] * 10] * 4
    assert [len(group) for group in shared([1_000] * 10_000, 8)] == [505] * 19 + [405]
    assert [len(group) for group in shared([16 * mega] * 400, 8)] == [2] * 200
    assert shared([500 * mega, 1, 1], 2) == [[500 * mega], [1, 1]]


def test_results_are_in_the_same_order_whatever_the_key(spark: Any, tmp_path: Path) -> None:
    """Arrow sorts texts and structs, and no arrays."""
    topic = write_sample(tmp_path, 400, START, 2 * HOUR_MS)
    sql = Path(shutil.copytree(SQL, tmp_path / "sql", ignore=shutil.ignore_patterns("*.py*", "__py*")))
    keys = {
        "texts": "payload->payload->collection->slug, event",
        "structs": "payload->payload->collection",
        "lists": "ARRAY[event, payload->payload->chain]",
    }
    (sql / "migrations/V900__own.sql").write_text(
        "\n".join(
            f"CREATE TABLE {name} WITH (VALUE_FORMAT='JSON', KEY_FORMAT='JSON') AS SELECT {key}, COUNT(*) AS n"
            f" FROM opensea_raw_events WINDOW TUMBLING (SIZE 1 HOUR) GROUP BY {key} EMIT CHANGES;"
            for name, key in keys.items()
        )
    )
    for name in keys:
        by_spark, by_duckdb = (
            recomputed(topic, request(wanted=name, engine=engine), sql)[0][name.upper()]
            for engine in ("spark", "duckdb")
        )
        assert by_spark == by_duckdb
        assert len(by_spark) > 10


def recompute(
    tmp_path: Path, environment: dict[str, str], *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own: a process has one Spark."""
    program = "from opensea_metrics.deploy.cli import main; main()"
    return subprocess.run(
        (sys.executable, "-c", program, "recompute", "all", "--window", "1 hour", "--sql", str(SQL),
         *arguments),
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(SQL.parent)} | environment,
        capture_output=True, text=True, timeout=540, check=False,
    )  # fmt: skip


def rows(folder: Path) -> dict[str, list[dict[str, Any]]]:
    return {path.stem: _plain(pq.read_table(path).to_pylist()) for path in folder.glob("*.parquet")}


def _plain(value: Any) -> Any:
    """Values to compare: JSON texts parsed, times of windows as they are."""
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, str) and value.startswith("{"):
        return _plain(json.loads(value))
    return value


@pytest.mark.slow
def test_a_cluster_reads_a_bucket(tmp_path: Path, s3_server: S3) -> None:
    parts.needed()
    topic = write_sample(tmp_path / "made", 600, START, 3 * HOUR_MS)
    compacted(topic, START, START + HOUR_MS)
    s3_server.upload(topic, f"spark-raw/topics/{topic.name}")
    source = ("--source", f"s3a://spark-raw/topics/{topic.name}")
    by_duckdb, by_spark = tmp_path / "duckdb", tmp_path / "spark"
    said = recompute(
        tmp_path, s3_server.environment, *source, "--engine", "duckdb", "--to-parquet", str(by_duckdb)
    )
    assert said.returncode == 0, said.stderr
    (tmp_path / "logs").mkdir()
    with parts.cluster(tmp_path / "logs") as master:
        environment = s3_server.environment | {
            "OPENSEA_METRICS_SPARK_MASTER": master,
            "OPENSEA_METRICS_SPARK_DRIVER_MEMORY": "512m",
            "SPARK_LOCAL_IP": "127.0.0.1",
        }
        # A master that is set is used without being asked for.
        said = recompute(tmp_path, environment, *source, "--to-parquet", str(by_spark))
    if said.returncode and "UNRESOLVED DEPENDENCIES" in said.stderr.upper():
        pytest.skip("Maven Central does not give Spark's jars for s3a://")
    assert said.returncode == 0, said.stderr
    facts = json.loads((by_spark / "run.json").read_text())
    assert facts["engine"] == "spark"
    assert s3_server.secret_key not in json.dumps(facts) + said.stdout + said.stderr
    found, expected = rows(by_spark), rows(by_duckdb)
    assert found.keys() == expected.keys()
    for name in expected:
        assert found[name] == near(expected[name]), name


@pytest.mark.slow
def test_a_master_that_is_not_there(tmp_path: Path) -> None:
    parts.needed()
    topic = write_sample(tmp_path / "made", 50, START, HOUR_MS)
    environment = {"OPENSEA_METRICS_SPARK_MASTER": "spark://127.0.0.1:1", "SPARK_LOCAL_IP": "127.0.0.1"}
    said = recompute(tmp_path, environment, "--source", str(topic))
    assert said.returncode == 1
    assert "error: Spark" in said.stderr
