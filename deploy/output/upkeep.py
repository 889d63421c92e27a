"""Drift and repairs, for people and for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from opensea_metrics.deploy.migrations.plan.drift import Drift, DriftKind, DriftObject
from opensea_metrics.deploy.migrations.plan.repair import Correction, RepairReason
from opensea_metrics.deploy.migrations.record.records import StatementRecord
from opensea_metrics.deploy.output.console import console, shown

DRIFT = ("kind", "object", "name", "related", "detail")
"""The fields of :func:`drift_objects`."""
CORRECTIONS = {
    RepairReason.EXECUTED: "the server executed it",
    RepairReason.NOT_EXECUTED: "the server did not execute it",
    RepairReason.GONE: "its object is gone from the server; apply will create it again",
    RepairReason.COMPLETE: "all {total} statements are applied",
    RepairReason.INCOMPLETE: "{done} of {total} statements are applied",
    RepairReason.COMMENTS_CHANGED: "only comments of the file have changed; its new checksum is recorded",
    RepairReason.LEFT_OVER: "an interrupted run left this stream; it is dropped",
}


def show_drift(drifts: Sequence[Drift]) -> None:
    """Print one line for each difference."""
    if not drifts:
        return
    table = Table("drift", "name", "")
    for drift in drifts:
        table.add_row(drift.kind, shown(drift.name), shown(drift_sentence(drift)))
    console().print(table)


def drift_objects(drifts: Sequence[Drift]) -> list[dict[str, Any]]:
    """A JSON object for each difference."""
    return [
        {
            "kind": str(drift.kind), "object": str(drift.object), "name": drift.name,
            "related": list(drift.related), "detail": drift_sentence(drift),
        }
        for drift in drifts
    ]  # fmt: skip


def drift_sentence(drift: Drift) -> str:
    """The details of a difference."""
    related = ", ".join(drift.related)
    source = _statement(drift.record)
    match drift.kind, drift.object:
        case DriftKind.MISSING, DriftObject.SOURCE | DriftObject.TYPE:
            return f"{source} created it"
        case DriftKind.MISSING, DriftObject.TOPIC:
            version = drift.record.version if drift.record else ""
            return f"the topic of {related}, which has no rows without it: roll back version {version} and apply"
        case DriftKind.MISSING, _:
            return f"the query of {source}, which writes into {related}"
        case DriftKind.EXTRA, DriftObject.SOURCE | DriftObject.TYPE:
            return f"a {related} that no migration created"
        case DriftKind.EXTRA, _:
            return f"writes into {related}; no migration started it"
        case DriftKind.ALTERED, DriftObject.FUNCTION:
            return f"its function {related} was changed after {source}: rebuild it"
        case DriftKind.ALTERED, _:
            changes = "; ".join(f"{change.clause}: {change.description}" for change in drift.changes)
            return f"{changes} (from {source} to the server's definition)"
        case DriftKind.FAILED, _:
            return drift.reason
        case _:
            return f"writes into {related}"


def correction_sentence(correction: Correction) -> str:
    """The change of a repair, with the reason."""
    where = correction.name
    if (record := correction.statement) is not None:
        where = f"V{record.version:03} statement {record.number} ({record.kind.value} {record.target})"
    elif (version := correction.version) is not None:
        where = f"V{version.version:03} {version.name}"
    why = CORRECTIONS[correction.reason].format(done=correction.done, total=correction.total)
    return f"{where}: {why}"


def _statement(record: StatementRecord | None) -> str:
    return f"statement {record.number} of version {record.version}" if record else "no statement"
