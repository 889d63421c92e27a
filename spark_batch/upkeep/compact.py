"""``archive compact``: turns many small files of JSON into a few files of sorted Parquet with zstd.

For each hour and partition, it writes a compacted file under a hidden name, reads it back, and compares it with
the originals. Then it publishes the file and removes the originals. It can be killed at any time: readers find the
originals, the verified file, or both. If there are both, readers skip the originals (``layout.newest_cover``).
The next compaction continues from there.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import duckdb
import fsspec

from opensea_metrics.producer.archive.compacted import Original
from opensea_metrics.producer.archive.errors import Damaged
from opensea_metrics.producer.archive.layout import (
    HOUR_MS,
    ArchiveFile,
    archive_file,
    companion_names,
    parquet_name,
)
from opensea_metrics.producer.archive.location import Archive
from opensea_metrics.spark_batch.prefetch import in_order
from opensea_metrics.spark_batch.upkeep.lock import Lock, locked
from opensea_metrics.spark_batch.upkeep.rows import database
from opensea_metrics.spark_batch.upkeep.runs import (
    MOST_BYTES,
    MOST_RECORDS,
    HourGroup,
    Left,
    Measured,
    covered_by,
    runs,
)
from opensea_metrics.spark_batch.upkeep.store import (
    ArchiveStore,
    CompactError,
    open_store,
    staged_name,
)
from opensea_metrics.spark_batch.upkeep.writing import measured, unlike, verify, write
from opensea_metrics.sql.language.catalog.sources import Source as Stream

_AT_ONCE = 2
_READERS = 4


@dataclass(frozen=True)
class Options:
    """With ``keep``, the originals stay. The limits apply to each compacted file."""

    keep: bool = False
    most_records: int = MOST_RECORDS
    most_bytes: int = MOST_BYTES


@dataclass
class CompactionOutcome:
    """The numbers of a compaction: files and bytes of the originals and of the compacted files, and records.

    ``removed`` is the number of originals that were removed. ``left`` are files that cannot be compacted.
    ``finished`` is False after a stop.
    """

    originals: int = 0
    original_bytes: int = 0
    compacted: int = 0
    compacted_bytes: int = 0
    records: int = 0
    removed: int = 0
    left: list[Left] = field(default_factory=list)
    finished: bool = True
    seconds: float = 0.0

    def add(self, other: CompactionOutcome) -> None:
        """Add the numbers of another compaction."""
        self.originals += other.originals
        self.original_bytes += other.original_bytes
        self.compacted += other.compacted
        self.compacted_bytes += other.compacted_bytes
        self.records += other.records
        self.removed += other.removed
        self.left += other.left


def compact(
    source: Archive,
    stream: Stream,
    groups: Sequence[HourGroup],
    options: Options = Options(),
    progress: Callable[[int, int, int], None] = lambda done, total, files: None,
    stop: Callable[[], bool] = lambda: False,
) -> CompactionOutcome:
    """Compact groups (``runs.groups``) in order, two at the same time. Calls ``stop`` before each group.

    Calls ``progress`` with the bytes done, the total bytes, and the files done. Memory is bounded by the limits of two
    compacted files. Raises CompactError or ArchiveError. The archive stays consistent even after an error.
    """
    began = time.monotonic()
    outcome = CompactionOutcome()
    store = open_store(source)
    of_folders = [file for group in groups for file in (*group.originals[:1], *group.compacted)]
    hours = [group.hour_ms for group in groups]
    companions = source.listing(min(hours), max(hours) + HOUR_MS).companions if hours else set()
    done = files = 0
    total = sum(group.bytes for group in groups)
    with (
        locked(source) as lock,
        database(source.folders(of_folders)) as (connection, temporary),
        ThreadPoolExecutor(_AT_ONCE) as pool,
    ):

        def compacted(group: HourGroup) -> CompactionOutcome:
            group_outcome = CompactionOutcome()
            with (
                tempfile.TemporaryDirectory(dir=temporary) as folder,
                connection.cursor() as cursor,
            ):
                compaction = _GroupCompaction(
                    source, stream, options, store, lock, cursor, Path(folder), companions, group_outcome
                )
                compaction.run(group)
            return group_outcome

        def wanted() -> Iterator[HourGroup]:
            cleared = ""
            for group in groups:
                if stop():
                    outcome.finished = False
                    return
                if group.folder != cleared:  # no group has started
                    store.remove(store.leftovers(group.folder))
                    cleared = group.folder
                yield group

        results = in_order(pool, compacted, wanted(), _AT_ONCE)
        for group, group_outcome in zip(groups, results, strict=False):  # fewer results after a stop
            outcome.add(group_outcome)
            done, files = done + group.bytes, files + len(group.originals)
            progress(done, total, files)
    outcome.seconds = time.monotonic() - began
    return outcome


@dataclass(frozen=True)
class _GroupCompaction:
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
                raise unlike(parquet, "other bytes than were written")
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
