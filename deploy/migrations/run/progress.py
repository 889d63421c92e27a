"""The progress of a run, as data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


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
