"""recompute reads files from a bucket that are laid out as the S3 sink's configuration says."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from opensea_metrics.deploy import cli
from opensea_metrics.producer import sample
from opensea_metrics.producer.replay import replay
from opensea_metrics.producer.sinks import ArchiveSink
from tests.metrics import near
from tests.parts import s3 as s3_part

CONFIG = json.loads(Path("deploy/compose/connect/connectors/s3-raw-events.json").read_text())
FLUSH = 500  # smaller than flush.size, so that a small sample fills several files


def sink(values: list[bytes], partitions: int) -> Iterator[tuple[str, bytes]]:
    """Yields (key, object) as the sink's source code would write them.

    The sink keeps one writer open per hour and partition. When a partition has flush.size records, all its
    writers end.
    """
    topic, delimiter = CONFIG["topics"], CONFIG.get("file.delim", "+")
    open_files: dict[int, dict[str, tuple[int, list[bytes]]]] = {
        number: {} for number in range(partitions)
    }
    offsets = [0] * partitions

    def end(partition: int) -> Iterator[tuple[str, bytes]]:
        for folder, (start, lines) in open_files[partition].items():
            name = f"{topic}{delimiter}{partition}{delimiter}{start:010}"
            suffix = CONFIG["format.bytearray.extension"] + ".gz"
            body = b"".join(line + b"\n" for line in lines)
            yield f"{CONFIG['topics.dir']}/{topic}/{folder}/{name}{suffix}", gzip.compress(body)
        open_files[partition].clear()

    for value in values:
        event = orjson.loads(value)
        partition = zlib.crc32(event["topic"].encode()) % partitions
        moment = datetime.fromtimestamp(event["event_time"] / 1000, UTC)  # the record's timestamp
        folder = f"{moment:year=%Y/month=%m/day=%d/hour=%H}"
        open_files[partition].setdefault(folder, (offsets[partition], []))[1].append(value)
        offsets[partition] += 1
        if sum(len(lines) for _, lines in open_files[partition].values()) >= FLUSH:
            yield from end(partition)
    for partition in range(partitions):
        yield from end(partition)


def test_the_stand_in_follows_the_configuration() -> None:
    assert CONFIG["path.format"] == "'year'=YYYY/'month'=MM/'day'=dd/'hour'=HH"
    assert CONFIG["s3.compression.type"] == "gzip"
    assert "filename.offset.zero.pad.width" not in CONFIG  # 10 by default
    assert "format.bytearray.separator" not in CONFIG  # a line feed by default


def recomputed(source: str, out: Path, tables: str = "all") -> dict[str, list[dict[str, Any]]]:
    arguments = [
        "recompute",
        tables,
        "--window",
        "5 minutes",
        "--window",
        "1 hour",
        "--engine",
        "duckdb",
    ]
    done = CliRunner().invoke(cli.whole_app(), [*arguments, "--source", source, "--to-json", str(out)])
    assert done.exit_code == 0, f"{done.output} {done.exception!r}"
    return {
        path.name: sorted(
            (parsed(orjson.loads(line)) for line in path.read_bytes().splitlines()),
            key=lambda row: (row["WS"], row.get("SLUG") or "", row.get("ASSET") or ""),
        )
        for path in out.glob("*.ndjson")
    }


def test_recompute_reads_what_the_sink_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = ArchiveSink(tmp_path / "data")
    replay(sample.bundled(), archive)
    archive.close()
    local = tmp_path / "data/topics/OpenSeaRawEvents"
    values = [
        line
        for path in sorted(local.rglob("*.json*"))
        for line in (
            gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        ).splitlines()
    ]
    assert len(values) > 5000
    objects = dict(sink(values, 2))
    assert len(objects) > 10
    for key, body in objects.items():
        path = tmp_path / "objects" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    with s3_part.running(tmp_path / "store") as store:
        for name, value in store.environment.items():
            monkeypatch.setenv(name, value)
        store.upload(tmp_path / "objects", "raw-data")
        tables = recomputed("s3a://raw-data/topics/OpenSeaRawEvents", tmp_path / "found")
    expected = recomputed(str(local), tmp_path / "expected")
    assert tables.keys() == expected.keys()
    assert len(tables) >= 10
    for name, rows in expected.items():
        assert len(rows) == len(tables[name]), name
        assert tables[name] == [near(row) for row in rows], name


def parsed(value: Any) -> Any:
    """A row in which the details of top lists are values instead of JSON texts."""
    if isinstance(value, dict):
        return {
            name: orjson.loads(item) if name == "DETAIL" and item else parsed(item)
            for name, item in value.items()
        }
    return [parsed(item) for item in value] if isinstance(value, list) else value
