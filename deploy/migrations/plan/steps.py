"""Plans as data: the steps of an apply and of a rollback, version by version."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from opensea_metrics.core.errors import Place, SqlError
from opensea_metrics.deploy.migrations.errors import PlanRefused
from opensea_metrics.deploy.migrations.plan.impact import DataEffect, Impact, Verdict
from opensea_metrics.deploy.migrations.record.records import (
    Properties,
    StatementRecord,
    StatementState,
    VersionRecord,
    VersionState,
)
from opensea_metrics.sql.language.catalog.custom_types import name_of as type_name
from opensea_metrics.sql.language.project.project import Migration
from opensea_metrics.sql.language.statements.statements import Kind, Statement

# SET and UNSET are not sent. They become properties of the statements after them.
SETTINGS = (Kind.SET, Kind.UNSET)
ANSWERING = (Kind.SELECT, Kind.SHOW, Kind.DESCRIBE, Kind.EXPLAIN, Kind.PRINT)


class Reversibility(StrEnum):
    """Whether a rollback can undo the steps of a version."""

    REVERSIBLE = "reversible"
    WITH_LOSS = "reversible with loss of state"
    IRREVERSIBLE = "irreversible"


PENDING = Impact(Verdict.NEW, DataEffect.NONE)


@dataclass(frozen=True)
class ApplyStep:
    """One statement to send, and its impact.

    ``record``: the record of the statement, with the properties that SET gives it. It is PLANNED, or RUNNING if an
    earlier run sent the statement and did not learn the outcome.
    """

    statement: Statement
    record: StatementRecord
    impact: Impact = PENDING

    @property
    def label(self) -> str:
        return label(self.statement)

    @property
    def is_refused_replacement(self) -> bool:
        """True for a CREATE OR REPLACE that the server does not make in place, because of one of its clauses."""
        return self.statement.replaces and self.impact.verdict is Verdict.REFUSED and self.impact.clause is not None

    def refusal(self, reason: str) -> str:
        """The message that the server would refuse the step."""
        clause = self.impact.clause if self.impact.verdict is Verdict.REFUSED else None
        because = f", because of {clause}" if clause else ""
        hint = (
            "\n  hint: drop it and create it again in this migration (its state is lost), or build it"
            " beside the old one: --side-by-side"
        )
        return (
            f"{self.statement.place}: the server would refuse statement {self.record.number} of version"
            f" {self.record.version} ({self.label}){because}: {reason}{hint if self.is_refused_replacement else ''}"
        )


class Restoration(StrEnum):
    """How a rollback restores a definition: a new query reads its sources again, or a query is replaced."""

    FROM_START = "from the start of its sources"
    IN_PLACE = "in place"


@dataclass(frozen=True)
class UndoStep:
    """One step of a rollback: a statement is sent, or a topic is deleted, or both in this order, or neither.

    ``deletes``: the topic to delete. ``keeps``: a topic that a migration created and that stays, because ``readers``
    are declared over it, or because the user wants so. ``restored``: the stream or table that gets its previous
    definition again, and ``restoration`` how. ``owner``: the record of the statement that defined it first: its query
    gets a new id. ``undoes``: the statements that are undone after this step.
    """

    statement: Statement | None = None
    deletes: str | None = None
    keeps: str | None = None
    readers: tuple[str, ...] = ()
    restored: str | None = None
    restoration: Restoration | None = None
    owner: StatementRecord | None = None
    undoes: tuple[StatementRecord, ...] = ()

    @property
    def label(self) -> str:
        """The step in a few words, '' if it changes nothing on the server."""
        deletion = f"delete topic {self.deletes}" if self.deletes else ""
        return label(self.statement) if self.statement else deletion

    @property
    def properties(self) -> Properties:
        """A restored query reads from the start, because its first state was computed from there."""
        return (("auto.offset.reset", "earliest"),) if self.restored else ()

    @property
    def may_be_done(self) -> bool:
        """True if an interrupted run may have executed the step. Replacing in place twice does no harm."""
        return self.restoration is Restoration.FROM_START


Step = ApplyStep | UndoStep
S = TypeVar("S", ApplyStep, UndoStep)


@dataclass(frozen=True)
class VersionPlan(Generic[S]):
    """The steps of one version that are left; ``done`` statements of the version are applied.

    ``record``: the version's record during the run. ``reversible``: whether a rollback can undo the steps, which a down
    file always can. ``side_by_side``: some steps follow from the objects on the server, so all steps are recorded
    before the first one is executed.
    """

    record: VersionRecord
    steps: tuple[S, ...]
    done: int = 0
    reversible: Reversibility = Reversibility.REVERSIBLE
    side_by_side: bool = False

    @property
    def version(self) -> int:
        return self.record.version

    @property
    def name(self) -> str:
        return self.record.name

    @property
    def total(self) -> int:
        """The number of statements of the whole version, or of the steps that a rollback has."""
        return self.done + sum(bool(step.label) for step in self.steps)


@dataclass(frozen=True)
class Versions(Generic[S]):
    """Versions in the order in which they are applied or undone; empty if there is nothing to do."""

    versions: tuple[VersionPlan[S], ...] = ()

    @property
    def steps(self) -> tuple[S, ...]:
        return tuple(step for version in self.versions for step in version.steps)


@dataclass(frozen=True)
class Plan(Versions[ApplyStep]):
    """What an apply does.

    ``basis``: a checksum of the record, and of the definitions on the server that the plan names. ``later``: pending
    versions that replace objects side by side which this plan creates. Their plan can be made when it is applied.
    """

    basis: str = ""
    later: tuple[int, ...] = ()

    @property
    def needs_side_by_side(self) -> bool:
        """True if the server refuses a replacement that can be made side by side."""
        return any(step.is_refused_replacement for step in self.steps)

    def refuse(self) -> None:
        """Raise PlanRefused if the server would refuse one of the steps."""
        refused = [step for step in self.steps if step.impact.verdict is Verdict.REFUSED]
        if refused:
            raise PlanRefused("\n".join(step.refusal(str(step.impact.reason)) for step in refused))


@dataclass(frozen=True)
class RollbackPlan(Versions[UndoStep]):
    """What a rollback does."""

    @property
    def loses_state(self) -> tuple[str, ...]:
        """The streams and tables whose queries read their sources again."""
        return tuple(step.restored for step in self.steps if step.may_be_done and step.restored)

    @property
    def deleted_topics(self) -> tuple[str, ...]:
        """The topics whose data is lost."""
        return tuple(step.deletes for step in self.steps if step.deletes)


def steps_of(migration: Migration) -> tuple[ApplyStep, ...]:
    """All statements of a file that a server gets. Raises SqlError for a statement that only answers."""
    properties: dict[str, str] = {}
    steps: list[ApplyStep] = []
    for statement in migration.statements:
        if statement.kind in ANSWERING:
            raise SqlError(f"a migration cannot contain {statement.kind.value.upper()}: delete it", statement.place)
        if statement.kind in SETTINGS:
            name, value = statement.ast.this, statement.ast.args.get("value")
            properties.pop(str(name.this), None)
            properties |= {} if value is None else {str(name.this): str(value.this)}
        else:
            now = tuple(sorted(properties.items()))
            steps.append(ApplyStep(statement, planned(statement, migration.version, len(steps) + 1, now)))
    return tuple(steps)


def record_of(file: Migration, state: VersionState) -> VersionRecord:
    """The record of a version in this state, with the checksums that the file has now."""
    return VersionRecord(file.version, file.name, state, file.file_md5, rendered=file.checksum)


def check_has_statements(migration: Migration) -> None:
    """Raise SqlError if nothing in the file is sent to a server.

    The text of a template may be empty, because it depends on settings: such as a window that they list already.
    """
    if not migration.is_template and not steps_of(migration):
        raise SqlError(
            f"{migration.path.name} has no statement to apply",
            Place(str(migration.path), 1, 1),
            "write a statement into it, such as CREATE TABLE … AS SELECT …, or delete the file",
        )


def planned(statement: Statement, version: int, number: int, properties: Properties = ()) -> StatementRecord:
    """The record of a statement before it is sent, without facts about the server."""
    kind, text, name, topic = statement.kind, statement.text, statement.name, statement.topic
    return StatementRecord(version, number, kind, text, name, topic, StatementState.PLANNED, properties=properties)


def label(statement: Statement) -> str:
    """A statement in a few words."""
    name = type_name(statement) if statement.kind in (Kind.CREATE_TYPE, Kind.DROP_TYPE) else statement.name
    return f"{statement.kind.value} {name or ''}".rstrip()
