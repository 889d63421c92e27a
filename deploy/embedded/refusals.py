"""Files that are refused as they are. Each is reported on the processing log when that begins."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import duckdb

from opensea_metrics.deploy.embedded import processing_log
from opensea_metrics.deploy.embedded.processing_log import FILES, Report
from opensea_metrics.deploy.embedded.storage import transaction

Reasons = Mapping[tuple[str, str], str]
"""Reasons by topic and path, as :class:`deploy.embedded.walk.Listing` has them. The topic is empty for
what is in no topic's directory."""


def merged(reasons: Mapping[str, Mapping[str, str]]) -> dict[tuple[str, str], str]:
    """Reasons by topic and path, of those of each topic by path."""
    return {(topic, path): reason for topic, paths in reasons.items() for path, reason in paths.items()}


def load(cursor: duckdb.DuckDBPyConnection) -> Reasons:
    """What has been reported and is still refused, as far as is known."""
    rows = cursor.execute("SELECT topic, path, reason FROM meta.refused").fetchall()
    return {(topic, path): reason for topic, path, reason in rows}


def keep(
    cursor: duckdb.DuckDBPyConnection, root: Path, before: Reasons, now: Reasons
) -> None:
    """Write down what is refused now, and report what was not refused before for the same reason."""
    reports: dict[str, list[Report]] = defaultdict(list)
    for (topic, path), reason in now.items():
        if before.get((topic, path)) != reason:
            reports[topic].append(Report(reason, str(root / topic / path)))
    rows = [(topic, path, reason) for (topic, path), reason in now.items()]
    with transaction(cursor):
        cursor.execute("DELETE FROM meta.refused")
        if rows:
            cursor.execute(
                "INSERT INTO meta.refused"
                " SELECT unnest(?::VARCHAR[]), unnest(?::VARCHAR[]), unnest(?::VARCHAR[])",
                list(map(list, zip(*rows, strict=True))),
            )
        for topic, items in reports.items():
            processing_log.report(cursor, FILES, topic, items)
