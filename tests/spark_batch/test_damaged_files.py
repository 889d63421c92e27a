"""Every reader treats damaged files, and what is no file, in the same way (the table in docs/archive.md)."""

from __future__ import annotations

import errno
import gzip
import os
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest

from opensea_metrics.deploy.embedded.engine import Engine
from opensea_metrics.deploy.embedded.storage import Storage
from opensea_metrics.producer.archive import paths
from opensea_metrics.producer.archive.location import open_archive
from opensea_metrics.producer.recording import Recording
from opensea_metrics.spark_batch.recompute import prepare
from opensea_metrics.spark_batch.reconcile.run import reconcile
from opensea_metrics.spark_batch.upkeep.check import check
from opensea_metrics.spark_batch.upkeep.rows import raw_stream
from opensea_metrics.sql.language.catalog.changes import check as check_project
from opensea_metrics.sql.language.project.project import load_project
from opensea_metrics.sql.language.statements.parser import parse_statement
from tests.embedded.topic import rows
from tests.spark_batch.archives import (
    SQL,
    START,
    TOPIC,
    event,
    folder_of,
    needs,
    recomputed,
    request,
)

STATEMENTS = (
    "CREATE STREAM raw (event_time BIGINT, payload STRUCT<payload STRUCT<collection STRUCT<slug VARCHAR>>>)"
    f" WITH (KAFKA_TOPIC='{TOPIC}', VALUE_FORMAT='JSON', PARTITIONS=40, TIMESTAMP='event_time');",
    "CREATE TABLE counts AS SELECT payload->payload->collection->slug AS slug, COUNT(*) AS n FROM raw"
    " GROUP BY payload->payload->collection->slug EMIT CHANGES;",
)


@dataclass
class Outcome:
    """What a reader makes of an archive: records by kind of file, and what it reports, by path."""

    counts: dict[str, int]
    reports: dict[str, str] = field(default_factory=dict)


def events(kind: str, count: int) -> list[bytes]:
    return [event(START + n, kind, f"n/{n}") for n in range(count)]


def lines(kind: str, count: int = 3) -> bytes:
    return b"".join(line + b"\n" for line in events(kind, count))


