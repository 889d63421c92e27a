"""One function for each verb of the command line: plain values in, plain data out, nothing printed.

``root`` is a folder with settings.yml and migrations/ (None: ./sql, else the packaged one). ``variables`` override its
settings. All functions raise SqlError for errors in files, ClientError for failures of the server, and MigrationError
if files, record and server contradict one another.
"""

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
from opensea_metrics.deploy.commands.query import is_push, query
from opensea_metrics.deploy.commands.site import Site
from opensea_metrics.deploy.commands.sqltests import run_tests
from opensea_metrics.deploy.commands.upkeep import adopt, baseline, changed, diff, new, repair
from opensea_metrics.deploy.migrations.plan.pending import ApplyChoice

__all__ = [
    "ApplyChoice",
    "Site",
    "Validation",
    "adopt",
    "apply",
    "baseline",
    "changed",
    "diff",
    "dry_run",
    "init",
    "is_push",
    "lock_holder",
    "new",
    "plan",
    "plan_rollback",
    "query",
    "repair",
    "rollback",
    "run_tests",
    "status",
    "unlock",
    "validate",
]
