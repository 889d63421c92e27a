"""The plan of a rollback: a pure function of the record, the down files and the server.

Statements are undone in reverse order. A statement reads only objects that exist, so this order ends readers before
writers and drops dependants first. After an interruption, the first statements of a version are in effect, and
``apply`` can resume there.

If a statement dropped or replaced an object, the rollback restores it from the record. A topic is deleted after its
stream or table, and only if a migration created the topic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

from opensea_metrics.deploy.client.snapshot import Server, catalog_of, parsed, sendable
from opensea_metrics.deploy.client.topics import PRIVATE_PREFIX, private_name
from opensea_metrics.deploy.migrations.effects import TYPES, query_of, undoing_type
from opensea_metrics.deploy.migrations.errors import Irreversible, MigrationError
from opensea_metrics.deploy.migrations.plan.impact import Verdict, World, assess
from opensea_metrics.deploy.migrations.plan.steps import (
    Restoration,
    RollbackPlan,
    UndoStep,
    VersionPlan,
)
from opensea_metrics.deploy.migrations.record.records import (
    CREATES,
    CREATES_STREAM,
    DROPS,
    ROLLING_BACK,
    Recorded,
    StatementRecord,
    VersionRecord,
    VersionState,
)
from opensea_metrics.deploy.replies import ServerSource
from opensea_metrics.sql.language.statements.statements import (
    Kind,
    Statement,
    dropping,
    terminating,
)


@dataclass(frozen=True)
class Undoing:
    """What a rollback undoes: ``records`` in this order, which drops the objects ``dropped`` altogether."""

    recorded: Recorded
    records: tuple[StatementRecord, ...]
    dropped: frozenset[str]
    keep_topics: bool

    def is_created_before(self, record: StatementRecord) -> bool:
        """True if an earlier statement created the record's target, and is undone too."""
        earlier = [statement for statement in self.records if statement.is_before(record)]
        if record.kind is Kind.TERMINATE:
            return record.target in {before.query_id for before in earlier}
        return record.target in {before.target for before in earlier if before.created_source}


def versions_above(recorded: Recorded, target: int | None, steps: int | None = None) -> tuple[VersionRecord, ...]:
    """The applied or begun versions to undo, newest first.

    With ``target`` the versions above it (0: all), with ``steps`` so many, with neither the newest one. Raises
    MigrationError for an unknown target.
    """
    present = [version for version in reversed(recorded.versions) if version.state is not VersionState.PENDING]
    if target is None:
        return tuple(present[: 1 if steps is None else steps])
    if target != 0 and target not in {record.version for record in present}:
        known = ", ".join(str(record.version) for record in reversed(present)) or "none"
        raise MigrationError(f"version {target} is not applied (applied: {known}; 0 means all)")
    return tuple(record for record in present if record.version > target)


def make_rollback(
    recorded: Recorded,
    versions: Sequence[VersionRecord],
    downs: Mapping[int, tuple[Statement, ...]],
    server: Server,
    keep_topics: bool = False,
) -> RollbackPlan:
    """The plan that undoes ``versions`` (newest first).

    ``downs``: the statements of down files by version. ``server``: all its streams and tables are described. Raises
    Irreversible if the record does not say how to undo a statement. Raises MigrationError if a query that no migration
    started uses an object that would be dropped.
    """
    for version in versions:
        # This tool records no statements at all only if the file has none.
        is_empty = bool(version.rendered) and not recorded.statements_of(version.version)
        is_unknown = version.state is VersionState.MIGRATED and not recorded.in_effect_of(version.version)
        if version.version not in downs and is_unknown and not is_empty:
            raise Irreversible(
                f"version {version.version} was applied by another tool, which recorded no statements\n"
                f"  hint: write V{version.version:03}__{version.name}.down.sql"
            )
    records = [record for version in versions for record in reversed(recorded.in_effect_of(version.version))]
    dropped = frozenset(record.target for record in records if record.created_source and record.target)
    undoing, current = Undoing(recorded, tuple(records), dropped, keep_topics), server
    plans = []
    for version in versions:
        own = tuple(record for record in records if record.version == version.version)
        if version.version in downs:
            steps = _marking([UndoStep(statement) for statement in downs[version.version]], own)
        else:
            steps, current = _steps(own, undoing, current)
        if not_executed := recorded.not_executed_of(version.version):
            steps += _marking([], not_executed)  # otherwise another plan of this version would execute them
        running = replace(version, state=VersionState.RUNNING, error_reason=ROLLING_BACK)
        plans.append(VersionPlan(running, tuple(steps)))
    ended = {query_of(record, server) for record in records}
    for record in reversed(records):
        if record.created_source and record.target and record.version not in downs:
            _refuse_foreign(record.target, dropped, ended, server)
    return RollbackPlan(tuple(plans))


def _steps(own: Sequence[StatementRecord], undoing: Undoing, server: Server) -> tuple[list[UndoStep], Server]:
    """The steps that undo statements, each on the server as the steps before leave it."""
    steps = []
    for record in own:
        undone = _undone(record, undoing, server)
        steps += _marking(undone, (record,))
        sources = dict(server.sources)
        for step in undone:
            if step.restored and step.statement and record.kind is not Kind.TERMINATE:
                kind = "STREAM" if step.statement.kind in CREATES_STREAM else "TABLE"
                sources[step.restored] = ServerSource(step.restored, kind, record.topic or "", "", False)
            elif step.statement and step.statement.kind in DROPS:
                sources.pop(step.statement.name or "", None)
        server = replace(server, sources=sources)
    return steps, server


