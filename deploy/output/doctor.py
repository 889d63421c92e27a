"""The checks of doctor, for people and for programs."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from opensea_metrics.deploy.doctor import Check
from opensea_metrics.deploy.output.console import console, shown

STYLE = {"ok": "green", "warning": "yellow", "failed": "red", "left out": "dim"}


def show_checks(checks: Sequence[Check]) -> None:
    """Print a table, and below it the advice for each check that is not ok."""
    table = Table("part", "check", "", "detail")
    for check in checks:
        verdict = shown(check.verdict, STYLE[check.verdict])
        table.add_row(check.part, shown(check.name), verdict, shown(check.observation))
    out = console()
    out.print(table)
    for check in checks:
        if check.verdict in ("warning", "failed"):
            line = shown(f"{check.part}, {check.name}: ", STYLE[check.verdict])
            out.print(line + shown(check.advice), soft_wrap=True)
    counts = {verdict: sum(c.verdict == verdict for c in checks) for verdict in STYLE}
    out.print(", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count))


def check_objects(checks: Sequence[Check]) -> list[dict[str, str]]:
    """A JSON object for each check."""
    return [
        {
            "part": check.part, "name": check.name, "verdict": check.verdict,
            "detail": check.observation, "advice": check.advice,
        }
        for check in checks
    ]  # fmt: skip
