"""Plans, for people and for programs. All sentences about steps are here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from rich.text import Text  # for types

from opensea_metrics.deploy.migrations.plan.impact import DataEffect, Verdict
from opensea_metrics.deploy.migrations.plan.steps import (
    ApplyStep,
    Plan,
    Reversibility,
    RollbackPlan,
    UndoStep,
)
from opensea_metrics.deploy.output.console import console, shown
from opensea_metrics.sql.language.statements.properties import RESET

VERDICTS = {
    Verdict.NEW: "green",
    Verdict.UNCHANGED: "dim",
    Verdict.IN_PLACE: "cyan",
    Verdict.SIDE_BY_SIDE: "cyan",
    Verdict.REBUILD: "yellow",
    Verdict.DROPPED: "yellow",
    Verdict.REFUSED: "bold red",
}
EFFECTS = {
    DataEffect.NONE: "nothing",
    DataEffect.ALREADY_EXECUTED: "nothing: an earlier run executed it, and apply records it now",
    DataEffect.ABSENT: "nothing: it does not exist",
    DataEffect.EXISTS: "nothing: it exists",
    DataEffect.EXISTS_AS_DEFINED: "nothing: it exists, with the same definition",
    DataEffect.EXISTS_DIFFERENTLY: "nothing: it exists with another definition, which stays",
    DataEffect.SAME_DEFINITION: "the definition is the same; state and offsets are kept",
    DataEffect.REPLACED: "replaced in place ({changes}): state and offsets are kept, rows already written stay",
    DataEffect.COLUMNS_ADDED: "columns are added; rows written before do not have them",
    DataEffect.UNTOUCHED: "no data is touched",
    DataEffect.TOPIC_CREATED: "topic {topic} is created",
    DataEffect.TOPIC_DECLARED: "declared over topic {topic}, which stays as it is",
    DataEffect.SINK_WRITTEN: "reads {reads} from {start} offset; writes topic {topic}{after}",
    DataEffect.ROWS_INSERTED: "reads {reads} from {start} offset; adds rows to {name}",
    DataEffect.ROW_INSERTED: "one row is added to {name}",
    DataEffect.TOPIC_KEPT: "dropped, and its query's state is lost; topic {topic} is kept",
    DataEffect.TOPIC_DELETED: "dropped, and its query's state is lost; topic {topic} is deleted with all its rows",
    DataEffect.QUERY_ENDED: "the query ends; the rows that it wrote stay",
    DataEffect.BUILT_BESIDE: "built beside {subject} from the start of its sources; {subject} continues to serve",
    DataEffect.WRITER_BESIDE: "writes into {name}, as {subject} writes into the old version",
    DataEffect.SINK_SWITCHED: "writes into {name} from the new version, in place of {subject}",
    DataEffect.OLD_QUERY_ENDED: "the query over the old version ends",
    DataEffect.OLD_VERSION_DROPPED: "the old version is dropped",
    DataEffect.OLD_VERSION_DELETED: "the old version is dropped; topic {topic} is deleted with all its rows",
}
PLAN = ("version", "migration", "reversible", "statement", "name", "verdict", "data")
"""The fields of :func:`plan_objects`."""
SIDE_BY_SIDE = """\
hint: apply --side-by-side builds the refused replacements beside the old versions, which serve until
the new ones have caught up. plan --side-by-side shows its steps. Readers keep the names in the files."""


def show_plan(plan: Plan) -> None:
    """Print the steps of apply: two lines for each statement, the second about data."""
    out = console()
    for version in plan.versions:
        title = shown(f"V{version.version:03} {version.name}", "bold")
        style = "dim" if version.reversible is Reversibility.REVERSIBLE else "yellow"
        title.append(shown(f"  ({version.reversible})", style))
        out.print(title)
        if version.done:
            out.print(shown(f"  {version.done} of {version.total} statements are applied already", "dim"))
        for step in version.steps:
            _show_step(step, out.print)
    if plan.needs_side_by_side:
        out.print(shown(SIDE_BY_SIDE, "yellow"))
    if plan.later:
        later = ", ".join(f"V{version:03}" for version in plan.later)
        out.print(shown(f"{later}: planned when these are applied, because it replaces what they create"))


def plan_objects(plan: Plan) -> list[dict[str, Any]]:
    """A JSON object for each statement."""
    rows = ((version, step) for version in plan.versions for step in version.steps)
    return [
        {
            "version": version.version, "migration": version.name, "reversible": str(version.reversible),
            "statement": step.statement.text, "name": step.statement.name, "verdict": str(step.impact.verdict),
            "data": data_sentence(step),
        }
        for version, step in rows
    ]  # fmt: skip


def data_sentence(step: ApplyStep) -> str:
    """A sentence about a step's effect on data."""
    impact, properties = step.impact, dict(step.record.properties)
    start = properties.get(RESET) or properties.get(f"ksql.streams.{RESET}")
    sentence = EFFECTS[impact.effect].format(
        name=step.statement.name,
        reads=", ".join(step.statement.reads),
        start=f"the {start}" if start else "the server's default",
        topic=impact.topic,
        after=", after the rows in it" if impact.topic_existed else "",
        subject=impact.subject,
        changes="; ".join(change.description for change in impact.changes),
    )
    if impact.verdict is Verdict.REBUILD and step.statement.starts_query:
        sentence = f"state is lost; {sentence}"
    return f"after {', '.join(step.record.awaits)} caught up: {sentence}" if step.record.awaits else sentence


def undo_lines(step: UndoStep) -> Iterator[str]:
    """One line for each change in a step of a rollback."""
    if step.restored:
        yield f"define {step.restored} as before, {step.restoration}"
    elif step.label:
        yield step.label
    if step.keeps:
        plural = "are" if len(step.readers) > 1 else "is"
        why = f"{', '.join(step.readers)} {plural} declared over it" if step.readers else "as requested"
        yield f"keep topic {step.keeps} ({why})"


def show_rollback(plan: RollbackPlan, stderr: bool = False) -> None:
    """Print the steps of a rollback, the objects that lose their state, and the topics that lose their data."""
    out = console(stderr)
    for version in plan.versions:
        out.print(shown(f"V{version.version:03} {version.name}", "bold"))
        for step in version.steps:
            for line in undo_lines(step):
                out.print(shown(f"  {line}", "dim" if step.keeps else ""))
    if plan.loses_state:
        out.print(shown("Created again from the start of their sources, because their state is lost:", "bold"))
        for name in plan.loses_state:
            out.print(shown(f"  {name}"))
    if plan.deleted_topics:
        out.print(shown("Topics that are deleted, with all data in them:", "bold red"))
        for topic in plan.deleted_topics:
            out.print(shown(f"  {topic}"))


def _show_step(step: ApplyStep, show: Callable[[Text], None]) -> None:
    impact = step.impact
    line = shown(f"  {step.record.number}. {step.label}")
    line.append(f"  {impact.verdict}", VERDICTS[impact.verdict])
    if impact.clause:
        line.append(shown(f" ({impact.clause})"))
    show(line)
    detail = impact.reason if impact.verdict is Verdict.REFUSED else data_sentence(step)
    if detail:
        show(shown(f"     {detail}", "dim"))
