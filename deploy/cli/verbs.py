"""Which module has which verb. Only the module of the given verb is imported.

All modules, with servers, clients and engines, would take a second to import.
"""

from __future__ import annotations

from importlib import import_module

MODULES: dict[str, tuple[str, ...]] = {
    "server": ("demo", "serve", "query"),
    "migrations": ("plan", "apply", "rollback", "status", "unlock"),
    "upkeep": ("init", "new", "validate", "diff", "baseline", "adopt", "repair"),
    "sqltests": ("test",),
    "events": ("produce", "sample", "replay"),
    "batch": ("recompute",),
    "reconcile": ("reconcile",),
    "archive": ("archive",),
    "udfs": ("udfs",),
    "doctor": ("doctor",),
}
"""Module of ``deploy.cli`` → its verbs, in the order in which help lists them. Importing a module registers them."""


def load(verb: str | None) -> None:
    """Register a verb, or all of them if no verb has this name."""
    having = [module for module, verbs in MODULES.items() if verb in verbs]
    for module in having or MODULES:
        import_module(f"opensea_metrics.deploy.cli.{module}")
