"""Which module has which verb. Only the module of the given verb is imported.

All modules, with servers, clients and engines, would take a second to import.
"""

from __future__ import annotations

from importlib import import_module

MODULES: dict[str, tuple[str, ...]] = {
    "server": ("demo", "serve"),
    "dashboard": ("dashboard",),
    "query": ("query",),
    "migrations": ("plan", "apply", "rollback", "status", "queries", "unlock"),
    "projects": ("init", "new", "validate"),
    "upkeep": ("diff", "baseline", "adopt", "repair"),
    "sqltests": ("test",),
    "produce": ("produce",),
    "replay": ("sample", "replay"),
    "batch": ("recompute",),
    "reconcile": ("reconcile",),
    "archive": ("archive",),
    "udfs": ("udfs",),
    "doctor": ("doctor",),
}
"""Module of ``deploy.cli`` → its verbs, in the order in which help lists them. Importing a module registers them."""

RENDERING = ("plan", "apply", "validate", "recompute")
"""Verbs that render the project's templates in any case."""

SUMMARIES: dict[str, str] = {
    "demo": "Run everything on sample events, with the embedded server, and show metrics.",
    "serve": "Run the embedded server until Ctrl-C; topics are the folders DIR/topics/<topic>.",
    "dashboard": "Show the market, its collections and the lineage as web pages, until Ctrl-C.",
    "query": "Run statements and print their rows, or start a shell.",
    "plan": "Show what apply would do, and which data it affects. Exit code 2 means that changes are "
    "pending.",
    "apply": "Apply the pending migrations. After a failure, the next apply resumes there.",
    "rollback": "Undo applied migrations, the newest first, and delete the topics that they "
    "created.",
    "status": "Show the state of each version, and the holder of the lock.",
    "queries": "List the persistent queries with their states; pause, resume or terminate some "
    "of them.",
    "unlock": "Free the lock of a run that died. If that run is alive, it stops at its next "
    "statement.",
    "init": "Create a project: settings, macros, a first migration and its test.",
    "new": "Create a migration: a file with the next version.",
    "validate": "Render and check all statements. With a server, also show changes of applied "
    "files.",
    "diff": "Show the differences between the server and the record. Exit code 2 means that they "
    "differ.",
    "baseline": "Record migrations as applied if their streams and tables are already on the "
    "server.",
    "adopt": "Take over a project of Confluent's ksql-migrations, with its files and its "
    "record as they are.",
    "repair": "Make the record match a server that somebody changed by hand. With --drop, drop an "
    "extra object instead.",
    "test": "Run tests in SQL: insert records, and assert the rows of streams and tables. "
    "Exit code 1 means a failure.",
    "produce": "Put OpenSea's live stream into Kafka, or into an archive, until SIGTERM or "
    "Ctrl-C.",
    "sample": "Write sample events of one day of a busy market as archive files.",
    "replay": "Replay recorded events into an archive that the embedded server reads, or into "
    "Kafka.",
    "recompute": "Compute the metrics of a past period from the archive, with the statements of "
    "sql/.",
    "reconcile": "Compare a table's windows on the server with those recomputed from the archive.",
    "archive": "Check the archive of events, and compact its small files.",
    "udfs": "Python functions that SQL can call.",
    "doctor": "Check each part of a running stack and say what to do. Exits with 1 if a check "
    "fails.",
}
"""Verb → the first paragraph of its help. The list of verbs is shown without importing their modules."""


def load(verb: str | None) -> None:
    """Register a verb, or all of them if ``verb`` is None."""
    for module, verbs in MODULES.items():
        if verb is None or verb in verbs:
            import_module(f"opensea_metrics.deploy.cli.{module}")
