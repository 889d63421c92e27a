"""``archive compact``: many small files of JSON → few of sorted, zstd-compressed Parquet.

Per hour and partition: write a compacted file under a hidden name, read it back and compare it with
the originals, publish it, remove the originals. Whenever that is ended, readers find the originals
or the verified file, or both and then pass the originals over (``producer.layout.newest_cover``); the
next compaction goes on from there.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import duckdb
import fsspec

from opensea_metrics.producer.layout import ArchiveFile, archive_file, parquet_name
from opensea_metrics.spark_batch.ahead import in_order
from opensea_metrics.spark_batch.archive.lock import Lock, locked
from opensea_metrics.spark_batch.archive.reading import Unreadable
from opensea_metrics.spark_batch.archive.rows import database
from opensea_metrics.spark_batch.archive.runs import (
    MOST_BYTES,
    MOST_RECORDS,
    Group,
    Left,
    Measured,
    covered_by,
    runs,
)
from opensea_metrics.spark_batch.archive.store import CompactError, Store, open_store, staged_name
from opensea_metrics.spark_batch.archive.writing import measured, unlike, verify, write
from opensea_metrics.spark_batch.source import Source
from opensea_metrics.sql.language.catalog.sources import Source as Stream

_AT_ONCE = 2
_READERS = 4


@dataclass(frozen=True)
class Options:
    """``keep``: the originals stay. The limits are those of a compacted file."""

    keep: bool = False
    most_records: int = MOST_RECORDS
    most_bytes: int = MOST_BYTES


@dataclass
class Outcome:
    """What was done: records and bytes of the originals that were compacted, and of what they became.

    ``removed`` originals are gone; ``left`` are those that cannot be compacted. ``finished`` is False
    after a stop.
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

    def add(self, other: Outcome) -> None:
        """Count in what was done elsewhere."""
        self.originals += other.originals
        self.original_bytes += other.original_bytes
        self.compacted += other.compacted
        self.compacted_bytes += other.compacted_bytes
        self.records += other.records
        self.removed += other.removed
        self.left += other.left


def compact(
    source: Source,
    stream: Stream,
    groups: Sequence[Group],
    options: Options = Options(),
    progress: Callable[[int, int, int], None] = lambda done, total, files: None,
    stop: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Compact groups (``runs.groups``), in order, two at once; ``stop`` is asked before each.

    ``progress`` is told how many bytes are done, of how many, and how many files. Memory is bounded by
    the limits of two compacted files. Raises CompactError or SourceError, with everything that is done so far in order.
    """
    began = time.monotonic()
    outcome = Outcome()
    if not options.keep:
        _refuse_embedded(source)
    store = open_store(source)
    found = [file for group in groups for file in (*group.originals[:1], *group.compacted)]
    done = files = 0
    total = sum(group.bytes for group in groups)
    with (
        locked(source) as lock,
        database(source.folders(found)) as (connection, temporary),
        ThreadPoolExecutor(_AT_ONCE) as pool,
    ):

        def compacted(group: Group) -> Outcome:
            made = Outcome()
            with (
                tempfile.TemporaryDirectory(dir=temporary) as folder,
                connection.cursor() as cursor,
            ):
                _Work(source, stream, options, store, lock, cursor, Path(folder), made).run(group)
            return made

        def wanted() -> Iterator[Group]:
            cleared = ""
            for group in groups:
                if stop():
                    outcome.finished = False
                    return
                if group.folder != cleared:  # none of its groups has begun
                    store.remove(store.leftovers(group.folder))
                    cleared = group.folder
                yield group

        results = in_order(pool, compacted, wanted(), _AT_ONCE)
        for group, made in zip(groups, results, strict=False):  # fewer after a stop
            outcome.add(made)
            done, files = done + group.bytes, files + len(group.originals)
            progress(done, total, files)
    outcome.seconds = time.monotonic() - began
    return outcome


@dataclass(frozen=True)
class _Work:
    """The compaction of one group, with what it needs; ``folder`` is temporary."""

    source: Source
    stream: Stream
    options: Options
    store: Store
    lock: Lock
    connection: duckdb.DuckDBPyConnection
    folder: Path
    outcome: Outcome

    def run(self, group: Group) -> None:
        copies = dict(zip(group.originals, self.store.fetched(group.originals, self.folder), strict=True))
        local = Source(str(self.folder), str(self.folder), fsspec.filesystem("file"))

        def measure(file: ArchiveFile) -> Measured:
            return measured(local, file, copies[file])

        with ThreadPoolExecutor(_READERS) as pool:
            facts = dict(zip(group.originals, pool.map(measure, group.originals), strict=True))
        settled: set[ArchiveFile] = set()
        for parquet, originals in covered_by(group).items():
            settled.update(originals)
            if not self.options.keep:
                self._settle(parquet, [facts[file] for file in originals])
        open_ = [facts[file] for file in group.originals if file not in settled]
        found, left = runs(
            open_, group.compacted, self.options.most_records, self.options.most_bytes
        )
        self.outcome.left += left
        for run in found:
            self._make(run, [copies[each.file] for each in run], local)

    def _settle(self, parquet: ArchiveFile, originals: Sequence[Measured]) -> None:
        """Remove originals that an earlier compaction left, if the compacted file has their records."""
        damaged = [each for each in originals if each.problem]
        self.outcome.left += [Left(each.file.path, each.problem or "") for each in damaged]
        whole = [each for each in originals if not each.problem]
        (at,) = self.store.fetched([parquet], self.folder)
        try:
            verify(self.connection, parquet, at, whole)
        except CompactError as error:
            reason = f"{error} Remove it, and readers take them again."
            self.outcome.left.append(Left(parquet.path, reason))
            return
        self._remove(whole)

    def _make(self, run: Sequence[Measured], copies: Sequence[ArchiveFile], local: Source) -> None:
        first, end = run[0].file, run[-1].end
        topic = self.source.root.rsplit("/", 1)[-1]
        path = f"{first.folder}/{parquet_name(topic, first.partition, first.start, end)}"
        made = self.folder / "made.parquet"
        try:
            write(self.connection, local, copies, self.stream, made)
        except Unreadable as damage:
            raise CompactError(f"A file in {first.folder} was changed meanwhile: {damage}") from damage
        except duckdb.Error as error:
            raise CompactError(f"Cannot write {made}: {str(error).partition(chr(10))[0]}") from error
        parquet = archive_file(path, made.stat().st_size)
        assert parquet is not None
        staged = staged_name(path)
        written = _sha256(made)
        try:
            self.store.stage(made, staged)
            made.unlink()
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
        self.outcome.original_bytes += sum(each.file.size for each in run)
        self.outcome.records += end - first.start
        self.outcome.compacted += 1
        self.outcome.compacted_bytes += parquet.size
        if not self.options.keep:
            self._remove(run)

    def _remove(self, originals: Sequence[Measured]) -> None:
        self.lock.check()
        self.store.remove([each.file.path for each in originals])
        self.outcome.removed += len(originals)


def _sha256(path: Path) -> bytes:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _refuse_embedded(source: Source) -> None:
    """The embedded server remembers the files that it has read, by their paths, and reads JSON only."""
    database_file = Path(source.root).parent.parent / "embedded.duckdb"
    if source.s3 is None and database_file.exists():
        raise CompactError(
            f"{source.root} is the data of an embedded server, which reads topics as JSON and from the "
            "start when a statement needs it. Give --keep, or compact a copy of the topics."
        )
