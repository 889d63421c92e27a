"""The result of one check, and the texts that checks share."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from opensea_metrics.core.errors import OpenSeaMetricsError

Verdict = Literal["ok", "warning", "failed", "left out"]


@dataclass(frozen=True)
class Check:
    """The result of one check. ``advice`` says what to do unless the verdict is ok."""

    part: str
    name: str
    verdict: Verdict
    observation: str
    advice: str = ""


class Unreachable(OpenSeaMetricsError):
    """A part does not answer, or gives an unusable reply. The message says which."""


@dataclass(frozen=True)
class Checker:
    """Creates the :class:`Check` objects of one part."""

    part: str

    def ok(self, name: str, observation: str) -> Check:
        return Check(self.part, name, "ok", observation)

    def warning(self, name: str, observation: str, advice: str) -> Check:
        return Check(self.part, name, "warning", observation, advice)

    def failed(self, name: str, observation: str, advice: str) -> Check:
        return Check(self.part, name, "failed", observation, advice)

    def left_out(self, advice: str) -> Check:
        return Check(self.part, "configured", "left out", "not configured", advice)


def age_text(seconds: float) -> str:
    """A time span in words: 42 s, 5 min, 3 h, 12 days."""
    for limit, unit, size in ((120, "s", 1), (7200, "min", 60), (172_800, "h", 3600)):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} days"


def moment_text(epoch_seconds: float) -> str:
    """A moment in UTC, to the second."""
    return datetime.fromtimestamp(epoch_seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
