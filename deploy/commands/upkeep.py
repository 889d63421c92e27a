"""The verbs that keep files, record and server consistent: changed, diff, baseline, adopt, repair."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.client.snapshot import look
from opensea_metrics.deploy.commands.site import Site, Variables, checked, running, who
from opensea_metrics.deploy.migrations.errors import MigrationError
from opensea_metrics.deploy.migrations.plan.drift import (
    Drift,
    DriftKind,
    DriftObject,
    expected,
    find_drift,
)
from opensea_metrics.deploy.migrations.plan.files import FileChange, changed_files
from opensea_metrics.deploy.migrations.plan.repair import (
    Correction,
    RepairReason,
    make_adoption,
    make_baseline,
    make_repair,
)
from opensea_metrics.deploy.migrations.record.records import Recorded
from opensea_metrics.deploy.migrations.record.store import RecordStore
from opensea_metrics.deploy.migrations.run.executor import Run, now
from opensea_metrics.deploy.migrations.run.progress import ignore
from opensea_metrics.sql.language.project.project import find_root, load_project
from opensea_metrics.sql.language.statements.statements import dropping, terminating


def changed(
    client: KsqlClient, root: Path | None = None, variables: Variables | None = None
) -> tuple[FileChange, ...]:
    """The differences between the files of applied versions and the record."""
    project = load_project(root, variables)
    recorded, server = RecordStore(client).read(), look(client, describe=None)
    return changed_files(project.migrations, recorded, server)


def diff(
    client: KsqlClient,
    root: Path | None = None,
    variables: Variables | None = None,
    site: Site | None = None,
) -> tuple[Drift, ...]:
    """The drift of the server, and of the functions that it calls, from the record."""
    project = load_project(root, variables)
    wanted = expected(RecordStore(client).read(), project.migrations)
    server = look(client, describe=None)
    failed = [
        query.id for query in server.queries.values() if query.state == "ERROR" and query.id in wanted.queries
    ]
    errors = {query_id: client.query_errors(query_id) for query_id in failed}
    return find_drift(wanted, server, errors, (site or Site()).functions, client.types())


def baseline(
    client: KsqlClient,
    version: int,
    root: Path | None = None,
    variables: Variables | None = None,
    site: Site | None = None,
) -> tuple[int, ...]:
    """Record all files up to ``version`` as applied; returns the recorded versions.

    Raises MigrationError if their objects are not on the server.
    """
    project = checked(root, variables)
    with running(client, site or Site(), ignore) as run:
        recorded, server = run.store.read(), look(run.client, describe=None)
        records = make_baseline(project.migrations, recorded, server, version, who(), now())
        _write(records, run)
    return tuple(record.version for record in records.versions)


def adopt(
    client: KsqlClient,
    root: Path | None = None,
    variables: Variables | None = None,
    site: Site | None = None,
) -> tuple[int, ...]:
    """Take over the versions that ksql-migrations applied from the same files; returns these versions.

    The record of ksql-migrations does not change. The statements are also recorded in this tool's record. Only the
    files of applied versions are read, so a broken file of another version does not matter yet.
    """
    root = root or find_root()
    _refuse_other_names(root)
    applied = {version.version for version in RecordStore(client).read().applied}
    project = load_project(root, variables, versions=applied)
    with running(client, site or Site(), ignore) as run:
        recorded, server = run.store.read(), look(run.client, describe=None)
        records = make_adoption(project.migrations, recorded, server, who(), now())
        _write(records, run)
    return tuple(sorted({record.version for record in records.statements}))


def repair(
    client: KsqlClient,
    consent: Callable[[tuple[Correction, ...]], bool],
    root: Path | None = None,
    variables: Variables | None = None,
    site: Site | None = None,
) -> tuple[Correction, ...]:
    """Make the record match the server. ``consent`` is called with the corrections before anything is written."""
    project = load_project(root, variables)
    with running(client, site or Site(), ignore) as run:
        corrections = make_repair(run.store.read(), project.migrations, look(run.client, describe=None))
        if corrections:
            if not consent(corrections):
                raise MigrationError("nothing was repaired, because there was no consent")
            for correction in corrections:
                if correction.reason is RepairReason.LEFT_OVER:
                    run.client.execute(dropping("STREAM", correction.name, if_exists=True).text)
            versions = tuple(correction.version for correction in corrections if correction.version)
            _write(Recorded(versions, tuple(c.statement for c in corrections if c.statement)), run)
    return corrections


def drop_extra(
    client: KsqlClient,
    name: str,
    consent: Callable[[Drift], bool],
    root: Path | None = None,
    variables: Variables | None = None,
    site: Site | None = None,
) -> Drift:
    """Drop a stream, table or query that no migration created; topics stay. Returns the dropped objects.

    ``consent`` is called with the object first. Raises MigrationError if ``diff`` does not show ``name`` as extra.
    Raises ClientError if the server refuses, for instance because a query reads the object.
    """
    project = load_project(root, variables)
    with running(client, site or Site(), ignore) as run:
        wanted = expected(run.store.read(), project.migrations)
        drifts = find_drift(wanted, look(run.client, describe=None))
        extra = {drift.name.upper(): drift for drift in drifts if drift.kind is DriftKind.EXTRA}
        if (chosen := extra.get(name.upper())) is None:
            known = ", ".join(sorted(drift.name for drift in extra.values())) or "none"
            raise MigrationError(
                f"{name} is not dropped, because diff does not show it as extra\n  hint: extra objects are: {known}"
            )
        if not consent(chosen):
            raise MigrationError("nothing was dropped, because there was no consent")
        if chosen.object is DriftObject.QUERY:
            run.client.execute(terminating(chosen.name).text)
        else:
            run.client.execute(dropping(chosen.related[0].upper(), chosen.name).text)
    return chosen


def _write(records: Recorded, run: Run) -> None:
    run.store.note_statements(records.statements)
    known = {record.version: record for record in (*run.store.read().applied, *records.versions)}
    for version in records.versions:
        run.store.note_version(version, known[max(known)] if known else None)
    run.store.settle()


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
                f"{path}: {key}={value}: adopt reads only a record under the default names of ksql-migrations"
            )
