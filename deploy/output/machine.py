"""Results of the migration tool for programs: one JSON object per line, with times in epoch ms."""

from __future__ import annotations

from collections.abc import Sequence

from opensea_metrics.core.errors import SqlError, SqlErrors
from opensea_metrics.deploy.commands import Validation
from opensea_metrics.deploy.migrations.plan.drift import Drift
from opensea_metrics.deploy.migrations.plan.files import FileChange, VersionStatus
from opensea_metrics.deploy.output.plain import say_json
from opensea_metrics.deploy.output.upkeep import drift_sentence


def status_json(versions: Sequence[VersionStatus], lock_holder: str | None) -> None:
    """Print an object for each version, and one with the holder of the lock if somebody holds it."""
    for version in versions:
        say_json(
            {
                "version": version.version, "name": version.name, "state": str(version.state),
                "statements_done": version.done, "statements": version.total, "by": version.who,
                "started": version.started_on, "completed": version.completed_on,
                "changed": version.changed, "error": version.error_reason,
            }
        )  # fmt: skip
    if lock_holder is not None:
        say_json({"lock": lock_holder})


def drift_json(drifts: Sequence[Drift]) -> None:
    """Print an object for each difference."""
    for drift in drifts:
        say_json(
            {
                "kind": str(drift.kind), "object": str(drift.object), "name": drift.name,
                "related": list(drift.related), "detail": drift_sentence(drift),
            }
        )  # fmt: skip


def validation_json(checked: Validation) -> None:
    """Print an object for each statement that only ksqlDB can run, and one with the numbers."""
    for unsupported in checked.unsupported:
        say_json({"kind": "note", **_located(unsupported)})
    say_json(
        {
            "kind": "valid", "directory": str(checked.root), "migrations": checked.migrations,
            "statements": checked.statements,
        }
    )  # fmt: skip


def errors_json(error: SqlError) -> None:
    """Print an object for each error in files."""
    for part in error.errors if isinstance(error, SqlErrors) else (error,):
        say_json({"kind": "error", **_located(part)})


def changes_json(changes: Sequence[FileChange]) -> None:
    """Print an object for each change of an applied file."""
    for change in changes:
        say_json(
            {
                "kind": "changed", "version": change.version, "change": str(change.kind), "where": change.where,
                "statement": change.number, "diff": list(change.diff),
            }
        )  # fmt: skip


def _located(error: SqlError) -> dict[str, object]:
    place = error.place
    return {
        "message": error.message, "hint": error.hint, "file": place.file if place else None,
        "line": place.line if place else None, "column": place.column if place else None,
    }  # fmt: skip
