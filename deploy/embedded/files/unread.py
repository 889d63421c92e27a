"""Segments of files that a query has not read to their end."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Why(StrEnum):
    """Why a file was not read to its end."""

    GROWING = "growing"
    UNREADABLE = "unreadable"
    DAMAGED = "damaged"
    NOT_GZIP = "not gzip"
    CHANGED = "changed"


@dataclass(frozen=True)
class Unread:
    """A segment that a query has not read to its end.

    The query has read the lines in the first ``taken`` bytes of the text, whose CRC is ``checksum``.
    ``tried`` was the file's :func:`state` at that time, and ``why`` is the reason.
    """

    seq: int
    taken: int
    checksum: int
    tried: int
    why: Why


WHEN_IT_GOES_ON = {
    Why.UNREADABLE: "the server reads it as soon as this is possible",
    Why.DAMAGED: "the server has read the records before the damage, and reads the others once the file is repaired",
    Why.NOT_GZIP: "compress it, or rename it to .json",
    Why.CHANGED: "the server reads the rest if the file gets its old content back",
}
"""For reports: when the server reads the segment again, or what its owner must do."""
