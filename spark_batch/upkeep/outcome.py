"""The options of a compaction, and its outcome in numbers."""

from __future__ import annotations

from dataclasses import dataclass, field

from opensea_metrics.spark_batch.upkeep.runs import MOST_BYTES, MOST_RECORDS, Left


@dataclass(frozen=True)
class Options:
    """With ``keep``, the originals stay. The limits apply to each compacted file."""

    keep: bool = False
    most_records: int = MOST_RECORDS
    most_bytes: int = MOST_BYTES


DEFAULTS = Options()


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
