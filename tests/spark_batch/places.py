"""Archives for tests: on a disk or in a bucket, with whatever is wrong with them."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from opensea_metrics.producer.archive.layout import HOUR_MS
from opensea_metrics.producer.archive.location import Archive, open_archive

TOPIC = "OpenSeaRawEvents"
TEN = 1_789_466_400_000
"""2026-09-15T10:00:00Z."""
LATER = TEN + 100 * HOUR_MS


def folder(hour: int) -> str:
    """The folder of the hour that many hours after ten."""
    moment = datetime.fromtimestamp((TEN + hour * HOUR_MS) / 1000, UTC)
    return f"{moment:year=%Y/month=%m/day=%d/hour=%H}"


def name(hour: int, partition: int, start: int, form: str = "json.gz", delimiter: str = "+") -> str:
    """The path of a file within the topic."""
    return f"{folder(hour)}/{TOPIC}{delimiter}{partition}{delimiter}{start:010d}.{form}"


def event(time_ms: int, number: int = 0, kind: str = "item_transferred", slug: str = "otters") -> bytes:
    """A record as the producer writes it."""
    body = {
        "event_type": kind,
        "sent_at": "2026-09-15T10:00:00Z",
        "payload": {"collection": {"slug": slug}, "quantity": number, "item": {"nft_id": f"e/x/{number}"}},
    }
    whole = {"event_time": time_ms, "topic": f"collection:{slug}", "event": kind, "payload": body}
    return json.dumps(whole, separators=(",", ":")).encode()


def events(hour: int, start: int, count: int) -> list[bytes]:
    """Records of an hour, numbered by their offsets, of two types and three collections."""
    return [
        event(
            TEN + hour * HOUR_MS + number,
            number,
            ("item_transferred", "item_sold")[number % 2],
            ("otters", "kobolds", "lanterns")[number % 3],
        )
        for number in range(start, start + count)
    ]


def text(lines: Iterable[bytes]) -> bytes:
    return b"".join(line + b"\n" for line in lines)


@dataclass(frozen=True)
class Place:
    """A topic's folder. Paths are within it."""

    url: str
    root: str
    fs: Any

    @property
    def source(self) -> Archive:
        return open_archive(self.url)

    def put(self, path: str, content: bytes) -> None:
        self.fs.makedirs(f"{self.root}/{path}".rpartition("/")[0], exist_ok=True)
        self.fs.pipe_file(f"{self.root}/{path}", content)

    def write(
        self, hour: int, partition: int, start: int, lines: Iterable[bytes], delimiter: str = "+"
    ) -> str:
        """A file in good order; its path."""
        path = name(hour, partition, start, delimiter=delimiter)
        self.put(path, gzip.compress(text(lines), 1))
        return path

    def get(self, path: str) -> bytes:
        content: bytes = self.fs.cat_file(f"{self.root}/{path}")
        return content

    def names(self) -> list[str]:
        """All files, hidden ones too, but for the lock."""
        found = (path[len(self.root) + 1 :] for path in self.fs.find(self.root))
        return sorted(path for path in found if path != ".compact.lock")

    def records(self) -> list[tuple[int, int, int, bytes]]:
        """What a reader finds: hour, partition, offset and text of each record, sorted."""
        found = []
        for file in self.source.files():
            content = self.fs.cat_file(file.path)
            if file.form == "parquet":
                table = pq.read_table(io.BytesIO(content), columns=["_offset", "_line"])
                rows = zip(*(column.to_pylist() for column in table.columns), strict=True)
                found += [(file.hour_ms, file.partition, n, line.encode()) for n, line in rows]
            else:
                whole = gzip.decompress(content) if file.form == "json.gz" else content
                lines = whole.removesuffix(b"\n").split(b"\n") if whole else []
                found += [
                    (file.hour_ms, file.partition, n, line)
                    for n, line in enumerate(lines, file.start)
                ]
        return sorted(found)


def on_disk(at: Path) -> Place:
    root = at / "topics" / TOPIC
    root.mkdir(parents=True)
    return Place(str(root), str(root), open_archive(root).fs)


def rows_of(place: Place, path: str) -> list[dict[str, Any]]:
    """A Parquet file's rows."""
    rows: list[dict[str, Any]] = pq.read_table(io.BytesIO(place.get(path))).to_pylist()
    return rows
