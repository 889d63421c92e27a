"""recompute and archive compact with names that the engine has for itself, or that are hard to write."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from opensea_metrics.core.quoting import spark_quoted, spark_text
from opensea_metrics.producer.archive.location import open_archive
from opensea_metrics.spark_batch.upkeep.check import check as check_archive
from opensea_metrics.spark_batch.upkeep.compact import compact
from opensea_metrics.spark_batch.upkeep.outcome import Options
from opensea_metrics.spark_batch.upkeep.rows import raw_stream
from opensea_metrics.spark_batch.upkeep.runs import groups
from opensea_metrics.sql.language.catalog.changes import check
from opensea_metrics.sql.language.dialect.naming import SYSTEM_COLUMNS
from opensea_metrics.sql.language.project.project import load_project
from tests.embedded.test_names import NAMES as EMBEDDED
from tests.spark_batch.archives import DAY_MS, START, folder_of, needs, recomputed, request

OWN = ["_offset", "_line", "_failed"]
NAMES = [
    name
    for name in (*EMBEDDED, "_offset", "_time", "_file")
    if "{{" not in name and name.upper() not in SYSTEM_COLUMNS
]
HOUR = 3_600_000
TOPIC = "named"


def tick(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def record(number: int) -> dict[str, Any]:
    """The numbers of a record grow along the names; two records are in each group."""
    values = {name: number + at for at, name in enumerate(NAMES)}
    return {"t": START + number * 1_000, "g": f"g{number % 2}", "s": values, **values}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("it's") / "sql"
    (root / "migrations").mkdir(parents=True)
    (root / "settings.yml").write_text("{}")
    columns = ", ".join(f"{tick(name)} BIGINT" for name in NAMES)
    moved = [*NAMES[1:], NAMES[0]]
    renamed = ", ".join(f"{tick(name)} AS {tick(other)}" for name, other in zip(NAMES, moved, strict=True))
    sums = ", ".join(f"SUM({tick(name)}) AS {tick(name)}" for name in NAMES)
    fields = ", ".join(f"SUM(s->{tick(name)}) AS {tick(name)}" for name in NAMES)
    window = "WINDOW TUMBLING (SIZE 1 HOUR) GROUP BY"
    (root / "migrations/V001__named.sql").write_text(
        f"CREATE STREAM named (t BIGINT, g VARCHAR, s STRUCT<{columns}>, {columns})"
        " WITH (KAFKA_TOPIC='named', VALUE_FORMAT='JSON', PARTITIONS=1, TIMESTAMP='t');\n"
        f"CREATE STREAM moved AS SELECT g, s, {renamed} FROM named WHERE `_OFF` >= 0 AND g <> 'a''; DROP';\n"
        f"CREATE TABLE summed AS SELECT g, {sums} FROM moved {window} g HAVING SUM(`_OFF`) > 0;\n"
        f"CREATE TABLE fields AS SELECT g AS `_WS`, {fields.replace(' AS `_WS`', ' AS `_ws`')} FROM named {window} g;\n"
        "CREATE TABLE keyed WITH (KEY_FORMAT='JSON') AS SELECT `a'b`, g AS `_K0`, COLLECT_LIST(`_OFF`) AS `_A0`"
        f" FROM named {window} `a'b`, g;\n"
    )
    return root


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    topic = tmp_path_factory.mktemp("o'neill \"x\"; --") / "topics" / TOPIC
    folder = folder_of(topic, START)
    folder.mkdir(parents=True)
    for first in (0, 2):
        with gzip.open(folder / f"{TOPIC}+0+{first:010d}.json.gz", "wt") as file:
            file.writelines(json.dumps(record(first + number)) + "\n" for number in range(2))
    return topic


def expected() -> dict[str, list[dict[str, Any]]]:
    window = {"WINDOWSTART": START, "WINDOWEND": START + HOUR}
    sums = {
        f"g{group}": {name: sum(record(n)["s"][name] for n in (group, group + 2)) for name in NAMES}
        for group in (0, 1)
    }
    moved = [*NAMES[1:], NAMES[0]]
    at = NAMES.index("a'b")
    off = NAMES.index("_OFF")
    return {
        "SUMMED": [
            {"G": group, **window, **{other: found[name] for name, other in zip(NAMES, moved, strict=True)}}
            for group, found in sums.items()
        ],
        "FIELDS": [
            {"_WS": group, **window, **{"_ws" if name == "_WS" else name: found[name] for name in NAMES}}
            for group, found in sums.items()
        ],
        "KEYED": [
            {"a'b": number + at, "_K0": f"g{number % 2}", "_A0": [number + off], **window} for number in range(4)
        ],
    }


def recompute(archive: Path, project: Path, engine: str) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for name in ("summed", "fields", "keyed"):
        tables, _, counts = recomputed(archive, request(wanted=name, engine=engine), project)
        assert (counts.read, counts.used, counts.set_aside) == (4, 4, 0)
        found |= tables
    return found


@pytest.mark.parametrize("engine", ["duckdb", "spark"])
def test_recompute(archive: Path, project: Path, engine: str) -> None:
    needs(engine)
    assert recompute(archive, project, engine) == expected()


@pytest.mark.parametrize("engine", ["duckdb", "spark"])
def test_recompute_of_compacted_files(archive: Path, project: Path, engine: str, compacted: Path) -> None:
    needs(engine)
    assert recompute(compacted, project, engine) == expected()


@pytest.fixture(scope="module")
def compacted(archive: Path, project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive with one compacted file in place of its own."""
    topic = tmp_path_factory.mktemp("compacted") / "topics" / TOPIC
    shutil.copytree(archive, topic)
    source = open_archive(topic)
    stream = raw_stream(check(load_project(project)), TOPIC)
    planned = groups(source.listing().files, START + 90 * DAY_MS, 0, START, START + HOUR)
    assert compact(source, stream, planned, Options()).compacted == 1
    return topic


def test_a_compacted_file(compacted: Path, project: Path) -> None:
    source = open_archive(compacted)
    (made,) = compacted.rglob("*.parquet")
    # The files' own columns stay theirs; a column of that name is only in the text of the record.
    stored = {name.lower() for name in ("t", "s", "g", *NAMES)} - {*OWN, "_time", "_file"}
    assert sorted(pq.read_schema(made).names) == sorted([*OWN, *stored])
    assert [json.loads(line) for line in pq.read_table(made)["_line"].to_pylist()] == [record(n) for n in range(4)]
    report = check_archive(source, raw_stream(check(load_project(project)), TOPIC))
    assert [finding for finding in report.findings if finding.kind.name != "GAP"] == []


@pytest.mark.parametrize("name", ["${env:HOME}", "${spark.app.name}", "${x}"])
def test_spark_replaces_no_variables(spark: Any, name: str) -> None:
    (row,) = spark.sql(f"SELECT {spark_text(name)} AS {spark_quoted(name)}").toArrow().to_pylist()
    assert row == {name: name}
