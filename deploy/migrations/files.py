"""What a migration's file says: the statements that a server gets, and whether it was changed."""

from __future__ import annotations

import re
from collections.abc import Sequence

from opensea_metrics.core.errors import SqlError
from opensea_metrics.deploy.migrations.plan import Step
from opensea_metrics.deploy.migrations.state import StatementRecord, VersionRecord
from opensea_metrics.sql.language.project.project import Migration
from opensea_metrics.sql.language.statements.statements import Kind, Statement

# SET and UNSET are not sent: they become properties of the statements after them.
SETTINGS = (Kind.SET, Kind.UNSET)
ANSWERING = (Kind.SELECT, Kind.SHOW, Kind.DESCRIBE, Kind.EXPLAIN)


def statements_to_send(migration: Migration) -> tuple[Step, ...]:
    """All statements of a migration that a server gets.

    Raises SqlError for a statement that has no place in a migration.
    """
    properties: dict[str, str] = {}
    steps: list[Step] = []
    for statement in migration.statements:
        if statement.kind in ANSWERING:
            raise SqlError(f"a migration holds no {statement.kind.value}", statement.place)
        if statement.kind in SETTINGS:
            _set(properties, statement)
        else:
            now = tuple(sorted(properties.items()))
            steps.append(Step(migration.version, len(steps) + 1, statement, now))
    return tuple(steps)


def knows(record: VersionRecord, file: Migration) -> bool:
    """True if a file renders to what was recorded, also with the settings of now.

    For a version that ksql-migrations applied: True if the file has the same bytes.
    """
    if record.rendered:
        return record.rendered == file.checksum
    return record.checksum == file.file_md5 or _as_text(record.checksum) == _old_form(file)


def same_statements(file: Migration, records: Sequence[StatementRecord]) -> bool:
    """True if a file's statements are those that were recorded, whatever comments it has."""
    steps = statements_to_send(file)
    return [each.statement.text for each in steps] == [each.text for each in records] and [
        each.properties for each in steps
    ] == [each.properties for each in records]


def is_side_by_side(records: Sequence[StatementRecord]) -> bool:
    """True if a version's statements are those of the record, which its file does not tell."""
    return any(each.in_effect and each.logical for each in records)


def _old_form(file: Migration) -> str:
    """What older releases of ksql-migrations record: the bytes of the MD5, read as UTF-8 text."""
    return _as_text(bytes.fromhex(file.file_md5).decode("utf-8", errors="replace"))


def _as_text(checksum: str) -> str:
    # Two decoders need not put the same number of replacement characters.
    return re.sub("\ufffd+", "\ufffd", checksum)


def _set(properties: dict[str, str], statement: Statement) -> None:
    name, value = statement.ast.this, statement.ast.args.get("value")
    if value is None:
        properties.pop(str(name.this), None)
    else:
        properties[str(name.this)] = str(value.this)
