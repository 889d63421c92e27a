"""What keeps files, record and server together: changed, diff, baseline, adopt, repair, new."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.commands.site import Site, Variables, at_work, checked, who
from opensea_metrics.deploy.migrations.baseline import Baseline, make_adoption, make_baseline
from opensea_metrics.deploy.migrations.drift import Drift, expected, find_drift
from opensea_metrics.deploy.migrations.errors import MigrationError
from opensea_metrics.deploy.migrations.repair import Repair, make_repair
from opensea_metrics.deploy.migrations.server import look
from opensea_metrics.deploy.migrations.state import VersionState
from opensea_metrics.deploy.migrations.store import Store
from opensea_metrics.deploy.migrations.verify import Changed, changed_files
from opensea_metrics.deploy.migrations.work import Work, ignore, now
from opensea_metrics.sql.language.project.project import find_root, load_project, packaged_root
from opensea_metrics.sql.language.statements.statements import dropping

_TEMPLATE = """\
-- {title}
SET 'auto.offset.reset' = 'earliest';   -- read what the topics already hold

"""


def changed(
    client: KsqlClient, root: Path | None = None, variables: Variables | None = None
) -> tuple[Changed, ...]:
    """How files of applied versions differ from what was applied."""
    project = load_project(root, variables)
    return changed_files(project.migrations, Store(client).read(), look(client, describe=None))


def diff(
    client: KsqlClient,
    root: Path | None = None,
    variables: Variables | None = None,
    site: Site | None = None,
) -> tuple[Drift, ...]:
    """Where the server, or a function that it calls, has come away from what was applied."""
    project = load_project(root, variables)
    wanted = expected(Store(client).read(), project.migrations)
    server = look(client, describe=None)
    failed = [
        each.id for each in server.queries.values() if each.state == "ERROR" and each.id in wanted.queries
    ]
    errors = {each: client.query_errors(each) for each in failed}
    return find_drift(wanted, server, errors, (site or Site()).functions)


def baseline(
    client: KsqlClient,
    version: int,
    root: Path | None = None,
    variables: Variables | None = None,
    site: Site | None = None,
) -> tuple[int, ...]:
    """Record all files up to ``version`` as applied; gives the versions that were recorded.

    Raises MigrationError if what they make is not on the server.
    """
    project = checked(root, variables)
    with at_work(client, site or Site(), ignore) as work:
        recorded, server = work.store.read(), look(work.client, describe=None)
        made = make_baseline(project.migrations, recorded, server, version, who(), now())
        _record(made, work)
    return tuple(each.version for each in made.versions)


def adopt(
    client: KsqlClient,
    root: Path | None = None,
    variables: Variables | None = None,
    site: Site | None = None,
) -> tuple[int, ...]:
    """Take over what ksql-migrations has applied from the same files; gives the versions.

    Its own record stays as it is; the statements are recorded beside it. Only files of applied
    versions are read: a broken file of another version does not matter yet.
    """
    root = root or find_root()
    _refuse_other_names(root)
    recorded = Store(client).read()
    applied = {each.version for each in recorded.versions if each.state is VersionState.MIGRATED}
    project = load_project(root, variables, versions=applied)
    with at_work(client, site or Site(), ignore) as work:
        recorded, server = work.store.read(), look(work.client, describe=None)
        made = make_adoption(project.migrations, recorded, server, who(), now())
        _record(made, work)
    return tuple(sorted({each.version for each in made.statements}))


def repair(
    client: KsqlClient,
    consent: Callable[[Repair], bool],
    root: Path | None = None,
    variables: Variables | None = None,
    site: Site | None = None,
) -> Repair:
    """Make the record say what is on the server; ``consent`` is asked if anything is to be written."""
    project = load_project(root, variables)
    with at_work(client, site or Site(), ignore) as work:
        made = make_repair(work.store.read(), project.migrations, look(work.client, describe=None))
        if made.reasons:
            if not consent(made):
                raise MigrationError("nothing was repaired: there was no consent")
            for name in made.drops:
                work.client.execute(dropping("STREAM", name, if_exists=True).text)
            _record(Baseline(made.versions, made.statements), work)
    return made


def new(name: str, root: Path | None = None, variables: Variables | None = None) -> Path:
    """Begin a migration: an empty file with the next version, whose path is returned.

    Raises MigrationError for a name that cannot be part of a file name, and outside a project.
    """
    words = re.sub(r"\s+", "_", name.strip())
    if not re.fullmatch(r"\w+", words):
        raise MigrationError(f"{name!r} is no name: letters, digits and underscores make one")
    project = load_project(root, variables)
    if root is None and project.root == packaged_root():
        raise MigrationError(
            "there is no project here: ./sql has no settings.yml and migrations/\n"
            "  hint: begin one with opensea-metrics init DIR, or name its folder with --sql DIR"
        )
    versions = [each.version for each in project.migrations]
    digits = max((len(each.path.name.partition("__")[0]) - 1 for each in project.migrations), default=3)
    version = max(versions, default=0) + 1
    path = project.root / "migrations" / f"V{version:0{digits}}__{words}.sql"
    path.write_text(_TEMPLATE.format(title=words.replace("_", " ")), encoding="utf-8")
    return path


def _record(made: Baseline, work: Work) -> None:
    work.store.write_statements(made.statements)
    newest = None
    for each in made.versions:
        work.store.write_version(each)
        newest = each
    if newest is not None:
        current = work.store.read().newest_below(float("inf"))
        record = work.store.read().version(current) if current is not None else None
        if record is not None and record.version > newest.version:
            work.store.write_version(record)
    work.store.settle()


def _refuse_other_names(root: Path) -> None:
    path = root / "ksql-migrations.properties"
    if not path.is_file():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        key, _, value = (part.strip() for part in line.partition("="))
        default = {
            "ksql.migrations.stream.name": "migration_events",
            "ksql.migrations.table.name": "migration_schema_versions",
        }.get(key)
        if default is not None and value.lower() != default:
            raise MigrationError(
                f"{path}: {key}={value}: only a record under ksql-migrations' default names can be"
                " taken over"
            )
