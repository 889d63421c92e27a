"""Plans as data: what is to be applied, and what each step does to data.

Made by ``planning``, printed by ``output``, carried out by ``execute``: none can differ from another.
"""

from __future__ import annotations

from dataclasses import dataclass

from opensea_metrics.deploy.migrations.errors import Refused
from opensea_metrics.deploy.migrations.impact import Impact, Verdict
from opensea_metrics.deploy.migrations.state import StatementRecord
from opensea_metrics.sql.language.statements.statements import Statement

PENDING = Impact(Verdict.NEW, "")
REVERSIBLE = "reversible"
WITH_LOSS = "reversible with loss of state"
IRREVERSIBLE = "irreversible"


@dataclass(frozen=True)
class Step:
    """One statement to send, with the properties that SET gives it, and what it will do.

    ``unfinished`` is its record if an earlier run sent it and did not learn the outcome. ``logical``
    is the name in the files of what is built side by side under another one, ``awaits`` are the
    streams and tables whose queries must have caught up before the statement is sent.
    """

    version: int
    number: int
    statement: Statement
    properties: tuple[tuple[str, str], ...] = ()
    unfinished: StatementRecord | None = None
    impact: Impact = PENDING
    logical: str | None = None
    awaits: tuple[str, ...] = ()


@dataclass(frozen=True)
class MigrationPlan:
    """The steps of one migration that are left; ``done`` of its statements are applied.
    ``checksum`` and ``rendered`` are recorded with it (see VersionRecord).

    ``reversible`` says whether what is left can be rolled back: "reversible", "reversible with loss
    of state" or "irreversible"; a down file makes everything reversible. ``side_by_side``: some
    steps follow from what was on the server, so all are recorded before the first is sent.
    """

    version: int
    name: str
    checksum: str
    rendered: str
    done: int
    steps: tuple[Step, ...]
    reversible: str = REVERSIBLE
    side_by_side: bool = False

    @property
    def total(self) -> int:
        """How many statements the whole migration has."""
        return self.done + len(self.steps)


@dataclass(frozen=True)
class Plan:
    """Migrations in the order in which they are applied; empty if there is nothing to do.

    ``basis`` is a checksum of what it was made from: what is recorded, and how the streams and
    tables that it names are defined on the server.
    """

    migrations: tuple[MigrationPlan, ...] = ()
    basis: str = ""

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps, in order."""
        return tuple(step for each in self.migrations for step in each.steps)

    def refuse(self) -> None:
        """Raise Refused if the server would refuse one of the steps."""
        refused = [each for each in self.steps if each.impact.verdict is Verdict.REFUSED]
        if refused:
            raise Refused("\n".join(map(_refusal, refused)))


def _refusal(step: Step) -> str:
    statement, impact = step.statement, step.impact
    clause = f", because of {impact.clause}" if impact.clause else ""
    hint = ""
    if statement.replaces and impact.clause:
        hint = (
            "\n  hint: drop it and create it again in this migration (its state is lost), or build it"
            " beside the old one: --side-by-side"
        )
    return (
        f"{statement.place}: the server would refuse statement {step.number} of version"
        f" {step.version} ({statement.kind.value} {statement.name}){clause}: {impact.reason}{hint}"
    )


