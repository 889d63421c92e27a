"""The state of a server, for people and for programs: versions of migrations and persistent queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from opensea_metrics.deploy.commands import QueryAction
from opensea_metrics.deploy.migrations.plan.files import VersionStatus
from opensea_metrics.deploy.migrations.record.records import VersionState
from opensea_metrics.deploy.output.console import console, shown, time_text
from opensea_metrics.deploy.replies import ServerQuery

_VERSION_STYLES = {
    VersionState.MIGRATED: "green",
    VersionState.PENDING: "yellow",
    VersionState.RUNNING: "cyan",
    VersionState.ERROR: "red",
}
DONE: Mapping[QueryAction, str] = {
    QueryAction.PAUSE: "paused",
    QueryAction.RESUME: "resumed",
    QueryAction.TERMINATE: "terminated",
}
_QUERY_STYLES = {"ERROR": "red", "PAUSED": "yellow"}


def show_status(versions: Sequence[VersionStatus]) -> None:
    """Print one line for each version, which fits into 80 characters, and notes on some versions below."""
    out = console()
    table = Table(box=SIMPLE_HEAD, padding=0)
    for name in ("version", "name", "state", "statements", "by", "started, UTC", "seconds"):
        table.add_column(name, no_wrap=name in ("version", "state", "statements"), overflow="fold")
    table.columns[-1].justify = "right"
    notes = []
    for version in versions:
        record = version.record
        took = ""
        if record.started_on is not None and record.completed_on is not None:
            took = f"{(record.completed_on - record.started_on) / 1000:.1f}"
        number = f"V{record.version:03}"
        table.add_row(
            number,
            shown(record.name),
            shown(str(record.state), _VERSION_STYLES[record.state]),
            f"{version.done}/{'?' if version.total is None else version.total}",
            shown(version.who or ""),
            time_text(record.started_on),
            took,
        )
        if record.error_reason:
            notes.append(shown(f"{number}: {record.error_reason}", "red"))
        elif version.total is None:
            notes.append(shown(f"{number}: its file is missing", "yellow"))
        elif version.changed:
            notes.append(shown(f"{number}: the file was changed after it was applied", "yellow"))
    out.print(table)
    for note in notes:
        out.print(note)


def status_objects(versions: Sequence[VersionStatus]) -> list[dict[str, Any]]:
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


def show_queries(queries: Sequence[ServerQuery], stderr: bool = False) -> None:
    """Print one line for each query: its id, state and sink."""
    table = Table(box=SIMPLE_HEAD, padding=0)
    for name in ("query", "state", "writes into"):
        table.add_column(name, overflow="fold", no_wrap=name == "state")
    for query in queries:
        state = _state(query)
        table.add_row(shown(query.id), shown(state, _QUERY_STYLES.get(state, "")), shown(", ".join(query.sinks)))
    console(stderr).print(table)


def query_object(query: ServerQuery) -> dict[str, Any]:
    """A query as a JSON object."""
    return {"id": query.id, "state": _state(query), "sinks": query.sinks, "text": query.text}


def _state(query: ServerQuery) -> str:
    return "PAUSED" if query.paused else query.state
