"""What the commands share: options, what a run needs besides files, and the lock around a run."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from opensea_metrics.core.errors import SqlError, together
from opensea_metrics.core.quoting import ksqldb_quoted
from opensea_metrics.deploy.client import KsqlClient, KsqlError
from opensea_metrics.deploy.client.topics import DeleteByBroker
from opensea_metrics.deploy.migrations.plan.steps import steps_of
from opensea_metrics.deploy.migrations.record import lock
from opensea_metrics.deploy.migrations.record.store import RecordStore
from opensea_metrics.deploy.migrations.run.executor import Run
from opensea_metrics.deploy.migrations.run.progress import Report
from opensea_metrics.sql.language.catalog.changes import Step, check
from opensea_metrics.sql.language.functions import library
from opensea_metrics.sql.language.project.project import Project, load_project

Variables = Mapping[str, str]
_NO_FUNCTIONS = {"STRUCT", "MAP"}
"""Constructors, which ksqlDB writes as calls."""


@dataclass(frozen=True)
class Site:
    """What a run needs besides the files.

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
    """Take the lock, and yield a run under it. The lock is free again afterwards."""
    name = who()
    with lock.held(RecordStore(client), f"{name} pid {os.getpid()}", site.ttl) as store:
        yield Run(store, report, name, site.functions, site.delete_by_broker, site.timeout)


def checked(
    root: Path | None, variables: Variables | None, step: Step = lambda *_: None, client: KsqlClient | None = None
) -> Project:
    """Load the project, and check that its statements fit together. ``step`` is called with each statement.

    Asks the server of ``client`` to describe unknown functions. Raises SqlErrors with all errors of all files.
    """
    project = load_project(root, variables, keep_errors=True)
    if client is not None:
        _declare_functions_of(client, project)
    judges: list[Callable[[], object]] = [partial(check, project, step)]
    judges += [partial(steps_of, file) for file in project.migrations]
    errors: list[SqlError] = []
    for judge in judges:
        try:
            judge()
        except SqlError as error:
            errors.append(error)
    if errors:
        raise together(errors)
    return project


def _declare_functions_of(client: KsqlClient, project: Project) -> None:
    """Declare the functions that the project calls and that only the server has."""
    calls = {name for file in project.migrations for statement in file.statements for name in statement.calls}
    described = {}
    for name in sorted(calls - _NO_FUNCTIONS):
        if library.find(name) is None:
            with suppress(KsqlError, ValueError):  # the server does not have it either, or it cannot be described
                (reply,) = client.ask(f"DESCRIBE FUNCTION {ksqldb_quoted(name)};")
                described[name] = library.of_server(name, _variations(reply), str(reply["type"]).lower())
    library.declare({**library.declared(), **described})


def _variations(reply: Mapping[str, Any]) -> str:
    """The variations of a reply to DESCRIBE FUNCTION, as :mod:`sql.language.functions.builtin` writes them."""
    variations = []
    for variation in reply["functions"]:
        words = [_word(part["type"]) + ("..." if part["isVariadic"] else "") for part in variation["arguments"]]
        variations.append(f"{' '.join(words)} -> {_word(variation['returnType'])}")
    return " | ".join(variations)


def _word(kind: str) -> str:
    """A type without blanks: ``STRUCT<NAME VARCHAR, TOTAL DOUBLE>`` becomes ``STRUCT<NAME:VARCHAR,TOTAL:DOUBLE>``."""
    return kind.replace(", ", ",").replace(" ", ":").replace("STRING", "VARCHAR")
