"""Which module has which verb. Only that of the verb that is asked for is imported: all of them, with
servers, clients and engines, would take each verb a second to start."""

from __future__ import annotations

from importlib import import_module

MODULES: dict[str, tuple[str, ...]] = {
    "server": ("demo", "serve", "query"),
    "migrations": ("plan", "apply", "rollback", "status", "unlock"),
    "upkeep": ("init", "new", "validate", "diff", "baseline", "adopt", "repair"),
    "events": ("produce", "sample", "replay"),
    "batch": ("recompute",),
    "reconcile": ("reconcile",),
    "archive": ("archive",),
    "udfs": ("udfs",),
    "doctor": ("doctor",),
}
"""By the modules of ``deploy.cli``, which register their verbs when they are imported; in the order in
which they are listed for a newcomer."""


def load(verb: str | None) -> None:
    """Register a verb; all of them if there is none of this name."""
    having = [module for module, verbs in MODULES.items() if verb in verbs]
    for module in having or MODULES:
        import_module(f"opensea_metrics.deploy.cli.{module}")
