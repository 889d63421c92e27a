"""What a topic's directory holds: the files to read, and what is refused there, with the reason.

A topic is a directory ``topics/<topic>/`` of the data directory, with files of one JSON value a line at
any depth (the S3 sink's layout). Names that start with a dot or underscore are files in the making.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from opensea_metrics.core.errors import os_reason
from opensea_metrics.sql.language.dialect.naming import is_topic

SETTLED = 60.0
"""Seconds without a change after which nobody is taken to be still writing a file."""
_SUFFIXES = (".json", ".json.gz", ".ndjson")
MOST_PARTITIONS = 10_000
_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


@dataclass(frozen=True, slots=True)
class File:
    """A file to read: ``path`` is relative to the topic's directory, ``size`` is in bytes.

    ``stamp`` differs when the content may have changed; ``modified`` says when it did (seconds since 1970).
    """

    path: str
    size: int
    stamp: int
    modified: float


@dataclass(frozen=True)
class Listing:
    """A topic's directory: ``files`` in the order of their paths.

    ``refused`` are files that are never read as they are, ``unlisted`` are directories that cannot be
    listed. Both map a path, relative to the topic's directory and printable, to the reason.
    """

    files: list[File] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    unlisted: dict[str, str] = field(default_factory=dict)


def listing(root: Path, topic: str, partitions: int | None) -> Listing:
    """List the directory of a topic with ``partitions`` partitions (None: not declared yet)."""
    listed = Listing()
    top = os.path.join(root, topic)
    if not is_topic(topic):
        return listed  # no such directory is ever read
    if os.path.islink(top) and (reason := outside(root, top)):
        listed.refused[""] = reason
        return listed
    pending = [""]
    while pending:
        folder = pending.pop()
        try:
            entries = _entries(os.path.join(top, folder))
        except FileNotFoundError:
            continue
        except OSError as error:
            listed.unlisted[folder] = _cannot("list this directory", error)
            continue
        below = []
        for entry in entries:
            path = f"{folder}/{entry.name}" if folder else entry.name
            try:
                judged = _judged(root, topic, entry, partitions)
            except FileNotFoundError:
                continue  # it has just gone
            except OSError as error:
                judged = _cannot("read this file", error)
            match judged:
                case str():
                    listed.refused[shown(path)] = judged
                case os.stat_result():
                    stamp = hash((judged.st_size, judged.st_mtime_ns, judged.st_ino))
                    listed.files.append(File(path, judged.st_size, stamp, judged.st_mtime))
                case True:
                    below.append(path)
        pending += reversed(below)
    return listed


def is_settled(modified: float) -> bool:
    """Whether a file that was last changed then (seconds since 1970) is taken to be finished."""
    return abs(time.time() - modified) >= SETTLED  # a clock may be wrong, so a time may lie ahead


def strangers(root: Path) -> Listing:
    """What stands in ``topics/`` and is no topic's directory."""
    listed = Listing()
    try:
        entries = _entries(root)
    except FileNotFoundError:
        return listed
    except OSError as error:
        listed.unlisted[""] = _cannot("list this directory", error)
        return listed
    for entry in entries:
        is_directory = os.path.isdir(entry.path)
        if is_directory and not is_topic(entry.name):
            listed.refused[shown(entry.name)] = (
                "the directory's name is not one that Kafka allows for a topic"
                " (1 to 249 of A-Z a-z 0-9 . _ -); rename the directory"
            )
        elif entry.name.endswith(_SUFFIXES) and not is_directory:
            listed.refused[shown(entry.name)] = (
                "the file is in no topic's directory; move it into topics/<topic>/"
            )
    return listed


def directories(root: Path) -> list[str]:
    """The names of the topics that have a directory. Raises OSError if they cannot be listed."""
    try:
        entries = _entries(root)
    except FileNotFoundError:
        return []
    return [e.name for e in entries if is_topic(e.name) and os.path.isdir(e.path)]


def highest_partition(root: Path, topic: str) -> tuple[int, str]:
    """The greatest partition in the names of a topic's files, and such a file's path.

    It is -1 if no name has a partition.
    """
    named = (
        (partition(topic, os.path.basename(file.path)), file.path)
        for file in listing(root, topic, None).files
    )
    return max(named, default=(-1, ""))


def partition(topic: str, name: str) -> int:
    """The partition in a file name ``<topic>+<partition>+<offset>.json…``, -1 in any other.

    >>> partition("raw", "raw+3+0000000017.json.gz"), partition("raw", "raw-2026-11.json")
    (3, -1)
    """
    match = re.match(re.escape(topic) + r"\+([0-9]+)\+[0-9]+\.", name)
    return int(match[1]) if match else -1


def outside(root: Path, path: str | os.PathLike[str]) -> str | None:
    """Why a path is refused that leads out of ``topics/`` over a link, or None."""
    target = os.path.realpath(path)
    home = os.path.realpath(root)
    if target == home or target.startswith(home + os.sep):
        return None
    return f"a link leads to {shown(target)}, outside of {shown(str(root))}; move the data there"


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[int]:
    """A descriptor of a regular file.

    Raises OSError if it cannot be opened or is something else, such as a FIFO, for which it does not wait.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, _not_a_file(mode))
        yield descriptor
    finally:
        os.close(descriptor)


def shown(path: str) -> str:
    """A path as text that can be stored and printed, also if it is not UTF-8."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


_NOT_TEXT = "the name is not UTF-8; rename it"


def _judged(
    root: Path, topic: str, entry: os.DirEntry[str], partitions: int | None
) -> os.stat_result | str | bool:
    """The status of a file to read, the reason why it is refused, True for a directory to list, or False
    for what is ignored.

    Raises OSError if it cannot be asked for.
    """
    is_link = entry.is_symlink()
    is_directory = entry.is_dir()
    if entry.name.startswith((".", "_")) or not (is_directory or entry.name.endswith(_SUFFIXES)):
        return False
    if not _is_text(entry.name):
        return _NOT_TEXT
    if is_link and (reason := outside(root, entry.path)):
        return reason
    if is_directory:
        return "a link to a directory is not followed; move the directory here" if is_link else True
    try:
        status = entry.stat()
    except FileNotFoundError:
        return "a link that leads nowhere" if is_link else False  # it has just gone
    if not stat.S_ISREG(status.st_mode):
        return _not_a_file(status.st_mode)
    if (of := partition(topic, entry.name)) >= (partitions or MOST_PARTITIONS):
        return (
            f"its name says partition {of}, but the topic has {partitions} (0 to {partitions - 1});"
            " rename the file"
            if partitions
            else f"its name says partition {of}, and a topic has at most {MOST_PARTITIONS:,}; rename the file"
        )
    return status


def _entries(path: str | os.PathLike[str]) -> list[os.DirEntry[str]]:
    """What a directory holds, by name. Raises OSError."""
    with os.scandir(path) as entries:
        return sorted(entries, key=lambda entry: entry.name)


def _cannot(what: str, error: OSError) -> str:
    return f"cannot {what}: {os_reason(error)}"


def _not_a_file(mode: int) -> str:
    return f"it is {_KINDS[stat.S_IFMT(mode)]}, not a file"


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
