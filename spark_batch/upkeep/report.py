"""What ``archive check`` finds, as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any


class FindingKind(Enum):
    """What can be wrong: the text for a person, and whether it is a defect of the archive or a remark.

    Remarks tell of the topic itself, which the archive holds faithfully, or of a state that readers know.
    """

    UNREADABLE = "files that cannot be read to their end", True
    EMPTY = "empty files", True
    STRANGE = "paths that no reader takes", True
    OUTSIDE = "files outside the folders of hours", True
    GAP = "gaps of offsets", True
    OVERLAP = "offsets in more than one file", True
    MISPLACED = "files with records of other hours than their folder's", True
    LATE = "files with records that came up to an hour late, where readers look for them", False
    FAILED = "files with records that cannot be read as the stream declares them", False
    REPEATED = "hours with records that are there more than once", False
    UNNUMBERED = "files without partition and offset in their names", False
    COVERED = "originals of compacted files, which readers pass over", False

    @property
    def text(self) -> str:
        return str(self.value[0])

    @property
    def is_defect(self) -> bool:
        return bool(self.value[1])


@dataclass(frozen=True)
class ArchiveFinding:
    """One thing found: where (a path in the source, or a partition's offsets), what, and how many records."""

    kind: FindingKind
    where: str
    detail: str
    records: int = 0


@dataclass(frozen=True)
class PartitionSummary:
    """A partition's files: ``start`` and ``end`` (exclusive) are its first and next offset."""

    partition: int
    files: int
    compacted: int
    records: int
    bytes: int
    start: int
    end: int


@dataclass(frozen=True)
class ArchiveReport:
    """What was found in an archive. ``first_ms`` and ``last_ms``: its first and last hour (epoch ms)."""

    url: str
    partitions: tuple[PartitionSummary, ...]
    findings: tuple[ArchiveFinding, ...]
    first_ms: int | None
    last_ms: int | None
    seconds: float

    @property
    def is_clean(self) -> bool:
        """Whether there are no defects; remarks may be."""
        return not any(finding.kind.is_defect for finding in self.findings)

    def of(self, kind: FindingKind) -> Sequence[ArchiveFinding]:
        return [finding for finding in self.findings if finding.kind is kind]

    def as_json(self) -> dict[str, Any]:
        """The report as JSON's types; a finding's kind by its name in lower case."""
        return {
            "source": self.url,
            "clean": self.is_clean,
            "first_hour_ms": self.first_ms,
            "last_hour_ms": self.last_ms,
            "partitions": [asdict(each) for each in self.partitions],
            "findings": [
                {
                    "kind": each.kind.name.lower(),
                    "defect": each.kind.is_defect,
                    "where": each.where,
                    "detail": each.detail,
                    "records": each.records,
                }
                for each in self.findings
            ],
            "seconds": round(self.seconds, 3),
        }
