"""What is to be undone: a pure function of the record, of down files and of the server.

Statements are undone in the reverse of the order in which they were applied. A statement can read
only what exists, so that order ends readers before writers and drops dependants first; and an
interruption leaves a version with its first statements in effect, where ``apply`` can go on.

What a statement dropped or replaced is made again as the record says it was. A topic goes after its
stream has gone, and only if a migration made it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from deploy.migrations.actions import (
    PRIVATE_PREFIX,
    Action,
    DeleteTopic,
    Drop,
    KeepTopic,
    Restore,
    Run,
    Terminate,
)
from deploy.migrations.errors import Irreversible, MigrationError
from deploy.migrations.impact import Verdict, World, assess
from deploy.migrations.live import catalog_of, parsed
from deploy.migrations.server import Server, effect_of
from deploy.migrations.state import (
    MAKES_SOURCE,
    MAKES_STREAM,
    Recorded,
    StatementRecord,
    VersionRecord,
    VersionState,
)
from deploy.replies import Source
from sql.statements import Kind, Statement

DROPS = (Kind.DROP_STREAM, Kind.DROP_TABLE)


@dataclass(frozen=True)
class Undo:
    """The actions that undo ``records``: one statement, or with a down file all of a version.

    ``owner`` is the statement that had made what is made again: its query gets a new id.
    """

    records: tuple[StatementRecord, ...]
    actions: tuple[Action, ...]
    owner: StatementRecord | None = None


@dataclass(frozen=True)
class VersionRollback:
    """How one version is undone; afterwards the version ``current`` is the newest applied one."""

    record: VersionRecord
    undos: tuple[Undo, ...]
    current: VersionRecord | None


@dataclass(frozen=True)
class RollbackPlan:
    """Versions in the order in which they are undone; empty if there is nothing to do."""

    versions: tuple[VersionRollback, ...] = ()

    @property
    def actions(self) -> tuple[Action, ...]:
        """All actions, in order."""
        return tuple(a for each in self.versions for undo in each.undos for a in undo.actions)

    @property
    def loses_state(self) -> tuple[str, ...]:
        """What is defined as before and starts from the beginning of its sources."""
        return tuple(
            each.name for each in self.actions if isinstance(each, Restore) and each.loses_state
        )

    @property
    def deleted_topics(self) -> tuple[str, ...]:
        """The topics whose data will be lost."""
        return tuple(each.topic for each in self.actions if isinstance(each, DeleteTopic))


def versions_above(
    recorded: Recorded, target: int | None, steps: int | None = None
) -> tuple[VersionRecord, ...]:
    """The applied or begun versions to undo, newest first.

    With ``target`` those above it (0: all), with ``steps`` so many, with neither the newest alone.
    Raises MigrationError for an unknown target.
    """
    present = [
        each for each in reversed(recorded.versions) if each.state is not VersionState.PENDING
    ]
    if target is None:
        return tuple(present[: 1 if steps is None else steps])
    if target != 0 and target not in {each.version for each in present}:
        known = ", ".join(str(each.version) for each in reversed(present)) or "none"
        raise MigrationError(f"version {target} is not applied (applied: {known}; 0 means all)")
    return tuple(each for each in present if each.version > target)


def sources_to_drop(recorded: Recorded, versions: Sequence[VersionRecord]) -> tuple[str, ...]:
    """The streams and tables that exist because of these versions."""
    numbers = {each.version for each in versions}
    return tuple(
        each.target
        for each in recorded.statements
        if each.version in numbers and each.in_effect and each.made_source and each.target
    )


def make_rollback(
    recorded: Recorded,
    versions: Sequence[VersionRecord],
    downs: Mapping[int, tuple[Statement, ...]],
    server: Server,
    keep_topics: bool = False,
) -> RollbackPlan:
    """The plan that undoes ``versions`` (newest first).

    ``downs`` are the statements of down files by version; ``server`` has been asked to describe
    everything. Raises Irreversible where the statements do not say how to undo them,
    MigrationError where something that no migration made reads or writes what would be dropped.
    """
    records = [
        each
        for version in versions
        for each in reversed(recorded.statements_of(version.version))
        if each.in_effect
    ]
    derived = [version for version in versions if version.version not in downs]
    for version in derived:
        # Killed before its first statement, a version of this tool is RUNNING without any.
        unknown = not recorded.statements_of(version.version)
        if unknown and version.state is not VersionState.RUNNING:
            raise Irreversible(
                f"version {version.version} was applied by another tool, which recorded no"
                f" statements\n  hint: write V{version.version:03}__{version.name}.down.sql"
            )
    dropped = frozenset(sources_to_drop(recorded, versions))
    undone = [each for each in records if each.version not in downs]
    _refuse_irreversible(undone, dropped, server)
    ended = {each.query_id or _query_of(each, server) for each in records}
    for name in sources_to_drop(recorded, derived):
        _refuse_foreign(name, dropped, ended, server)
    plans = []
    for version in versions:
        own = tuple(each for each in records if each.version == version.version)
        if version.version in downs:
            undos: tuple[Undo, ...] = (
                Undo(own, tuple(Run(each) for each in downs[version.version])),
            )
        else:
            undos, server = _undos(own, records, recorded, server, dropped, keep_topics)
        below = recorded.newest_below(version.version)
        current = None if below is None else recorded.version(below)
        plans.append(VersionRollback(version, undos, current))
    return RollbackPlan(tuple(plans))


def _undos(
    own: Sequence[StatementRecord],
    records: Sequence[StatementRecord],
    recorded: Recorded,
    server: Server,
    dropped: frozenset[str],
    keep_topics: bool,
) -> tuple[tuple[Undo, ...], Server]:
    """How statements are undone, each on the server as those before it leave it."""
    undos = []
    for record in own:
        earlier = [r for r in records if (r.version, r.number) < (record.version, record.number)]
        goes = record.target in {each.target for each in earlier if each.made_source}
        if record.kind is Kind.TERMINATE:
            goes = record.target in {each.query_id for each in earlier}
        actions = _actions(record, server, dropped, keep_topics, goes)
        undos.append(Undo((record,), actions, _owner(record, recorded)))
        sources = dict(server.sources)
        for action in actions:
            match action:
                case Drop(_, name):
                    sources.pop(name, None)
                case Restore(name) if record.kind is not Kind.TERMINATE:
                    kind = "STREAM" if "STREAM" in action.text.split("(")[0].upper() else "TABLE"
                    sources[name] = Source(name, kind, record.topic or "", "", False)
        server = replace(server, sources=sources)
    return tuple(undos), server


def _owner(record: StatementRecord, recorded: Recorded) -> StatementRecord | None:
    if record.previous is None:
        return None
    for each in reversed(recorded.statements):
        if each.in_effect and (each.version, each.number) < (record.version, record.number):
            ended = record.kind is Kind.TERMINATE and each.query_id == record.target
            made = record.kind is not Kind.TERMINATE and each.target == record.target
            if ended or (made and each.kind in MAKES_SOURCE):
                return each
    return None


def _actions(
    record: StatementRecord,
    server: Server,
    dropped: frozenset[str],
    keep_topics: bool,
    goes: bool,
) -> tuple[Action, ...]:
    """``goes``: a statement before this one made the target, and is undone too."""
    if record.previous is not None and record.target is not None:
        if goes or record.kind is Kind.ALTER:
            return ()  # it goes altogether
        return (_restored(record),)
    if record.kind is Kind.INSERT_SELECT:
        query_id = _query_of(record, server)
        return (Terminate(query_id),) if query_id in server.queries else ()
    if not record.made_source or record.target is None:
        return ()
    actions: list[Action] = []
    if record.target in server.sources:
        actions.append(Drop("STREAM" if record.kind in MAKES_STREAM else "TABLE", record.target))
    if record.made_topic and record.topic in server.topics:
        readers = sorted(
            each.name
            for each in server.sources.values()
            if each.topic == record.topic
            and each.name not in dropped
            and not each.name.startswith(PRIVATE_PREFIX)
        )
        if keep_topics:
            actions.append(KeepTopic(record.topic, "as asked"))
        elif readers:
            actions.append(KeepTopic(record.topic, f"{', '.join(readers)} is declared over it"))
        else:
            actions.append(DeleteTopic(record.topic))
    return tuple(actions)


def _restored(record: StatementRecord) -> Restore:
    """The definition before a DROP, a TERMINATE or a CREATE OR REPLACE."""
    previous, target = record.previous or "", record.target or ""
    if record.kind is Kind.TERMINATE:
        found = parsed(previous)
        return Restore((found and found.name) or target, previous, loses_state=True)
    if record.kind in DROPS:
        return Restore(target, _plain(previous), loses_state=True)
    return Restore(target, _plain(previous, "CREATE OR REPLACE"), loses_state=False)


def _plain(text: str, words: str = "CREATE") -> str:
    """A server's CREATE, which may say OR REPLACE or IF NOT EXISTS, with other first words."""
    text = re.sub(r"^\s*CREATE(\s+OR\s+REPLACE)?\b", words, text, flags=re.IGNORECASE)
    return re.sub(r"\b(STREAM|TABLE)\s+IF\s+NOT\s+EXISTS\b", r"\1", text, count=1)


