"""Compacts the files of one hour and partition: writes compacted files, reads them back, and removes the originals."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import fsspec

from opensea_metrics.producer.archive.compacted import Original
from opensea_metrics.producer.archive.errors import Damaged
from opensea_metrics.producer.archive.layout import (
    ArchiveFile,
    archive_file,
    companion_names,
    parquet_name,
)
from opensea_metrics.producer.archive.location import Archive
from opensea_metrics.spark_batch.upkeep.lock import Lock
from opensea_metrics.spark_batch.upkeep.outcome import CompactionOutcome, Options
from opensea_metrics.spark_batch.upkeep.runs import HourGroup, Left, Measured, covered_by, runs
from opensea_metrics.spark_batch.upkeep.store import ArchiveStore, CompactError, staged_name
from opensea_metrics.spark_batch.upkeep.writing import measured, unlike, verify, write
from opensea_metrics.sql.language.catalog.sources import Source as Stream

_READERS = 4


@dataclass(frozen=True)
class GroupCompaction:
    """The compaction of one group. ``folder`` is temporary."""

    source: Archive
    stream: Stream
    options: Options
    store: ArchiveStore
    lock: Lock
    connection: duckdb.DuckDBPyConnection
    folder: Path
    companions: Collection[str]
    outcome: CompactionOutcome

    def run(self, group: HourGroup) -> None:
        copies = dict(zip(group.originals, self.store.fetched(group.originals, self.folder), strict=True))
        local = Archive(str(self.folder), str(self.folder), fsspec.filesystem("file"))

        def measure(file: ArchiveFile) -> Measured:
            names = (name for kind in ("keys", "headers") for name in companion_names(file.name, kind))
            if any(f"{file.folder}/{name}" in self.companions for name in names):
                problem = "it has keys or headers in a file beside it, which a compacted file cannot hold"
                return Measured(file, 0, 0, "", problem)
            return measured(local, file, copies[file])

        with ThreadPoolExecutor(_READERS) as pool:
            measurements = dict(zip(group.originals, pool.map(measure, group.originals), strict=True))
        settled: set[ArchiveFile] = set()
        for parquet, originals in covered_by(group).items():
            settled.update(originals)
            if not self.options.keep:
                self._settle(parquet, [measurements[file] for file in originals])
        open_ = [measurements[file] for file in group.originals if file not in settled]
        adjoining, left = runs(
            open_, group.compacted, self.options.most_records, self.options.most_bytes
        )
        self.outcome.left += left
        for run in adjoining:
            self._compact(run, [copies[original.file] for original in run], local)

    def _settle(self, parquet: ArchiveFile, originals: Sequence[Measured]) -> None:
        """Remove originals that an earlier compaction left, if the compacted file has their records."""
        damaged = [original for original in originals if original.problem]
        self.outcome.left += [Left(original.file.path, original.problem or "") for original in damaged]
        whole = [original for original in originals if not original.problem]
        (at,) = self.store.fetched([parquet], self.folder)
        try:
            verify(self.connection, parquet, at, whole)
        except CompactError as error:
            reason = f"{error} Remove the compacted file, and readers use the originals again."
            self.outcome.left.append(Left(parquet.path, reason))
            return
        self._remove(whole)

    def _compact(self, run: Sequence[Measured], copies: Sequence[ArchiveFile], local: Archive) -> None:
        first, end = run[0].file, run[-1].end
        topic = self.source.root.rsplit("/", 1)[-1]
        path = f"{first.folder}/{parquet_name(topic, first.partition, first.start, end)}"
        output = self.folder / "compacted.parquet"
        try:
            originals = [Original(part.file.name, part.file.start, part.records, part.file.size) for part in run]
            write(self.connection, local, copies, self.stream, output, originals)
        except Damaged as damage:
            raise CompactError(
                f"A file in {first.folder} was changed during the compaction: {damage}. Run it again."
            ) from damage
        except duckdb.Error as error:
            raise CompactError(f"Cannot write {output}: {str(error).partition(chr(10))[0]}") from error
        parquet = archive_file(path, output.stat().st_size)
        assert parquet is not None
        staged = staged_name(path)
        written = _sha256(output)
        try:
            self.store.stage(output, staged)
            output.unlink()
            (at,) = self.store.fetched([replace(parquet, path=staged)], self.folder)
            if _sha256(Path(at.path)) != written:
                raise unlike(parquet, "its bytes differ from those that were written")
            verify(self.connection, parquet, at, run)
            self.lock.check()
            self.store.publish(staged, path)
        except CompactError:
            self.store.remove([staged])
            raise
        self.outcome.originals += len(run)
        self.outcome.original_bytes += sum(original.file.size for original in run)
        self.outcome.records += end - first.start
        self.outcome.compacted += 1
        self.outcome.compacted_bytes += parquet.size
        if not self.options.keep:
            self._remove(run)

    def _remove(self, originals: Sequence[Measured]) -> None:
        self.lock.check()
        self.store.remove([original.file.path for original in originals])
        self.outcome.removed += len(originals)


def _sha256(path: Path) -> bytes:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
