"""The progress of a run as data, and the message on the step at which it stopped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from opensea_metrics.deploy.migrations.plan.steps import Step, UndoStep


@dataclass(frozen=True)
class StepProgress:
    """A step begins (``seconds`` is None), or has ended after ``seconds``. ``label``: see Step.

    ``number`` of ``total`` counts the version's steps, ``position`` of ``count`` those of the whole run.
    """

    version: int
    name: str
    number: int
    total: int
    label: str
    position: int
    count: int
    seconds: float | None = None


@dataclass(frozen=True)
class CatchUpProgress:
    """A query reads the records that its sources hold: it has ``consumed`` the first of ``end`` records."""

    query_id: str
    consumed: int
    end: int


Report = Callable[[StepProgress | CatchUpProgress], None]
"""Called during a run, from the thread that runs."""


def ignore(_: StepProgress | CatchUpProgress) -> None:
    """A report that does nothing."""


def failure(progress: StepProgress, step: Step, reason: str) -> str:
    """The message on a step that failed: which one, why, and what to do."""
    reason = reason.replace("\n", "\n  ")
    version, number, total = progress.version, progress.number, progress.total
    if isinstance(step, UndoStep):
        return (
            f"version {version}: the rollback stopped at step {number} of {total} ({step.label}):\n  {reason}\n"
            "  hint: remove the obstacle and roll back again: the rollback resumes at this step"
        )
    return (
        f"{step.statement.place}: statement {step.record.number} of {total} of version {version} ({step.label})"
        f" failed:\n  {reason}\n"
        f"  {number - 1} of {total} statements of this version are applied, and stay in effect\n"
        "  hint: fix the cause and apply again: apply resumes at this statement"
    )
