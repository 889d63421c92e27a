"""Files compared with the record: the state of each version, and whether its file was changed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from opensea_metrics.deploy.migrations.plan.steps import SETTINGS, steps_of
from opensea_metrics.deploy.migrations.record.records import (
    Recorded,
    StatementRecord,
    StatementState,
    VersionRecord,
    VersionState,
)
from opensea_metrics.sql.project import Migration


@dataclass(frozen=True)
class VersionStatus:
    """One version; times are milliseconds since 1970. ``total`` is None if the file is missing.

    ``changed``: the file's statements differ from the applied ones. ``who`` sent the last statement.
    """

    version: int
    name: str
    state: VersionState
    done: int
    total: int | None
    started_on: int | None = None
    completed_on: int | None = None
    error_reason: str | None = None
    changed: bool = False
    who: str | None = None


def file_matches_record(file: Migration, record: VersionRecord) -> bool:
    """True if a file with the current settings renders to the recorded text.

    For a version that ksql-migrations applied: True if the file has the same bytes.
    """
    if record.rendered:
        return record.rendered == file.checksum
    # Older releases of ksql-migrations record the bytes of the MD5, read as UTF-8 text.
    old_form = bytes.fromhex(file.file_md5).decode("utf-8", errors="replace")
    return record.checksum == file.file_md5 or _as_text(record.checksum) == _as_text(old_form)


def statements_match(file: Migration, records: Sequence[StatementRecord]) -> bool:
    """True if the file has the recorded statements. Comments do not count."""
    steps = [(each.statement.text, each.properties) for each in steps_of(file)]
    return steps == [(each.text, each.properties) for each in records]


def is_side_by_side(records: Sequence[StatementRecord]) -> bool:
    """True if the record has the statements of a version, because the file does not say them."""
    return any(each.in_effect and each.logical for each in records)


def make_status(migrations: Sequence[Migration], recorded: Recorded) -> tuple[VersionStatus, ...]:
    """The status of each version that has a file or is not rolled back, in order."""
    files = {each.version: each for each in migrations}
    records = {each.version: each for each in recorded.versions}
    shown = files.keys() | {each.version for each in recorded.versions if each.state is not VersionState.PENDING}
    return tuple(_status(each, files.get(each), records.get(each), recorded) for each in sorted(shown))


def _status(
    version: int, file: Migration | None, record: VersionRecord | None, recorded: Recorded
) -> VersionStatus:
    statements = recorded.statements_of(version)
    done = sum(each.state is StatementState.DONE for each in statements)
    total = None if file is None else sum(s.kind not in SETTINGS for s in file.statements)
    if is_side_by_side(statements):
        total = len(statements)
    if record is None:
        return VersionStatus(version, file.name if file else "", VersionState.PENDING, done, total)
    applied = record.state is VersionState.MIGRATED
    if applied and not done and total is not None:
        done = total  # applied by ksql-migrations, which records no statements
    is_same = file is None or file_matches_record(file, record) or statements_match(file, statements)
    return VersionStatus(
        version,
        record.name,
        record.state,
        done,
        total,
        record.started_on,
        record.completed_on,
        record.error_reason,
        changed=applied and not is_same,
        who=next((each.who for each in reversed(statements) if each.who), None),
    )


def _as_text(checksum: str) -> str:
    # Two decoders may write different numbers of replacement characters.
    return re.sub("\ufffd+", "\ufffd", checksum)
