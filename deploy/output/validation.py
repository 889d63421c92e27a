"""The results of ``validate``, for people and for programs: all files, and applied files that were changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from opensea_metrics.core.errors import SqlError, SqlErrors
from opensea_metrics.core.wording import counted
from opensea_metrics.deploy.commands import Validation
from opensea_metrics.deploy.migrations.plan.files import FileChange, FileChangeKind
from opensea_metrics.deploy.output.console import console, shown
from opensea_metrics.deploy.output.plain import say

DIFF = {"+": "green", "-": "red", "@": "cyan"}
FILE_CHANGES = {
    FileChangeKind.MISSING: "{where}: the file is missing",
    FileChangeKind.CHANGED: "{where} was changed; the record does not have its applied statements",
    FileChangeKind.STATEMENT_CHANGED: "{where}",
}


def show_validation(checked: Validation) -> None:
    """Print a line for each statement that only ksqlDB can run, and one with the totals."""
    for unsupported in checked.unsupported:
        say(f"note: {unsupported.place}: {unsupported.message}")
    migrations, statements = counted(checked.migrations, "migration"), counted(checked.statements, "statement")
    say(f"{migrations}, {statements} in {checked.root}: valid")


def show_changed(changes: Sequence[FileChange]) -> None:
    """Print the diffs of changed files, and the verdict on replacing each definition on the server."""
    out = console()
    for change in changes:
        out.print(shown(f"V{change.version:03} {FILE_CHANGES[change.kind].format(where=change.where)}", "bold"))
        for line in change.diff:
            out.print(shown(f"  {line}", DIFF.get(line[:1], "")))
        if change.impact is not None:
            clause = f" ({change.impact.clause})" if change.impact.clause else ""
            out.print(shown(f"  as CREATE OR REPLACE: {change.impact.verdict}{clause}", "yellow"))


def validation_objects(checked: Validation) -> list[dict[str, Any]]:
    """A JSON object for each statement that only ksqlDB can run, and one with the totals."""
    notes: list[dict[str, Any]] = [{"kind": "note", **_located(unsupported)} for unsupported in checked.unsupported]
    numbers: dict[str, Any] = {
        "kind": "valid", "directory": str(checked.root), "migrations": checked.migrations,
        "statements": checked.statements,
    }  # fmt: skip
    return [*notes, numbers]


def error_objects(error: SqlError) -> list[dict[str, Any]]:
    """A JSON object for each error in files."""
    errors = error.errors if isinstance(error, SqlErrors) else (error,)
    return [{"kind": "error", **_located(part)} for part in errors]


def change_objects(changes: Sequence[FileChange]) -> list[dict[str, Any]]:
    """A JSON object for each change of an applied file."""
    return [
        {
            "kind": "changed", "version": change.version, "change": str(change.kind), "where": change.where,
            "statement": change.number, "diff": list(change.diff),
        }
        for change in changes
    ]  # fmt: skip


def _located(error: SqlError) -> dict[str, Any]:
    place = error.place
    return {
        "message": error.message, "hint": error.hint, "file": place.file if place else None,
        "line": place.line if place else None, "column": place.column if place else None,
    }  # fmt: skip
