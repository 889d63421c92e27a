"""What doctor found, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from rich.table import Table
from rich.text import Text

from deploy.doctor import Check
from deploy.output.console import console

STYLE = {"ok": "green", "warning": "yellow", "failed": "red", "left out": "dim"}


def show_checks(checks: Sequence[Check]) -> None:
    """Print a table, and under it what to do about each finding that is not well."""
    table = Table("part", "check", "", "found")
    for each in checks:
        style = STYLE[each.verdict]
        table.add_row(each.part, Text(each.name), Text(each.verdict, style), Text(each.found))
    out = console()
    out.print(table)
    for each in checks:
        if each.verdict in ("warning", "failed"):
            line = Text(f"{each.part}, {each.name}: ", STYLE[each.verdict])
            out.print(line + Text(each.advice), soft_wrap=True)
    counts = {verdict: sum(c.verdict == verdict for c in checks) for verdict in STYLE}
    out.print(", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count))


def show_checks_json(checks: Sequence[Check]) -> None:
    """Print one JSON object per check and line."""
    for each in checks:
        print(json.dumps(asdict(each), ensure_ascii=False))
