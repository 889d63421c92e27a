"""The command line. Each module holds the verbs of one idea; importing it registers them."""

from deploy.cli import batch, doctor, events, migrations, server, udfs, upkeep
from deploy.cli.app import app, main

__all__ = ["app", "batch", "doctor", "events", "main", "migrations", "server", "udfs", "upkeep"]
