"""Changed files and drift, for people."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from opensea_metrics.deploy.migrations.drift import Drift
from opensea_metrics.deploy.migrations.verify import Changed
from opensea_metrics.deploy.output.console import console, shown

DIFF = {"+": "green", "-": "red", "@": "cyan"}


def show_changed(changes: Sequence[Changed]) -> None:
    """Print diffs, and what replacing the live definition would be."""
    out = console()
    for each in changes:
        out.print(shown(f"V{each.version:03} {each.what}", "bold"))
        for line in each.diff:
            out.print(shown(f"  {line}", DIFF.get(line[:1], "")))
        if each.impact is not None:
            clause = f" ({each.impact.clause})" if each.impact.clause else ""
            out.print(shown(f"  as CREATE OR REPLACE: {each.impact.verdict}{clause}", "yellow"))


def show_drift(found: Sequence[Drift]) -> None:
    """Print one line per difference."""
    if not found:
        return
    table = Table("drift", "name", "")
    for each in found:
        table.add_row(each.kind, shown(each.name), shown(each.detail))
    console().print(table)
