"""Archives, statements over them, and what the embedded server and recompute make of both."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from opensea_metrics.deploy.embedded.trial import ChangeReader
from opensea_metrics.producer.archive.location import open_archive
from opensea_metrics.spark_batch.pipeline import plan
from opensea_metrics.spark_batch.recompute import computed, prepare
from opensea_metrics.sql.language.catalog.changes import check
from tests.embedded.inside import inside
from tests.spark_batch.archives import START, add, request

TOPIC = "OpenSeaRawEvents"
RAW = """
CREATE STREAM given (kind VARCHAR, k BIGINT, v BIGINT, t BIGINT)
  WITH (KAFKA_TOPIC='OpenSeaRawEvents', VALUE_FORMAT='JSON', TIMESTAMP='t');
CREATE STREAM l AS SELECT k, v FROM given WHERE kind = 'l';
CREATE STREAM r AS SELECT k, v FROM given WHERE kind = 'r';
"""


class Given(NamedTuple):
    """A record: which of the streams has it, its columns, its time (ms after the archive's start), and its file."""

    kind: str
    k: int | None
    v: int | None
    time: int
    partition: int = 0
    hour: int = 0


def written(folder: Path, records: Iterable[Given], statements: str) -> tuple[Path, Path]:
    """An archive and a project. Returns the folder of the archive's topic, and the project's."""
    topic = folder / "topics" / TOPIC
    files: dict[tuple[int, int], list[bytes]] = {}
    for record in records:
        value = {"kind": record.kind, "k": record.k, "v": record.v, "t": START + record.time}
        files.setdefault((record.partition, record.hour), []).append(json.dumps(value).encode())
    following: dict[int, int] = {}
    for (partition, hour), lines in sorted(files.items()):
        start = following.get(partition, 0)
        add(topic, START + hour * 3_600_000, start, lines, partition)
        following[partition] = start + len(lines)
    project = folder / "project"
    (project / "migrations").mkdir(parents=True)
    (project / "settings.yml").write_text("{}")
    (project / "migrations/V001__given.sql").write_text(RAW + statements)
    return topic, project


def of_server(folder: Path, statements: str, names: Sequence[str]) -> dict[str, list[str]]:
    """The rows of streams and tables that an embedded server has after it has read the archive from the start."""
    with inside(folder) as server:
        server.done(RAW + statements)
        server.settle()
        assert not server.engine.failures
        tables = {}
        for name in names:
            with closing(ChangeReader(server.engine, name.upper())) as reader:
                tables[name] = plain(reader.rows())
        return tables


def of_recompute(
    topic: Path, project: Path, names: Sequence[str], engine: str, as_streamed: bool = False
) -> dict[str, list[str]]:
    """The rows that one run of recompute computes of the whole archive."""
    prepared = prepare(request(wanted=names[0], engine=engine), open_archive(topic), project)
    catalog, job = check(prepared.project), prepared.job
    pipeline = plan(catalog, [name.upper() for name in names], TOPIC, job.period, as_streamed)
    with computed(replace(prepared, job=replace(job, pipeline=pipeline)), lambda _done, _total: None) as results:
        tables = ((name, results.table(name.upper())) for name in names)
        return {name: plain(row for batch in table.batches for row in batch.to_pylist()) for name, table in tables}


def plain(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Rows as sorted texts, without ROWTIME, which recompute does not write."""
    return sorted(
        json.dumps({name: value for name, value in sorted(row.items()) if name != "ROWTIME"}, default=str)
        for row in rows
    )