def _query_of(record: StatementRecord, server: Server) -> str:
    effect = None if record.query_id else effect_of(record, server)
    return record.query_id or (effect.query_id if effect else None) or ""


def _refuse_irreversible(
    undone: Sequence[StatementRecord], dropped: frozenset[str], server: Server
) -> None:
    for record in undone:
        reason = _irreversible(record, dropped, server)
        if reason is not None:
            raise Irreversible(
                f"version {record.version} cannot be rolled back: its statement {record.number}"
                f" ({record.kind.value} {record.target}) {reason}\n"
                "  hint: write a down file (V###__name.down.sql) for that version"
            )


def _irreversible(
    record: StatementRecord, dropped: frozenset[str], server: Server
) -> str | None:
    replaced = re.match(r"\s*CREATE\s+OR\s+REPLACE\b", record.text, re.IGNORECASE) is not None
    if record.kind in MAKES_SOURCE and record.target_existed and replaced:
        if record.previous is None:
            return "replaces a definition that is not recorded"
        return None if record.target in dropped else _not_replaceable(record, server)
    if record.kind in DROPS and record.target_existed and record.previous is None:
        return "has dropped it, and its definition is not recorded"
    if record.kind is Kind.TERMINATE and not (record.previous or "").startswith("INSERT"):
        return "has ended a query, which cannot be started again without its sink"
    if record.kind is Kind.ALTER and record.target not in dropped:
        return "has added columns, which cannot be taken away"
    if record.kind is Kind.INSERT_VALUES and record.target not in dropped:
        return "has written rows, which cannot be taken back"
    return None


