"""What the commands share: choices, what a server needs beside files, and the lock around work."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.migrations import lock
from opensea_metrics.deploy.migrations.files import statements_to_send
from opensea_metrics.deploy.migrations.store import Store
from opensea_metrics.deploy.migrations.topics import DeleteByBroker
from opensea_metrics.deploy.migrations.work import Report, Work
from opensea_metrics.sql.language.catalog.changes import Step, check
from opensea_metrics.sql.language.project.project import Project, load_project

Variables = Mapping[str, str]


@dataclass(frozen=True)
class Choice:
    """Which pending migrations are applied, and how; see :func:`make_plan`."""

    target: int | None = None
    one: bool = False
    out_of_order: bool = False
    side_by_side: bool = False


@dataclass(frozen=True)
class Site:
    """What changes to one server need beside the files.

    ``functions``: user-defined functions by name, with the checksums of their sources, which are
    recorded with the statements that call them; ``timeout``: seconds to wait for catch-up; ``ttl``:
    seconds without a sign of life after which the lock's holder counts as dead.
    """

    functions: Mapping[str, str] = field(default_factory=dict)
    delete_by_broker: DeleteByBroker | None = None
    timeout: float = 3600.0
    ttl: float = lock.TTL


def who() -> str:
    """Who is at work: user and host."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


@contextmanager
def at_work(client: KsqlClient, site: Site, report: Report) -> Iterator[Work]:
    """The lock held, the record made if need be, and all that was written before to be seen."""
    store = Store(client)
    name = who()
    with lock.held(store, f"{name} pid {os.getpid()}", site.ttl) as lease:
        store = store.of(lease.client)
        if not lease.settled:
            store.settle()
        lease.settled = False
        yield Work(
            lease.client,
            store,
            report,
            name,
            site.functions,
            site.delete_by_broker,
            site.timeout,
        )
        lease.settled = True  # the last thing that apply and rollback do is to settle


def checked(
    root: Path | None, variables: Variables | None, step: Step = lambda *_: None
) -> Project:
    """The project, all of whose statements fit together; ``step`` gets each. Raises SqlErrors."""
    project = load_project(root, variables)
    check(project, step)
    for each in project.migrations:
        statements_to_send(each)
    return project
