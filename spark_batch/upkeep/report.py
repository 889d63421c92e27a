"""The report of ``archive check``, as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any


class FindingKind(Enum):
    """The kinds of findings: the text for people, and whether it is a defect of the archive or a remark.

    Remarks are about the topic itself, which the archive represents correctly, or about states that readers handle.
    """

    UNREADABLE = "files that cannot be read to their end", True
    EMPTY = "empty files", True
    STRANGE = "paths that no reader accepts", True
    OUTSIDE = "files outside the folders of hours", True
    GAP = "gaps of offsets", True
    OVERLAP = "offsets in more than one file", True
    MISPLACED = "files with records of other hours than their folder's", True
    LATE = "files with records that came up to an hour late, which readers take into account", False
    FAILED = "files with records that cannot be read as the stream declares them", False
    REPEATED = "hours with repeated records", False
    UNNUMBERED = "files without partition and offset in their names", False
    COVERED = "originals of compacted files, which readers skip", False

    @property
    def text(self) -> str:
        return str(self.value[0])

    @property
    def is_defect(self) -> bool:
        return bool(self.value[1])


@dataclass(frozen=True)
class ArchiveFinding:
    """A defect or remark. ``where`` is a path in the source, or the offsets of a partition."""

    kind: FindingKind
    where: str
    detail: str
    records: int = 0


@dataclass(frozen=True)
class PartitionSummary:
    """Totals of a partition's files. ``start`` is the first offset, and ``end`` is the offset after the last."""

    partition: int
    files: int
    compacted: int
    records: int
    bytes: int
    start: int
    end: int


@dataclass(frozen=True)
class ArchiveReport:
    """The findings in an archive. ``first_ms`` and ``last_ms`` are its first and last hour (epoch ms)."""

    url: str
    partitions: tuple[PartitionSummary, ...]
    findings: tuple[ArchiveFinding, ...]
    first_ms: int | None
    last_ms: int | None
    seconds: float

    @property
    def is_clean(self) -> bool:
        """Whether there are no defects. There may be remarks."""
        return not any(finding.kind.is_defect for finding in self.findings)

    def of(self, kind: FindingKind) -> Sequence[ArchiveFinding]:
        return [finding for finding in self.findings if finding.kind is kind]

    def as_json(self) -> dict[str, Any]:
        """The report as JSON types. The kind of a finding is the lower-case name of its :class:`FindingKind`."""
        return {
            "source": self.url,
            "clean": self.is_clean,
            "first_hour_ms": self.first_ms,
            "last_hour_ms": self.last_ms,
            "partitions": [asdict(partition) for partition in self.partitions],
            "findings": [
                {
                    "kind": finding.kind.name.lower(),
                    "defect": finding.kind.is_defect,
                    "where": finding.where,
                    "detail": finding.detail,
                    "records": finding.records,
                }
                for finding in self.findings
            ],
            "seconds": round(self.seconds, 3),
        }