def _not_replaceable(record: StatementRecord, server: Server) -> str | None:
    """Why the definition before cannot be put back in place, by ksqlDB's upgrade rules."""
    text = _restored(record).text
    statement = parsed(text)
    if statement is None:
        return "replaces a definition that cannot be read"
    world = World(catalog_of(server, with_queries=True), server.topics)
    impact, _ = assess(statement, {}, world, 0)
    if impact.verdict is not Verdict.REFUSED:
        return None
    clause = f" ({impact.clause})" if impact.clause else ""
    return f"cannot be replaced by what was before{clause}: {impact.reason}"


def _refuse_foreign(name: str, dropped: frozenset[str], ended: set[str], server: Server) -> None:
    touching = {each.id: each for each in server.readers(name)}
    touching |= {each: server.queries[each] for each in server.writers(name)}
    for query in touching.values():
        # A query without sinks is a push query: it does not hinder a DROP. The query of a
        # CREATE … AS ends with its sink, also where its id was never learned.
        own = set(query.sinks) <= dropped and query.id.startswith(("CSAS_", "CTAS_"))
        if query.sinks and query.id not in ended and not own:
            raise MigrationError(
                f"{name} cannot be dropped: query {query.id} (into {', '.join(query.sinks)}),"
                " which these migrations did not start, uses it\n"
                "  hint: drop what it writes into, or TERMINATE it, first"
            )
