"""The command line. Each module holds the verbs of one idea; importing it registers them."""

from deploy.cli import batch, events, migrations, reconcile, server, udfs, upkeep
from deploy.cli.app import app, main

__all__ = ["app", "batch", "events", "main", "migrations", "reconcile", "server", "udfs", "upkeep"]
