"""The windows and chains that a server or folder offers. If there are none: the reason, and what to do."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from opensea_metrics.deploy.dashboard import windows
from opensea_metrics.deploy.dashboard.view import PageView
from opensea_metrics.deploy.dashboard.windows import FAMILIES, DeployedWindow


@dataclass(frozen=True)
class Problem:
    """Why a page has nothing to show. ``commands`` are shell commands that fix the problem."""

    title: str
    text: str
    commands: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The problem for a page."""
        return {"title": self.title, "text": self.text, "commands": self.commands}


def chosen_window(names: Collection[str], view: PageView, is_live: bool) -> DeployedWindow | Problem:
    """The window of a view, if its tables exist; otherwise the reason why there is none."""
    deployed = windows.deployed(names)
    if not deployed:
        return _nothing(names, is_live)
    if view.window is None:
        return windows.default(deployed)
    if view.window in deployed:
        return view.window
    labels = ", ".join(window.label for window in deployed)
    text = f"There are windows of {labels}. Choose one of them above."
    if not is_live:
        return Problem(f"There are no results of {view.window.label}", text)
    return Problem(
        f"There is no window of {view.window.label} on this server",
        f"{text} To deploy another window, add it to the windows in sql/settings.yml and apply a migration.",
        ("opensea-metrics plan", "opensea-metrics apply"),
    )


def catalog(names: Collection[str], chains: Iterable[str], view: PageView, is_live: bool) -> dict[str, Any]:
    """The catalog for a page."""
    chosen = chosen_window(names, view, is_live)
    deployed = windows.deployed(names)
    is_problem = isinstance(chosen, Problem)
    return {
        "windows": [{"suffix": w.suffix, "label": w.label, "size": w.size} for w in deployed],
        "window": None if isinstance(chosen, Problem) else chosen.suffix,
        "chains": list(chains),
        "missing": [] if isinstance(chosen, Problem) else windows.missing(names, chosen),
        "problem": chosen.as_json() if isinstance(chosen, Problem) else None,
        "isComplete": not is_problem,
    }


def _nothing(names: Collection[str], is_live: bool) -> Problem:
    if not is_live:
        return Problem(
            "There are no results here",
            "The folder has neither tables of the market nor of collections.",
            ("opensea-metrics recompute all --window '1 hour' --to-parquet results",),
        )
    have = {family for family in FAMILIES if any(name.startswith(f"{family}_") for name in names)}
    versions = sorted({version for family, version in FAMILIES.items() if family not in have})
    listed = ", ".join(f"V{version:03}" for version in versions)
    return Problem(
        "The server runs, but it has no metrics yet",
        f"The tables of these migrations are missing: {listed}. Apply the migrations; then this page starts by itself.",
        ("opensea-metrics apply", "opensea-metrics replay --to-now"),
    )