def cut(kind: str) -> bytes:
    whole = gzip.compress(lines(kind, 2_000))
    return whole[: len(whole) // 2]


def records_before(content: bytes) -> int:
    return zlib.decompressobj(wbits=31).decompress(content).count(b"\n")


LONG = event(START, "long").replace(b'"event":', b'"x":"' + b"x" * 2_000_000 + b'","event":')
KINDS: dict[str, tuple[str, bytes, int, str]] = {
    # kind of file: the end of its name, its content, records that are read, a word of the report ("": no report)
    "whole": ("json.gz", gzip.compress(lines("whole")), 3, ""),
    "plain": ("json", lines("plain"), 3, ""),
    "cut": ("json.gz", cut("cut"), records_before(cut("cut")), "its end is missing"),
    "checksum": ("json.gz", gzip.compress(lines("checksum"))[:-8] + bytes(8), 3, "check"),
    "garbage": ("json.gz", gzip.compress(lines("garbage")) + b"garbage", 3, "after its end come bytes"),
    "text": ("json.gz", lines("text"), 0, "not gzip"),
    "empty": ("json.gz", b"", 0, "it is empty (0 bytes)"),
    "unfinished": ("json", lines("unfinished") + b'{"event_time":17', 3, "newline"),
    "unreadable": ("json.gz", gzip.compress(lines("unreadable")), 0, "Input/output error"),
    "long": ("json.gz", gzip.compress(lines("long") + LONG + b"\n"), 3, "longer than 2,000,000 bytes"),
    "mark": ("json", b"\xef\xbb\xbf" + lines("mark"), 3, ""),
    "blank": ("json.gz", gzip.compress(b"\n\r\n" + lines("blank").replace(b"\n", b"\r\n\n")), 3, ""),
}
NOT_FILES = {
    "loop.json": "a link to a",
    "nothing.json": "a link that leads nowhere",
    "pipe.json": "it is a FIFO, not a file",
    "bad\udcff.json": "the name is not UTF-8",
}


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A topic's folder with a file of each kind, each in a partition of its own."""
    folder = folder_of(tmp_path / "topics" / TOPIC, START)
    folder.mkdir(parents=True)
    for number, (name, content, *_) in enumerate(KINDS.values()):
        path = folder / f"{TOPIC}+{number}+0000000000.{name}"
        path.write_bytes(content)
        os.utime(path, (1_000_000_000, 1_000_000_000))
    (folder / "loop.json").symlink_to(tmp_path / "topics" / TOPIC)
    (folder / "nothing.json").symlink_to(folder / "gone.json")
    os.mkfifo(folder / "pipe.json")
    Path(os.fsdecode(os.fsencode(folder) + b"/bad\xff.json")).write_bytes(b"{}\n")
    real = os.open

    def opened(path: Any, *arguments: Any, **options: Any) -> int:
        if f"+{list(KINDS).index('unreadable')}+" in str(path):
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return real(path, *arguments, **options)

    monkeypatch.setattr(os, "open", opened)
    return tmp_path / "topics" / TOPIC


def by_server(archive: Path) -> Outcome:
    engine = Engine(Storage(archive.parents[1]))
    try:
        for statement in STATEMENTS:
            engine.execute(parse_statement(statement), {})
        while engine.work():
            pass
        counts = dict(rows(engine, "SELECT slug, n FROM counts;"))
        reports = {}
        for (message,) in rows(
            engine, "SELECT message->deserializationError->errorMessage AS m FROM KSQL_PROCESSING_LOG;"
        ):
            reason, _, path = str(message).removesuffix(")").rpartition(" (")
            reports[path.rpartition("/")[2]] = reason
        return Outcome(counts, reports)
    finally:
        engine.stop()


def by_recompute(engine: str, archive: Path) -> Outcome:
    tables, prepared, counts = recomputed(archive, request("1 hour", wanted="collections", engine=engine))
    (table,) = (rows for name, rows in tables.items() if name.startswith("COLLECTION_1_HOUR"))
    reports = {path: str(damage) for path, damage in counts.damaged.items()} | dict(prepared.job.refused)
    return Outcome({row["COLLECTION"]: row["SALES"] for row in table}, _by_name(reports))


def by_duckdb(archive: Path) -> Outcome:
    return by_recompute("duckdb", archive)


def by_spark(archive: Path) -> Outcome:
    needs("spark")
    return by_recompute("spark", archive)


def by_reconcile(archive: Path) -> Outcome:
    asked = request("1 hour", wanted="COLLECTION_1_HOUR")
    prepared = prepare(asked, open_archive(archive), SQL)
    compared = list(reconcile(prepared, lambda *_, **__: [], lambda *_: None))
    damaged = {path: str(damage) for each in compared for path, damage in each.damaged.items()}
    missing = {finding.row.key[0]: -1 for each in compared for finding in each.findings}
    counts = {kind: KINDS[kind][2] if kind in KINDS else count for kind, count in missing.items()}
    return Outcome(counts, _by_name(damaged | dict(prepared.job.refused)))


def by_check(archive: Path) -> Outcome:
    stream = raw_stream(check_project(load_project(SQL)), TOPIC)
    report = check(open_archive(archive), stream)
    kinds = list(KINDS)
    counts = {kinds[summary.partition]: summary.records for summary in report.partitions}
    found = {each.where: each.detail for each in report.findings if each.kind.is_defect}
    return Outcome({kind: count for kind, count in counts.items() if count}, _by_name(found))


def by_replay(archive: Path) -> Outcome:
    recording = Recording(archive.parents[1])
    counts: Counter[str] = Counter()
    for frame in recording.frames():
        assert isinstance(frame, bytes)
        counts[orjson.loads(frame)["payload"]["payload"]["collection"]["slug"]] += 1
    damaged = {path: damage.reason for path, damage in recording.damaged.items()}
    return Outcome(dict(counts), _by_name(damaged | recording.refused))


def _by_name(reports: dict[str, str]) -> dict[str, str]:
    return {path.rpartition("/")[2]: reason for path, reason in reports.items()}


@pytest.mark.parametrize("reader", [by_server, by_duckdb, by_spark, by_reconcile, by_check, by_replay])
def test_every_reader_takes_the_same_records_and_reports_the_same_files(
    archive: Path, reader: Callable[[Path], Outcome]
) -> None:
    kinds = dict(KINDS)
    if reader is by_spark:  # its workers are other processes, in which nothing fails
        kinds["unreadable"] = (*KINDS["unreadable"][:2], 3, "")
    outcome = reader(archive)
    assert outcome.counts == {kind: count for kind, (_, _, count, _) in kinds.items() if count}
    expected = {
        f"{TOPIC}+{number}+0000000000.{name}": word
        for number, (name, _, _, word) in enumerate(kinds.values())
        if word
    } | {paths.shown(name): reason for name, reason in NOT_FILES.items()}
    assert outcome.reports.keys() == expected.keys()
    for name, word in expected.items():
        assert word in outcome.reports[name]
