"""One function for each verb of the command line: plain values in, plain data out, nothing printed.

``root`` is a folder with settings.yml and migrations/ (None: ./sql, else the packaged one). ``variables`` override its
settings. All functions raise SqlError for errors in files, and ClientError for failures of the server. They raise
MigrationError if files, record and server contradict one another.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from opensea_metrics.deploy.commands.init import init
from opensea_metrics.deploy.commands.migrate import (
    Validation,
    apply,
    dry_run,
    lock_holder,
    plan,
    plan_rollback,
    rollback,
    status,
    unlock,
    validate,
)
from opensea_metrics.deploy.commands.new import new, new_change, new_family, new_window
from opensea_metrics.deploy.commands.queries import QueryAction, change_queries, queries
from opensea_metrics.deploy.commands.site import Site
from opensea_metrics.deploy.commands.upkeep import (
    adopt,
    baseline,
    changed,
    diff,
    drop_extra,
    repair,
)
from opensea_metrics.deploy.migrations.plan.pending import ApplyChoice

if TYPE_CHECKING:
    from opensea_metrics.deploy.commands.sqltests import run_tests
    from opensea_metrics.deploy.query.serving import reading, serving_names, with_serving_names

__all__ = [
    "ApplyChoice",
    "QueryAction",
    "Site",
    "Validation",
    "adopt",
    "apply",
    "baseline",
    "change_queries",
    "changed",
    "diff",
    "drop_extra",
    "dry_run",
    "init",
    "lock_holder",
    "new",
    "new_change",
    "new_family",
    "new_window",
    "plan",
    "plan_rollback",
    "queries",
    "reading",
    "repair",
    "rollback",
    "run_tests",
    "serving_names",
    "status",
    "unlock",
    "validate",
    "with_serving_names",
]


# Imported on use: one loads the whole embedded server, which takes half of a command's start time, the other DuckDB.
_PLACES = {
    "run_tests": "commands.sqltests",
    "reading": "query.serving",
    "serving_names": "query.serving",
    "with_serving_names": "query.serving",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"opensea_metrics.deploy.{_PLACES[name]}"), name)
