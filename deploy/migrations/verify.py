"""What has changed in the files since they were applied, and what it would mean on a server."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from opensea_metrics.core.quoting import ksqldb_text
from opensea_metrics.deploy.migrations.files import knows, same_statements, statements_to_send
from opensea_metrics.deploy.migrations.impact import CREATES, Impact, World, assess
from opensea_metrics.deploy.migrations.live import catalog_of
from opensea_metrics.deploy.migrations.plan import Step
from opensea_metrics.deploy.migrations.server import Server
from opensea_metrics.deploy.migrations.state import Recorded, StatementRecord, VersionState
from opensea_metrics.sql.language.project.project import Migration


@dataclass(frozen=True)
class Changed:
    """One statement (``number``) of an applied file, or the file itself (None).

    ``diff``: lines of a unified diff, from what was applied to what is in the file. ``impact`` is
    what replacing the live definition by the new one would be, where that can be told.
    """

    version: int
    number: int | None
    what: str
    diff: tuple[str, ...] = ()
    impact: Impact | None = None


def changed_files(
    migrations: Sequence[Migration], recorded: Recorded, server: Server
) -> tuple[Changed, ...]:
    """All changes of applied versions; ``server`` has been asked to describe everything."""
    files = {each.version: each for each in migrations}
    found: list[Changed] = []
    for record in recorded.versions:
        if record.state is not VersionState.MIGRATED:
            continue
        file = files.get(record.version)
        if file is None:
            found.append(Changed(record.version, None, f"{record.name}: the file is missing"))
            continue
        statements = recorded.applied_of(record.version)
        if knows(record, file) or same_statements(file, statements):
            continue
        if not statements:
            what = f"{file.path} was changed; what was applied is not recorded statement by statement"
            found.append(Changed(record.version, None, what))
        else:
            found.extend(_statements(file, statements, server))
    return tuple(found)


def _statements(
    file: Migration, records: Sequence[StatementRecord], server: Server
) -> Iterator[Changed]:
    steps = {each.number: each for each in statements_to_send(file)}
    applied = {each.number: each for each in records}
    world = World(catalog_of(server, with_queries=True), server.topics)
    for number in sorted(steps.keys() | applied.keys()):
        step, record = steps.get(number), applied.get(number)
        before = _lines(record.text, record.properties) if record else []
        after = _lines(step.statement.text, step.properties) if step else []
        if before == after:
            continue
        title = f"{file.path.name}, statement {number}"
        diff = difflib.unified_diff(before, after, f"{title}, applied", f"{title}, now", lineterm="")
        place = step.statement.place if step else file.path
        impact = _impact(step, record, world) if step and record else None
        yield Changed(file.version, number, str(place), tuple(diff), impact)


def _impact(step: Step, record: StatementRecord, world: World) -> Impact | None:
    statement = step.statement
    if statement.kind not in CREATES or statement.name != record.target:
        return None
    return assess(statement.replacing(), dict(step.properties), world, 0)[0]


def _lines(text: str, properties: tuple[tuple[str, str], ...]) -> list[str]:
    return [*(f"SET {ksqldb_text(name)} = {ksqldb_text(value)};" for name, value in properties), *text.split("\n")]
