"""Which module has which verb. Only that of the verb that is asked for is imported: all of them, with
servers, clients and engines, would take each verb a second to start."""

from __future__ import annotations

from importlib import import_module

MODULES: dict[str, tuple[str, ...]] = {
    "archive": ("archive",),
    "batch": ("recompute",),
    "doctor": ("doctor",),
    "events": ("produce", "sample", "replay"),
    "migrations": ("plan", "apply", "rollback", "status", "unlock"),
    "reconcile": ("reconcile",),
    "server": ("query", "demo", "serve"),
    "udfs": ("udfs",),
    "upkeep": ("validate", "diff", "baseline", "adopt", "repair", "new"),
}
"""By the modules of ``deploy.cli``, which register their verbs when they are imported."""


def load(verb: str | None) -> None:
    """Register a verb; all of them if there is none of this name."""
    having = [module for module, verbs in MODULES.items() if verb in verbs]
    for module in having or MODULES:
        import_module(f"deploy.cli.{module}")
