"""One function per verb of the command line: plain values in, plain data out, nothing printed.

``root`` is a folder with settings.yml and migrations/ (None: ./sql, else the packaged one), and
``variables`` override its settings. All raise SqlError for what is wrong in the files, ClientError
for what goes wrong with the server, MigrationError for what does not go together.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.client import KsqlClient
from deploy.migrations import execute
from deploy.migrations.errors import MigrationError
from deploy.migrations.plan import Plan, make_plan, statements_to_send
from deploy.migrations.rollback import (
    RollbackPlan,
    make_rollback,
    sources_to_drop,
    versions_above,
)
from deploy.migrations.server import look
from deploy.migrations.status import VersionStatus, make_status
from deploy.migrations.store import Store
from deploy.replies import Rows
from sql.catalog import check
from sql.errors import SqlError
from sql.project import Project, load_project

Variables = Mapping[str, str]


@dataclass(frozen=True)
class Validation:
    """What a check of the files has covered."""

    root: Path
    migrations: int
    statements: int


def ignore(_: execute.Progress) -> None:
    """The report of those who do not want one."""


def validate(root: Path | None = None, variables: Variables | None = None) -> Validation:
    """Render and check every statement; no server is asked."""
    project = _checked(root, variables)
    statements = [statements_to_send(each) for each in project.migrations]
    return Validation(project.root, len(statements), sum(map(len, statements)))


def plan(
    client: KsqlClient,
    root: Path | None = None,
    variables: Variables | None = None,
    target: int | None = None,
) -> Plan:
    """What ``apply`` would do now; nothing is changed."""
    project = _checked(root, variables)
    return make_plan(project.migrations, Store(client).read(), target)


def apply(
    client: KsqlClient,
    root: Path | None = None,
    variables: Variables | None = None,
    target: int | None = None,
    report: execute.Report = ignore,
) -> Plan:
    """Apply what is pending, up to ``target``; returns what was done (maybe nothing).

    All pending statements are checked before the first is sent. Raises StepFailed if the server
    refuses one; the next run goes on from there.
    """
    project = _checked(root, variables)
    store = Store(client)
    store.open()
    recorded = store.read()
    made = make_plan(project.migrations, recorded, target)
    if made.migrations:
        execute.apply(made, recorded, client, store, report)
    return made


def rollback(
    client: KsqlClient,
    consent: Callable[[RollbackPlan], bool],
    root: Path | None = None,
    variables: Variables | None = None,
    target: int | None = None,
    keep_topics: bool = False,
    report: execute.Report = ignore,
) -> RollbackPlan:
    """Undo all versions above ``target`` (0: all; None: the newest version); returns what was done.

    ``consent`` is asked with the plan before anything is changed; MigrationError if it is denied.
    """
    downs = {
        each.version: each.down
        for each in load_project(root, variables).migrations
        if each.down is not None
    }
    store = Store(client)
    store.open()
    recorded = store.read()
    versions = versions_above(recorded, target)
    server = look(client, describe=sources_to_drop(recorded, versions))
    made = make_rollback(recorded, versions, downs, server, keep_topics)
    if made.versions:
        if not consent(made):
            raise MigrationError("nothing was rolled back: there was no consent")
        execute.roll_back(made, client, store, report)
    return made


def status(
    client: KsqlClient, root: Path | None = None, variables: Variables | None = None
) -> tuple[VersionStatus, ...]:
    """Where each version stands."""
    return make_status(load_project(root, variables).migrations, Store(client).read())


def query(client: KsqlClient, text: str) -> Rows | list[dict[str, Any]]:
    """The rows of a SELECT, or the server's reply to SHOW, LIST, DESCRIBE or EXPLAIN.

    Rows of a push query come as they are made. Raises SqlError for any other statement: changes
    belong into migrations.
    """
    text = text.strip().rstrip(";") + ";"
    word = re.match(r"\w*", text.upper())
    if word and word[0] in ("SHOW", "LIST", "DESCRIBE", "EXPLAIN"):
        return client.ask(text)
    if not word or word[0] != "SELECT":
        raise SqlError(
            "a query is a SELECT, SHOW, DESCRIBE or EXPLAIN",
            hint="what changes something goes into a migration",
        )
    if is_push(text):
        return client.select(text, endless=True)
    return client.pull_rows(text)


def is_push(text: str) -> bool:
    """True for a query that goes on for ever (or to its LIMIT)."""
    return re.search(r"\bEMIT\s+(CHANGES|FINAL)\b", text, re.IGNORECASE) is not None


def _checked(root: Path | None, variables: Variables | None) -> Project:
    project = load_project(root, variables)
    check(project)
    for each in project.migrations:
        statements_to_send(each)
    return project
