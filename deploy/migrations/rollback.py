"""What is to be undone: a pure function of the record, of down files and of the server.

Statements are undone in the reverse of the order in which they were applied. A statement can read
only what exists, so that order ends readers before writers and drops dependants first; and an
interruption leaves a version with its first statements in effect, where ``apply`` can go on.

What a statement dropped or replaced is made again as the record says it was. A topic goes after its
stream has gone, and only if a migration made it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from opensea_metrics.deploy.migrations.actions import (
    Action,
    DeleteTopic,
    Restore,
    Run,
)
from opensea_metrics.deploy.migrations.errors import Irreversible, MigrationError
from opensea_metrics.deploy.migrations.reversal import Undo, irreversible, query_of, undos
from opensea_metrics.deploy.migrations.server import Server
from opensea_metrics.deploy.migrations.state import (
    Recorded,
    StatementRecord,
    VersionRecord,
    VersionState,
)
from opensea_metrics.sql.language.statements.statements import Kind, Statement

DROPS = (Kind.DROP_STREAM, Kind.DROP_TABLE)


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
        # Only another tool records a version as applied without any of its statements.
        unknown = not recorded.applied_of(version.version)
        if unknown and version.state is VersionState.MIGRATED:
            raise Irreversible(
                f"version {version.version} was applied by another tool, which recorded no"
                f" statements\n  hint: write V{version.version:03}__{version.name}.down.sql"
            )
    dropped = frozenset(sources_to_drop(recorded, versions))
    undone = [each for each in records if each.version not in downs]
    _refuse_irreversible(undone, dropped, server)
    ended = {each.query_id or query_of(each, server) for each in records}
    for name in sources_to_drop(recorded, derived):
        _refuse_foreign(name, dropped, ended, server)
    plans = []
    for version in versions:
        own = tuple(each for each in records if each.version == version.version)
        if version.version in downs:
            planned: tuple[Undo, ...] = (
                Undo(own, tuple(Run(each) for each in downs[version.version])),
            )
        else:
            planned, server = undos(own, records, recorded, server, dropped, keep_topics)
        below = recorded.newest_below(version.version)
        current = None if below is None else recorded.version(below)
        plans.append(VersionRollback(version, planned, current))
    return RollbackPlan(tuple(plans))


def _refuse_irreversible(
    undone: Sequence[StatementRecord], dropped: frozenset[str], server: Server
) -> None:
    for record in undone:
        reason = irreversible(record, dropped, server)
        if reason is not None:
            raise Irreversible(
                f"version {record.version} cannot be rolled back: its statement {record.number}"
                f" ({record.kind.value} {record.target}) {reason}\n"
                "  hint: write a down file (V###__name.down.sql) for that version"
            )


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
