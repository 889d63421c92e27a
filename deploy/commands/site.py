"""What the commands share: options, the needs of a server besides files, and the lock around a run."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.migrations.plan.steps import steps_of
from opensea_metrics.deploy.migrations.record import lock
from opensea_metrics.deploy.migrations.record.store import RecordStore
from opensea_metrics.deploy.migrations.run.executor import Run
from opensea_metrics.deploy.migrations.run.progress import Report
from opensea_metrics.deploy.migrations.run.topics import DeleteByBroker
from opensea_metrics.sql.language.catalog.changes import Step, check
from opensea_metrics.sql.language.project.project import Project, load_project

Variables = Mapping[str, str]


@dataclass(frozen=True)
class Site:
    """The needs of a run besides the files.

    ``functions``: user-defined functions by name, with the checksums of their sources. They are recorded with the
    statements that call them. ``timeout``: seconds to wait for catch-up. ``ttl``: seconds after the last heartbeat
    until the lock's holder counts as dead.
    """

    functions: Mapping[str, str] = field(default_factory=dict)
    delete_by_broker: DeleteByBroker | None = None
    timeout: float = 3600.0
    ttl: float = lock.TTL


def who() -> str:
    """The user and the host of this run."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a container's user may have no name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


@contextmanager
def running(client: KsqlClient, site: Site, report: Report) -> Iterator[Run]:
    """A run under the lock."""
    name = who()
    with lock.held(RecordStore(client), f"{name} pid {os.getpid()}", site.ttl) as store:
        yield Run(store.client, store, report, name, site.functions, site.delete_by_broker, site.timeout)


def checked(
    root: Path | None, variables: Variables | None, step: Step = lambda *_: None
) -> Project:
    """The project, whose statements all fit together; ``step`` gets each statement. Raises SqlErrors."""
    project = load_project(root, variables, keep_errors=True)
    check(project, step)
    for file in project.migrations:
        steps_of(file)
    return project
