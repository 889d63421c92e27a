"""recompute reads records as the embedded server does: the cases of ``tests/embedded/records.yml``, on each engine,
from archive files as they are written and from compacted ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from spark_batch.archive.compact import Options, compact
from spark_batch.archive.rows import raw_stream
from spark_batch.archive.runs import groups
from spark_batch.source import open_source
from sql.catalog import Catalog
from sql.changes import applied, check
from sql.errors import SqlError
from sql.parser import parse_script
from sql.project import load_project
from tests.embedded.records import CASES, Case, shown_as_in_replies
from tests.spark_batch.archives import DAY_MS, START, add, needs, recomputed, request

HOUR = 3_600_000
ENGINES = ("duckdb", "spark")

each_case = pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])
each_engine = pytest.mark.parametrize("engine", ENGINES)


def declared(root: Path, declaration: str) -> Path:
    """A project with a stream GIVEN, and a table READ that has each of its records by their event times."""
    (statement,) = parse_script(declaration, "given")
    columns = applied(Catalog(), statement, 1).sources["GIVEN"].columns
    values = ", ".join(f"LATEST_BY_OFFSET({column.name}) AS {column.name}" for column in columns)
    table = (
        f"CREATE TABLE read WITH (KEY_FORMAT='JSON') AS SELECT ROWTIME AS event_time, {values} FROM given"
        " WINDOW TUMBLING (SIZE 1 HOUR) GROUP BY ROWTIME;"
    )
    (root / "migrations").mkdir(parents=True)
    (root / "settings.yml").write_text("{}")
    (root / "migrations/V001__read.sql").write_text(f"{declaration}\n{table}")
    return root


def archived(topic: Path, lines: list[str]) -> None:
    """Write a file for each two lines, so that names differ within files and between them."""
    for first in range(0, len(lines), 2):
        add(topic, START, first, [line.encode() for line in lines[first : first + 2]])


def compact_all(topic: Path, root: Path) -> Path:
    """Compact the files of a topic into one, and give this."""
    source = open_source(topic)
    stream = raw_stream(check(load_project(root)), "OpenSeaRawEvents")
    planned = groups(source.listing()[0], START + 90 * DAY_MS, 0, START, START + HOUR)
    assert compact(source, stream, planned, Options()).compacted == 1
    (made,) = topic.rglob("*.parquet")
    return made


def read(topic: Path, root: Path, engine: str) -> list[Any]:
    """The rows of the table READ as replies of ksqlDB have them, with the event time last."""
    tables, prepared, _ = recomputed(topic, request(wanted="read", engine=engine), root)
    key, *values = prepared.job.pipeline.catalog.sources["READ"].columns
    columns = [*values, key]
    return shown_as_in_replies(columns, ([row[column.name] for column in columns] for row in tables["READ"]))


@each_engine
@pytest.mark.parametrize("is_compacted", [False, True])
@each_case
def test_rows(tmp_path: Path, case: Case, is_compacted: bool, engine: str) -> None:
    needs(engine)
    root = declared(tmp_path / "sql", case.declaration("given", "OpenSeaRawEvents"))
    topic = tmp_path / "topics/OpenSeaRawEvents"
    archived(topic, case.lines)
    if is_compacted:
        compact_all(topic, root)
    if engine == "spark" and case.spark_refuses:
        with pytest.raises(SqlError, match=case.spark_refuses):
            read(topic, root, engine)
        return
    assert read(topic, root, engine) == case.rows
