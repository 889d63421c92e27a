"""Files that are refused in their current state. The processing log reports each file when it is first refused."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import duckdb

from opensea_metrics.deploy.embedded.storage import transaction
from opensea_metrics.deploy.embedded.topics import processing_log
from opensea_metrics.deploy.embedded.topics.processing_log import FILES, Report

Reasons = Mapping[tuple[str, str], str]
"""Reasons for refusal by topic and path, from :class:`deploy.embedded.walk.Listing`.

The topic is empty for paths outside all topics' directories.
"""


def merged(reasons: Mapping[str, Mapping[str, str]]) -> dict[tuple[str, str], str]:
    """Flatten the reasons of each topic by path into reasons by topic and path."""
    return {(topic, path): reason for topic, paths in reasons.items() for path, reason in paths.items()}


def load(cursor: duckdb.DuckDBPyConnection) -> Reasons:
    """The refusals that have been reported and that were still true when they were last saved."""
    rows = cursor.execute("SELECT topic, path, reason FROM meta.refused").fetchall()
    return {(topic, path): reason for topic, path, reason in rows}


def keep(
    cursor: duckdb.DuckDBPyConnection, root: Path, before: Reasons, now: Reasons
) -> None:
    """Save the current refusals, and report each refusal that is new or has a new reason."""
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
