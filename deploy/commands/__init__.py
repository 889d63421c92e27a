"""One function per verb of the command line: plain values in, plain data out, nothing printed.

``root`` is a folder with settings.yml and migrations/ (None: ./sql, else the packaged one), and
``variables`` override its settings. All raise SqlError for what is wrong in the files, ClientError
for what goes wrong with the server, MigrationError for what does not go together.
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
from opensea_metrics.deploy.commands.site import Choice, Site
from opensea_metrics.deploy.commands.upkeep import adopt, baseline, changed, diff, new, repair

__all__ = [
    "Choice",
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
    "status",
    "unlock",
    "validate",
]
