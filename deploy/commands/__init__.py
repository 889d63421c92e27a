"""One function for each verb of the command line: plain values in, plain data out, nothing printed.

``root`` is a folder with settings.yml and migrations/ (None: ./sql, else the packaged one). ``variables`` override its
settings. All functions raise SqlError for errors in files, and ClientError for failures of the server. They raise
MigrationError if files, record and server contradict one another.
"""

from typing import TYPE_CHECKING, Any

from opensea_metrics.deploy.commands.migrate import (
    apply,
    dry_run,
    lock_holder,
    plan,
    plan_rollback,
    rollback,
    status,
    unlock,
)
from opensea_metrics.deploy.commands.new import new, new_change, new_family, new_window
from opensea_metrics.deploy.commands.projects import Validation, init, validate
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
from opensea_metrics.deploy.serving_names import (
    reading,
    serving_names,
    with_serving_names,
)

if TYPE_CHECKING:
    from opensea_metrics.deploy.commands.sqltests import run_tests

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


def __getattr__(name: str) -> Any:
    if name != "run_tests":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # Imported on use: it loads the whole embedded server, which takes half of a command's start time.
    from opensea_metrics.deploy.commands.sqltests import run_tests

    return run_tests
