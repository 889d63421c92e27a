"""Plans and the state of versions, for people."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text  # for types

from opensea_metrics.deploy.migrations.actions import KeepTopic, describe
from opensea_metrics.deploy.migrations.impact import Verdict
from opensea_metrics.deploy.migrations.plan import REVERSIBLE, Plan, Step
from opensea_metrics.deploy.migrations.rollback import RollbackPlan
from opensea_metrics.deploy.migrations.state import VersionState
from opensea_metrics.deploy.migrations.status import VersionStatus
from opensea_metrics.deploy.output.console import console, shown, time_text

STYLES = {
    VersionState.MIGRATED: "green",
    VersionState.PENDING: "yellow",
    VersionState.RUNNING: "cyan",
    VersionState.ERROR: "red",
}
VERDICTS = {
    Verdict.NEW: "green",
    Verdict.UNCHANGED: "dim",
    Verdict.IN_PLACE: "cyan",
    Verdict.SIDE_BY_SIDE: "cyan",
    Verdict.REBUILD: "yellow",
    Verdict.DROPPED: "yellow",
    Verdict.REFUSED: "bold red",
}


def show_plan(plan: Plan) -> None:
    """Print what apply would do: two lines a statement, the second on what happens to data."""
    out = console()
    for each in plan.migrations:
        title = shown(f"V{each.version:03} {each.name}", "bold")
        style = "dim" if each.reversible == REVERSIBLE else "yellow"
        title.append(shown(f"  ({each.reversible})", style))
        out.print(title)
        if each.done:
            out.print(shown(f"  {each.done} of {each.total} statements are applied already", "dim"))
        for step in each.steps:
            _show_step(step, out.print)


def _show_step(step: Step, show: Callable[[Text], None]) -> None:
    statement, impact = step.statement, step.impact
    line = shown(f"  {step.number}. {statement.kind.value} {statement.name or ''}".rstrip())
    line.append(f"  {impact.verdict}", VERDICTS[impact.verdict])
    if impact.clause:
        line.append(shown(f" ({impact.clause})"))
    show(line)
    detail = impact.reason if impact.verdict is Verdict.REFUSED else impact.data
    if detail:
        show(shown(f"     {detail}", "dim"))


def show_rollback(plan: RollbackPlan, stderr: bool = False) -> None:
    """Print what a rollback does, what starts anew, and which topics lose their data."""
    out = console(stderr)
    for each in plan.versions:
        out.print(shown(f"V{each.record.version:03} {each.record.name}", "bold"))
        for action in (action for undo in each.undos for action in undo.actions):
            style = "dim" if isinstance(action, KeepTopic) else ""
            out.print(shown(f"  {describe(action)}", style))
    if plan.loses_state:
        out.print(shown("Made again from the start of their sources, as their state is lost:", "bold"))
        for name in plan.loses_state:
            out.print(shown(f"  {name}"))
    if plan.deleted_topics:
        out.print(shown("Topics that are deleted, with all data in them:", "bold red"))
        for topic in plan.deleted_topics:
            out.print(shown(f"  {topic}"))


def show_status(versions: Sequence[VersionStatus]) -> None:
    """Print one line per version, which 80 characters hold, and what there is to say of some below."""
    out = console()
    table = Table(box=SIMPLE_HEAD, padding=0)
    for name in ("version", "name", "state", "statements", "by", "started, UTC", "seconds"):
        table.add_column(name, no_wrap=name in ("version", "state", "statements"), overflow="fold")
    table.columns[-1].justify = "right"
    notes = []
    for each in versions:
        took = ""
        if each.started_on is not None and each.completed_on is not None:
            took = f"{(each.completed_on - each.started_on) / 1000:.1f}"
        number = f"V{each.version:03}"
        table.add_row(
            number,
            shown(each.name),
            shown(str(each.state), STYLES[each.state]),
            f"{each.done}/{'?' if each.total is None else each.total}",
            shown(each.who or ""),
            time_text(each.started_on),
            took,
        )
        if each.error_reason:
            notes.append(shown(f"{number}: {each.error_reason}", "red"))
        elif each.total is None:
            notes.append(shown(f"{number}: its file is missing", "yellow"))
        elif each.changed:
            notes.append(shown(f"{number}: the file was changed since", "yellow"))
    out.print(table)
    for note in notes:
        out.print(note)
