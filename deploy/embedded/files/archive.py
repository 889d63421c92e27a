"""The register of archive files: the pieces of files that a topic consists of, in their order.

A ``.json.gz`` file is registered once, as a whole. A ``.json`` file may grow: whole lines at its end are
registered as they appear. Registered pieces are called segments. Queries remember a position in the
order of segments, so a segment never changes its number.

A compacted file is registered as its original files. An hour may be compacted before the server sees it, while the
server runs, or never: it has the same segments in each case.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import duckdb

from opensea_metrics.core.errors import os_reason
from opensea_metrics.deploy.embedded import metastore
from opensea_metrics.deploy.embedded.files import segment_table, walk
from opensea_metrics.deploy.embedded.files.compaction import covering
from opensea_metrics.deploy.embedded.files.file_look import (
    CHANGED,
    NO_NEWLINE,
    SHORTENED,
    SHORTER,
    FilePiece,
    KnownFile,
    look,
    originals_of,
)
from opensea_metrics.deploy.embedded.files.file_offsets import RESERVED, place_of
from opensea_metrics.deploy.embedded.files.segments import Read, Segment, counted, is_read, segments
from opensea_metrics.producer.archive import text
from opensea_metrics.producer.archive.errors import EMPTY, Damaged
from opensea_metrics.producer.archive.layout import COMPACTED_SUFFIX
from opensea_metrics.producer.archive.listing import File, Listing, is_settled
from opensea_metrics.producer.archive.paths import opened
from opensea_metrics.producer.archive.text import DescriptorReader

_ALL = 2**62


class Register:
    """Registers the files of topics. Any thread may use it.

    The table ``meta.segments`` holds the register. Only this object writes to it, except for
    :func:`keep_read`.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lock = threading.Lock()
        self._known: dict[str, dict[str, KnownFile]] = {}
        self._compacted: dict[str, dict[str, int]] = {}
        """The registered compacted files of each topic, with their stamps."""
        self._next: dict[str, int] = {}
        self._ends: dict[str, dict[int, int]] = {}
        self._counts: dict[tuple[str, int, int], int] = {}

    def discover(
        self,
        cursor: duckdb.DuckDBPyConnection,
        topic: str,
        readers: Collection[str] | None,
        partitions: Mapping[str, int] | None = None,
    ) -> Listing:
        """Register new files and lines in a topic's directory, and return the directory's listing.

        ``readers`` are the ids of the queries that read the topic's files; none of them may run during this call. If a
        plain file was rewritten and no reader has read any of it, it is registered again. If ``readers`` is None, the
        next call does this. ``partitions`` are the numbers of partitions of all topics, if the caller knows them.

        Do not call this within a transaction, because other threads must see the new segments immediately. Raises
        duckdb.Error if the register cannot be written. In that case the next call registers the files.
        """
        with self._lock:
            if partitions is None:
                partitions = metastore.partitions_by_topic(cursor)
            listing = walk.listing(self.root, topic, partitions.get(topic))
            if topic not in self._known:
                self._load(cursor, topic)
            known = self._known[topic]
            looked: dict[str, KnownFile] = {}
            pieces: list[FilePiece] = []
            compacted_files = self._compacted.setdefault(topic, {})
            registered = known.keys() | {file.path for file in listing.files}
            for file in listing.files:
                if file.path.endswith(COMPACTED_SUFFIX):
                    if compacted_files.get(file.path) == file.stamp:
                        continue
                    originals = originals_of(self.root / topic, file, registered)
                    if isinstance(originals, str):
                        listing.refused[file.path] = originals
                        continue
                    for piece in originals:
                        pieces.append(piece)
                        looked[piece.path] = KnownFile(piece.end)
                    registered = registered | looked.keys()
                    compacted_files[file.path] = file.stamp
                    continue
                before = known.get(file.path)
                if before is None or before.stamp != file.stamp:
                    try:
                        after, new = look(self.root / topic / file.path, file, before or KnownFile())
                    except FileNotFoundError:
                        continue  # it has just been deleted
                    except OSError as error:
                        listing.refused[file.path] = f"cannot read this file: {os_reason(error)}"
                        continue
                    if after.problem in (CHANGED, SHORTER) and not file.path.endswith(".gz"):
                        if readers is None:
                            continue
                        if not is_read(cursor, topic, file.path, readers):
                            after = self._anew(cursor, topic, file, readers) or after
                    pieces += new
                    looked[file.path] = before = after
                if not before.problem and is_settled(file.modified):
                    if before.has_rest(file):
                        looked[file.path] = before = replace(before, problem=NO_NEWLINE)
                    elif file.size == 0 and file.path.endswith(".gz"):
                        listing.refused[file.path] = f"{EMPTY}, so its records are lost; restore or remove it"
                if before.problem:
                    listing.refused[file.path] = f"this file {before.problem}"
            self._write(cursor, topic, pieces)
            known.update(looked)
        return listing

    def end(self, topic: str) -> int:
        """The number after a topic's last registered segment."""
        return self._next.get(topic, 0)

    def offsets(self, topic: str) -> dict[int, int]:
        """The offset after the last record of each partition that has registered files.

        The offset may be too great after a compressed file that no query has read: see :data:`RESERVED`.
        """
        with self._lock:
            return dict(self._ends.get(topic, {}))

    def counted(
        self, cursor: duckdb.DuckDBPyConnection, topic: str, reached: Mapping[int, int]
    ) -> list[tuple[int, int, int]]:
        """For each partition that has files: the offset after its last record, and the number of unread records.

        Records are unread if they are in the segments ``reached`` or later ones.
        """
        if not self.end(topic):
            return []
        known = segments(cursor, topic, {}, most=_ALL)
        return counted(known, reached, lambda segment: self._count(topic, segment))

    def _count(self, topic: str, segment: Segment) -> int:
        """The number of records of a compressed file that no query has read. The register remembers it."""
        key = topic, segment.seq, segment.end
        if key not in self._counts:
            try:
                with opened(self.root / topic / segment.path) as descriptor:
                    texts = text.unpacked(DescriptorReader(descriptor))
                    self._counts[key] = sum(block.count(b"\n") for block in texts)
            except (OSError, Damaged):
                return 0
        return self._counts[key]

    def note_read(self, topic: str, read: Iterable[Read]) -> None:
        """Update the register after the transaction in which :func:`keep_read` has written ``read``."""
        with self._lock:
            known = self._known.get(topic, {})
            for item in read:
                if item.path in known:
                    known[item.path] = replace(known[item.path], end=item.size, tail=item.tail)
                ends = self._ends[topic]
                if ends.get(item.partition, 0) == item.first + RESERVED * item.registered:
                    ends[item.partition] = item.first + item.records

    def delete_read(
        self,
        cursor: duckdb.DuckDBPyConnection,
        topic: str,
        read: Mapping[int, int],
        oldest: int,
        needed: Collection[str],
    ) -> None:
        """Delete files that were last changed before ``oldest`` (epoch ms) and have been read.

        A file has been read if all its segments come before ``read``, by partition. Files that are ``needed`` stay.
        The last registered file stays too, so that its number is not used again.

        The file is deleted before its segments. In the other order, a server that is killed in between would read
        the file again.
        """
        with self._lock:
            rows = segment_table.files_read(cursor, topic, read, before=self._next.get(topic, 0) - 1)
            for path, partition, following in rows:
                if path in needed:
                    continue
                file = self.root / topic / path
                try:
                    if file.stat().st_mtime * 1000 >= oldest:
                        continue
                    file.unlink()
                except FileNotFoundError:
                    if self._is_compacted(file):
                        continue
                    # A server was killed after it had deleted the file.
                except OSError:
                    continue  # try again next time
                segment_table.delete_file(cursor, topic, path, partition, following)
                self._known.get(topic, {}).pop(path, None)

    def _is_compacted(self, file: Path) -> bool:
        try:
            return covering(str(file)) is not None
        except OSError:
            return False

    def _load(self, cursor: duckdb.DuckDBPyConnection, topic: str) -> None:
        rows = segment_table.files(cursor, topic)
        self._known[topic] = {path: KnownFile(end, tail) for path, end, tail, _ in rows}
        self._next[topic] = max((seq for *_, seq in rows), default=-1) + 1
        self._ends[topic] = segment_table.ends(cursor, topic)

    def _anew(
        self, cursor: duckdb.DuckDBPyConnection, topic: str, file: File, readers: Collection[str]
    ) -> KnownFile | None:
        """Register a rewritten file that no query has read as one segment, with the number of its first segment.

        None if the file has no complete line yet, or cannot be read.
        """
        try:
            known, pieces = look(self.root / topic / file.path, file, KnownFile())
        except OSError:
            return None
        if not pieces:
            return None
        is_shorter = segment_table.replace_file(cursor, topic, file, readers, known, pieces)
        return replace(known, problem=SHORTENED if is_shorter else None)

    def _write(
        self,
        cursor: duckdb.DuckDBPyConnection,
        topic: str,
        pieces: Sequence[FilePiece],
    ) -> None:
        if not pieces:
            return
        first = self._next[topic]
        numbers = list(range(first, first + len(pieces)))
        ends = dict(self._ends[topic])
        files: dict[str, int] = {}
        places = [place_of(cursor, topic, piece, ends, files) for piece in pieces]
        segment_table.add(cursor, topic, numbers, places, pieces)
        self._ends[topic] = ends
        self._next[topic] = first + len(pieces)
