"""What a migration's file says: the statements that a server gets, and whether it was changed."""

from __future__ import annotations

import re
from collections.abc import Sequence

from deploy.migrations.plan import Step
from deploy.migrations.state import StatementRecord, VersionRecord
from sql.errors import SqlError
from sql.project import Migration
from sql.statements import Kind, Statement

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
    """True if a file is, byte for byte, what was recorded: by this tool, or by ksql-migrations."""
    # Two decoders need not put the same number of replacement characters.
    foreign = (re.sub("\ufffd+", "\ufffd", each) for each in (record.checksum, file.foreign_checksum))
    return record.checksum == file.checksum or len(set(foreign)) == 1


def same_statements(file: Migration, records: Sequence[StatementRecord]) -> bool:
    """True if a file's statements are those that were recorded, whatever comments it has."""
    steps = statements_to_send(file)
    return [each.statement.text for each in steps] == [each.text for each in records] and [
        each.properties for each in steps
    ] == [each.properties for each in records]


def is_side_by_side(records: Sequence[StatementRecord]) -> bool:
    """True if a version's statements are those of the record, which its file does not tell."""
    return any(each.in_effect and each.logical for each in records)


def _set(properties: dict[str, str], statement: Statement) -> None:
    name, value = statement.ast.this, statement.ast.args.get("value")
    if value is None:
        properties.pop(str(name.this), None)
    else:
        properties[str(name.this)] = str(value.this)
