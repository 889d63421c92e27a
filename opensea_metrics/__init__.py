"""Streaming metrics of the NFT market, defined in ksqlDB SQL only.

What is exported here is the public interface; ``docs/python-api.md`` shows it. The rest of the package may
change. Names are loaded when they are first used, because most programs need only a few of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opensea_metrics.core.errors import OpenSeaMetricsError
    from opensea_metrics.deploy.client import KsqlClient
    from opensea_metrics.deploy.commands import apply, plan, rollback
    from opensea_metrics.deploy.embedded.server import running
    from opensea_metrics.spark_batch.recompute import recompute
    from opensea_metrics.udfs import udaf, udf, udtf

__all__ = [
    "KsqlClient",
    "OpenSeaMetricsError",
    "apply",
    "plan",
    "recompute",
    "rollback",
    "running",
    "udaf",
    "udf",
    "udtf",
]
_PLACES = {
    "KsqlClient": "deploy.client",
    "OpenSeaMetricsError": "core.errors",
    "apply": "deploy.commands",
    "plan": "deploy.commands",
    "recompute": "spark_batch.recompute",
    "rollback": "deploy.commands",
    "running": "deploy.embedded.server",
    "udaf": "udfs",
    "udf": "udfs",
    "udtf": "udfs",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
