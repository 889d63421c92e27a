"""The migrations of a server for a page: versions, their states, and drift."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from opensea_metrics.core.errors import OpenSeaMetricsError
from opensea_metrics.deploy import commands
from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.output.upkeep import drift_sentence


def migration_state(client: KsqlClient, root: Path | None, variables: Mapping[str, str]) -> dict[str, Any]:
    """Versions and drift. ``error`` says why there are none, for instance because of a mistake in a file.

    ``root`` is a folder with settings.yml and migrations/ (None: ./sql, else the packaged one), and
    ``variables`` override its settings.
    """
    try:
        versions = commands.status(client, root, variables)
        drifts = commands.diff(client, root, variables)
    except OpenSeaMetricsError as error:
        return {"versions": [], "drift": [], "error": str(error)}
    return {
        "versions": [
            {
                "version": status.record.version,
                "name": status.record.name,
                "state": status.record.state.value,
                "done": status.done,
                "total": status.total,
                "completed": status.record.completed_on,
                "error": status.record.error_reason,
                "changed": status.changed,
            }
            for status in versions
        ],
        "drift": [[drift.kind.value, drift.name, drift_sentence(drift)] for drift in drifts],
        "error": None,
    }
