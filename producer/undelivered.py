"""A file for records that could not be delivered. It can be replayed."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from pathlib import Path


class Undelivered:
    """A file of values, one per line. It is created when the first value is added."""

    def __init__(self, directory: Path) -> None:
        name = f"undelivered-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}.ndjson.gz"
        self.path = directory / name
        self.count = 0
        self.reason: str | None = None
        self._file: gzip.GzipFile | None = None

    def add(self, value: bytes) -> None:
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = gzip.open(self.path, "wb", 1)  # noqa: SIM115 - open until close()
        self._file.write(value + b"\n")
        self.count += 1

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