def _marking(steps: list[UndoStep], undone: tuple[StatementRecord, ...]) -> list[UndoStep]:
    """The steps, the last of which marks ``undone`` in the record; at least one, which may do nothing else."""
    *first, last = steps or [UndoStep()]
    return [*first, replace(last, undoes=undone)]


def _undone(record: StatementRecord, undoing: Undoing, server: Server) -> list[UndoStep]:
    """The steps that undo one statement on the server. Raises Irreversible."""
    sent = parsed(record.text)
    replaces = record.kind in CREATES and sent is not None and sent.replaces
    if record.kind is Kind.TERMINATE or (record.target_existed and (replaces or record.kind in DROPS)):
        return _restoring(record, undoing, server)
    if record.kind in (Kind.INSERT_VALUES, Kind.ALTER):
        if record.target not in undoing.dropped:
            change = "added columns" if record.kind is Kind.ALTER else "wrote rows"
            _refuse(record, f"{change}, which cannot be removed")
        return []
    if record.kind is Kind.INSERT_SELECT:
        query_id = query_of(record, server)
        return [UndoStep(terminating(query_id))] if query_id in server.queries else []
    if record.kind in TYPES:
        statement = undoing_type(record, undoing.recorded)
        return [] if statement is None else [UndoStep(statement)]
    if not record.created_source or record.target is None:
        return []
    kind = "STREAM" if record.kind in CREATES_STREAM else "TABLE"
    drops = [UndoStep(dropping(kind, record.target))] if record.target in server.sources else []
    topic = record.topic or ""
    is_there = topic in server.topics or private_name(topic) in server.sources
    if not record.created_topic or not is_there:
        return drops
    readers = sorted(
        source.name
        for source in server.sources.values()
        if source.topic == topic and source.name not in undoing.dropped and not source.name.startswith(PRIVATE_PREFIX)
    )
    if undoing.keep_topics:
        return [*drops, UndoStep(keeps=topic)]
    return [*drops, UndoStep(keeps=topic, readers=tuple(readers)) if readers else UndoStep(deletes=topic)]


def _owner(record: StatementRecord, recorded: Recorded) -> StatementRecord | None:
    """The statement before ``record`` that created its target, or started the query that it ended."""
    for statement in reversed(recorded.statements):
        if statement.in_effect and statement.is_before(record):
            if record.kind is Kind.TERMINATE:
                is_owner = statement.query_id == record.target
            else:
                is_owner = statement.target == record.target and statement.kind in CREATES
            if is_owner:
                return statement
    return None


def _restoring(record: StatementRecord, undoing: Undoing, server: Server) -> list[UndoStep]:
    """The step that restores the definition before a DROP, a TERMINATE or a CREATE OR REPLACE.

    No step if the object is dropped altogether. Raises Irreversible.
    """
    previous, is_dropped = parsed(record.previous or ""), record.target in undoing.dropped
    statement, restoration = previous, Restoration.FROM_START
    if record.kind is Kind.TERMINATE:
        if previous is None or previous.kind is not Kind.INSERT_SELECT:
            _refuse(record, "ended a query, which cannot start again without its sink")
    elif record.previous is None:
        drops = "dropped it, and its definition" if record.kind in DROPS else "replaces a definition that"
        _refuse(record, f"{drops} is not recorded")
    elif previous is None:
        if not is_dropped:
            drops = "dropped it, and this tool cannot read its definition"
            replaces = "replaces a definition that this tool cannot read"
            _refuse(record, drops if record.kind in DROPS else replaces)
    elif record.kind in DROPS:
        statement = sendable(previous).creating()
    else:
        statement, restoration = sendable(previous).replacing(), Restoration.IN_PLACE
        impact, _ = assess(statement, World(catalog_of(server, with_queries=True), server.topics), 0)
        if impact.verdict is Verdict.REFUSED and not is_dropped:
            clause = f" ({impact.clause})" if impact.clause else ""
            _refuse(record, f"cannot be replaced by the previous definition{clause}: {impact.reason}")
    if previous is None or undoing.is_created_before(record):
        return []
    name, owner = previous.name or record.target, _owner(record, undoing.recorded)
    return [UndoStep(statement, restored=name, restoration=restoration, owner=owner)]


def _refuse(record: StatementRecord, reason: str) -> NoReturn:
    """Raise the error that a statement cannot be undone; ``reason``: the end of the sentence."""
    raise Irreversible(
        f"version {record.version} cannot be rolled back: its statement {record.number}"
        f" ({record.kind.value} {record.target}) {reason}\n"
        "  hint: write a down file (V###__name.down.sql) for that version"
    )


def _refuse_foreign(name: str, dropped: frozenset[str], ended: set[str], server: Server) -> None:
    touching = {query.id: query for query in server.readers(name)}
    touching |= {query_id: server.queries[query_id] for query_id in server.writers(name)}
    for query in touching.values():
        # A query without sinks is a push query, which does not block a DROP. The query of a CREATE … AS ends with
        # its sink, even if its id was never learned.
        is_own = set(query.sinks) <= dropped and query.id.startswith(("CSAS_", "CTAS_"))
        if query.sinks and query.id not in ended and not is_own:
            raise MigrationError(
                f"{name} cannot be dropped, because query {query.id} (into {', '.join(query.sinks)}) uses it and"
                " these migrations did not start that query\n"
                "  hint: drop the query's sink, or TERMINATE the query, first"
            )
