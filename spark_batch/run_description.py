"""The description of a run: ``run.json`` beside its results."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from opensea_metrics.spark_batch.job import Counts
from opensea_metrics.spark_batch.period import iso
from opensea_metrics.spark_batch.recompute import Prepared
from opensea_metrics.udfs import registry


def function_checksums() -> dict[str, str]:
    """The checksum of each Python function that SQL can call (``udfs.registry.checksum``)."""
    return {name: registry.checksum(name) for name in sorted(registry.functions())}


def description(
    prepared: Prepared, functions: Mapping[str, str], counts: Counts, rows: Mapping[str, int], began: float
) -> dict[str, Any]:
    """The description of a run that ends now, as JSON's types.

    ``functions`` are :func:`function_checksums`, ``rows`` is the number of rows of each table, and ``began`` is the
    run's start in seconds since 1970.
    """
    project, job = prepared.project, prepared.job
    return {
        "opensea_metrics": version("opensea-metrics"),
        "engine": prepared.engine,
        "began": iso(round(began * 1000)),
        "seconds": round(time.time() - began, 3),
        "source": job.source.url,
        "from": iso(job.period.first),
        "to": iso(job.period.end),
        "windows": [
            {"size": w.label, **({"slide": w.slide} if w.slide else {})} for w in prepared.windows
        ],
        "trailing": job.period.trailing,
        "late": "as-streamed" if job.pipeline.as_streamed else "complete",
        "migrations": [
            {"version": m.version, "name": m.name, "checksum": m.checksum} for m in project.migrations
        ],
        "functions": dict(functions),
        "files": len(job.files),
        "bytes": sum(file.size for file in job.files),
        "records": {"read": counts.read, "in_period": counts.used, "set_aside": counts.set_aside},
        "set_aside": dict(counts.reasons),
        "refused_files": dict(job.refused),
        "damaged_files": {path: asdict(damage) for path, damage in counts.damaged.items()},
        "rows": dict(rows),
    }
