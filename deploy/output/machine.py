"""Results of the migration tool for programs, as JSON objects. Times are in epoch ms."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from opensea_metrics.core.errors import SqlError, SqlErrors
from opensea_metrics.deploy.commands import Validation
from opensea_metrics.deploy.migrations.plan.drift import Drift
from opensea_metrics.deploy.migrations.plan.files import FileChange, VersionStatus
from opensea_metrics.deploy.migrations.plan.steps import ApplyStep, Plan
from opensea_metrics.deploy.output.upkeep import drift_sentence

Object = dict[str, object]
DRIFT = ("kind", "object", "name", "related", "detail")
"""The fields of :func:`drift_objects`."""
PLAN = ("version", "migration", "reversible", "statement", "name", "verdict", "data")
"""The fields of :func:`plan_objects`."""


def status_objects(versions: Sequence[VersionStatus]) -> list[Object]:
    """A JSON object for each version: its number, state and times."""
    return [
        {
            "version": version.record.version, "name": version.record.name, "state": str(version.record.state),
            "statements_done": version.done, "statements": version.total, "by": version.who,
            "started": version.record.started_on, "completed": version.record.completed_on,
            "changed": version.changed, "error": version.record.error_reason,
        }
        for version in versions
    ]  # fmt: skip


def plan_objects(plan: Plan, sentence: Callable[[ApplyStep], str]) -> list[Object]:
    """A JSON object for each statement. ``sentence`` describes a step's effect on data."""
    rows = ((version, step) for version in plan.versions for step in version.steps)
    return [
        {
            "version": version.version, "migration": version.name, "reversible": str(version.reversible),
            "statement": step.statement.text, "name": step.statement.name, "verdict": str(step.impact.verdict),
            "data": sentence(step),
        }
        for version, step in rows
    ]  # fmt: skip


def drift_objects(drifts: Sequence[Drift]) -> list[Object]:
    """A JSON object for each difference."""
    return [
        {
            "kind": str(drift.kind), "object": str(drift.object), "name": drift.name,
            "related": list(drift.related), "detail": drift_sentence(drift),
        }
        for drift in drifts
    ]  # fmt: skip


def validation_objects(checked: Validation) -> list[Object]:
    """A JSON object for each statement that only ksqlDB can run, and one with the totals."""
    notes: list[Object] = [{"kind": "note", **_located(unsupported)} for unsupported in checked.unsupported]
    numbers: Object = {
        "kind": "valid", "directory": str(checked.root), "migrations": checked.migrations,
        "statements": checked.statements,
    }  # fmt: skip
    return [*notes, numbers]


def error_objects(error: SqlError) -> list[Object]:
    """A JSON object for each error in files."""
    errors = error.errors if isinstance(error, SqlErrors) else (error,)
    return [{"kind": "error", **_located(part)} for part in errors]


def change_objects(changes: Sequence[FileChange]) -> list[Object]:
    """A JSON object for each change of an applied file."""
    return [
        {
            "kind": "changed", "version": change.version, "change": str(change.kind), "where": change.where,
            "statement": change.number, "diff": list(change.diff),
        }
        for change in changes
    ]  # fmt: skip


def _located(error: SqlError) -> Object:
    place = error.place
    return {
        "message": error.message, "hint": error.hint, "file": place.file if place else None,
        "line": place.line if place else None, "column": place.column if place else None,
    }  # fmt: skip
