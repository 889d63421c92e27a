"""What doctor found, for people and for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from rich.table import Table

from opensea_metrics.deploy.doctor import Check
from opensea_metrics.deploy.output.console import console, shown
from opensea_metrics.deploy.output.plain import say_json

STYLE = {"ok": "green", "warning": "yellow", "failed": "red", "left out": "dim"}


def show_checks(checks: Sequence[Check]) -> None:
    """Print a table, and under it what to do about each finding that is not well."""
    table = Table("part", "check", "", "found")
    for each in checks:
        style = STYLE[each.verdict]
        found = shown(each.found)
        table.add_row(each.part, shown(each.name), shown(each.verdict, style), found)
    out = console()
    out.print(table)
    for each in checks:
        if each.verdict in ("warning", "failed"):
            line = shown(f"{each.part}, {each.name}: ", STYLE[each.verdict])
            out.print(line + shown(each.advice), soft_wrap=True)
    counts = {verdict: sum(c.verdict == verdict for c in checks) for verdict in STYLE}
    out.print(", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count))


def show_checks_json(checks: Sequence[Check]) -> None:
    """Print one JSON object per check and line."""
    for each in checks:
        say_json(asdict(each))
