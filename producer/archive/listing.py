"""The contents of a folder on a local disk: files to read, and entries that no reader accepts, with the reasons.

The embedded server, ``recompute``, ``reconcile``, ``replay`` and the archive's tools all use this listing. Names that
begin with a dot or underscore are files that are still being written: nobody reads or reports them.
"""

from __future__ import annotations

import os
import stat
import time
from dataclasses import dataclass, field

from opensea_metrics.producer.archive.layout import (
    COMPACTED_SUFFIX,
    TEXT_SUFFIXES,
    ArchiveFile,
    archive_file,
    companion_base,
    is_companion,
)
from opensea_metrics.producer.archive.paths import (
    NOT_TEXT,
    cannot,
    is_in,
    is_text,
    not_a_file,
    outside,
    shown,
)

SETTLED = 60.0
"""Seconds without a change after which a file counts as finished."""
MOST_PARTITIONS = 10_000
_LOOP = "a link to a folder that contains it or is listed already; remove the link"
_READABLE_COMPANIONS = (".json", ".json.gz")


@dataclass(frozen=True, slots=True)
class File:
    """A file to read. ``path`` is relative to the listed folder, ``size`` is in bytes.

    ``stamp`` differs when the content may have changed. ``modified`` is the time of the last change (seconds since
    1970).
    """

    path: str
    size: int
    stamp: int
    modified: float

    @property
    def named(self) -> ArchiveFile | None:
        """The hour, partition and offsets that the file's name gives."""
        return archive_file(self.path, self.size)


@dataclass(frozen=True)
class Listing:
    """A folder: ``files`` of records in the order of their paths, and ``companions`` with their keys and headers.

    ``refused`` are files that no reader accepts, and ``unlisted`` are folders that cannot be listed. Both map a
    printable path, relative to the folder, to the reason. ``others`` are entries with other names, which only
    ``archive check`` reports.
    """

    files: list[File] = field(default_factory=list)
    companions: list[File] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    unlisted: dict[str, str] = field(default_factory=dict)
    others: dict[str, str] = field(default_factory=dict)

    def add(self, file: File) -> None:
        """Sort a regular file, whose name is text, into one of the lists."""
        name = file.path.rpartition("/")[2]
        if is_companion(name):
            self.companions.append(file)
        elif file.named is None:
            self.others[file.path] = "its name is not one of a file of records"
        else:
            self.files.append(file)

    def judge_companions(self) -> None:
        """Refuse files of keys or headers that cannot be read, or that have no file of values."""
        bases = {file.path.removesuffix(".gz").rpartition(".")[0] for file in self.files}
        for file in list(self.companions):
            folder, _, name = file.path.rpartition("/")
            base = (f"{folder}/" if folder else "") + str(companion_base(name)).rstrip(".")
            if not name.endswith(_READABLE_COMPANIONS):
                reason = "keys and headers are read from JSON only; set the sink's format for them to JsonFormat"
            elif base in bases:
                continue
            else:
                reason = "keys or headers without a file of values: the sink writes these for NULL values"
            self.companions.remove(file)
            self.refused[file.path] = reason


def listed(top: str, below: str = "", within: str | None = None, without: str | None = None) -> Listing:
    """List a folder, or the folder ``below`` it, at any depth.

    A link to a folder is followed, unless the folder contains the link or is listed anyway. With ``within`` (the
    folder of all topics) nothing outside that folder is read, and links to folders are not followed. So a client
    cannot name a path that leads elsewhere. Entries of the first folder that begin with ``without`` are skipped.
    """
    listing = Listing()
    pending = [below]
    linked: list[str] = []
    seen = {os.path.realpath(top)}
    while pending or linked:
        if pending:
            folder = pending.pop()
        else:  # after all folders that are not links
            folder = linked.pop()
            target = os.path.realpath(os.path.join(top, folder))
            if any(is_in(target, other) or is_in(other, target) for other in seen):
                listing.refused[shown(folder)] = _LOOP
                continue
            seen.add(target)
        try:
            entries = entries_of(os.path.join(top, folder))
        except FileNotFoundError:
            continue
        except OSError as error:
            listing.unlisted[shown(folder)] = cannot("list this directory", error)
            continue
        below_it = []
        for entry in entries:
            if entry.name.startswith((".", "_")) or (
                without is not None and folder == below and entry.name.startswith(without)
            ):
                continue
            path = f"{folder}/{entry.name}" if folder else entry.name
            try:
                judged = _judged(entry, within)
            except FileNotFoundError:
                continue  # it was deleted just now
            except OSError as error:
                judged = cannot("read this file", error)
            match judged:
                case str():
                    (listing.refused if _is_asked_for(entry) else listing.others)[shown(path)] = judged
                case os.stat_result():
                    stamp = hash((judged.st_size, judged.st_mtime_ns, judged.st_ino))
                    listing.add(File(path, judged.st_size, stamp, judged.st_mtime))
                case True:
                    linked.append(path)
                case False:
                    below_it.append(path)
        pending += reversed(below_it)
    listing.judge_companions()
    return listing


def entries_of(path: str | os.PathLike[str]) -> list[os.DirEntry[str]]:
    """The entries of a directory, sorted by name. Raises OSError."""
    with os.scandir(path) as entries:
        return sorted(entries, key=lambda entry: entry.name)


def is_settled(modified: float) -> bool:
    """Whether a file that was last changed at this time (seconds since 1970) counts as finished."""
    return abs(time.time() - modified) >= SETTLED  # a clock may be wrong, so the time may be in the future


def partition_refusal(partition: int, partitions: int | None = None) -> str | None:
    """The reason for refusing a file of a partition, or None; ``partitions`` is their number if it is declared."""
    if partition < (partitions or MOST_PARTITIONS):
        return None
    if partitions:
        return (
            f"its name says partition {partition}, but the topic has {partitions} (0 to {partitions - 1});"
            " rename the file"
        )
    return f"its name says partition {partition}, and a topic has at most {MOST_PARTITIONS:,}; rename the file"


def _judged(entry: os.DirEntry[str], within: str | None) -> os.stat_result | str | bool:
    """The status of a regular file, or the reason for refusing an entry; for a directory, whether it is a link.

    Raises OSError if the system does not give the status.
    """
    is_link = entry.is_symlink()
    is_directory = entry.is_dir()
    if not is_text(entry.name):
        return NOT_TEXT
    if is_link and within is not None:
        if reason := outside(within, entry.path):
            return reason
        if is_directory:
            return "a link to a directory is not followed; move the directory here"
    if is_directory:
        return is_link
    try:
        status = entry.stat()
    except FileNotFoundError:
        if is_link:
            return "a link that leads nowhere"
        raise
    return status if stat.S_ISREG(status.st_mode) else not_a_file(status.st_mode)


def _is_asked_for(entry: os.DirEntry[str]) -> bool:
    """Whether the name of an entry is one of a file of records, or the entry is a directory."""
    if entry.name.endswith((*TEXT_SUFFIXES, COMPACTED_SUFFIX)):
        return True
    try:
        return entry.is_dir()
    except OSError:
        return False
