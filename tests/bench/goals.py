"""One form for the lines of all benches: what is measured, its figure, and the goal."""

from __future__ import annotations


def show(name: str, figure: float, goal: float, unit: str = "×", *, is_least: bool = False, more: str = "") -> None:
    """Print a line. ``is_least`` says that the figure must be at least the goal; otherwise it must be at most."""
    is_met = figure >= goal if is_least else figure <= goal
    sign = "≥" if is_least else "≤"
    mark = "met   " if is_met else "missed"
    text = f"{mark} {name}: {figure:,.3g} {unit} (goal {sign} {goal:,.3g} {unit})"
    print(f"{text}; {more}" if more else text, flush=True)
