"""The contents of a topic's directory: the files to read, and the refused paths with the reasons.

A topic is a directory ``topics/<topic>/`` of the data directory. ``producer.archive`` lists it. Links must not lead
out of ``topics/``, because clients name topics and must not reach other files.
"""

from __future__ import annotations

import os
from pathlib import Path

from opensea_metrics.producer.archive.layout import (
    COMPACTED_SUFFIX,
    TEXT_SUFFIXES,
    ArchiveFile,
    archive_file,
)
from opensea_metrics.producer.archive.listing import Listing, entries_of, listed, partition_refusal
from opensea_metrics.producer.archive.paths import cannot, outside, shown
from opensea_metrics.sql.language.dialect.naming import is_topic

MOST_OFFSET = 2**62


def listing(root: Path, topic: str, partitions: int | None) -> Listing:
    """List the directory of a topic with ``partitions`` partitions (None: not declared yet)."""
    if not is_topic(topic):
        return Listing()  # no directory of this kind is ever read
    top = os.path.join(root, topic)
    if os.path.islink(top) and (reason := outside(root, top)):
        return Listing(refused={"": reason})
    contents = listed(top, within=str(root))
    for file in list(contents.files):
        if reason := partition_refusal(partition(topic, os.path.basename(file.path)), partitions):
            contents.files.remove(file)
            contents.refused[file.path] = reason
    return contents


def strangers(root: Path) -> Listing:
    """The files and directories in ``topics/`` that are not directories of topics."""
    contents = Listing()
    try:
        entries = entries_of(root)
    except FileNotFoundError:
        return contents
    except OSError as error:
        contents.unlisted[""] = cannot("list this directory", error)
        return contents
    for entry in entries:
        is_directory = os.path.isdir(entry.path)
        if is_directory and not is_topic(entry.name):
            contents.refused[shown(entry.name)] = (
                "the directory's name is not one that Kafka allows for a topic"
                " (1 to 249 of A-Z a-z 0-9 . _ -); rename the directory"
            )
        elif entry.name.endswith((*TEXT_SUFFIXES, COMPACTED_SUFFIX)) and not is_directory:
            contents.refused[shown(entry.name)] = (
                "the file is in no topic's directory; move it into topics/<topic>/"
            )
    return contents


def directories(root: Path) -> list[str]:
    """The names of the topics that have a directory. Raises OSError if they cannot be listed."""
    try:
        entries = entries_of(root)
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
    """The partition in the name of a topic's file (``producer.archive.layout``), or -1 if the name has none.

    >>> partition("raw", "raw+3+0000000017.json.gz"), partition("raw", "raw-2026-11.json")
    (3, -1)
    """
    file = _named(topic, name)
    return file.partition if file else -1


def first_offset(topic: str, name: str) -> int | None:
    """The offset of a file's first record, from the file's name. None if the name has no offset.

    >>> first_offset("raw", "raw+3+0000000017.json.gz"), first_offset("raw", "raw-2026-11.json")
    (17, None)
    """
    file = _named(topic, name)
    return file.start if file and file.start < MOST_OFFSET else None


def _named(topic: str, name: str) -> ArchiveFile | None:
    file = archive_file(name)
    is_of_topic = name.startswith((f"{topic}+", f"{topic}-"))
    return file if file is not None and file.is_numbered and is_of_topic else None
