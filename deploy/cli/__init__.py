"""The command line. Each module holds the verbs of one idea; importing it registers them."""

from deploy.cli import (
    archive,
    batch,
    doctor,
    events,
    migrations,
    reconcile,
    server,
    udfs,
    upkeep,
)
from deploy.cli.app import app, main

__all__ = [
    "app",
    "archive",
    "batch",
    "doctor",
    "events",
    "main",
    "migrations",
    "reconcile",
    "server",
    "udfs",
    "upkeep",
]
