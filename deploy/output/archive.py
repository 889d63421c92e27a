"""What the archive's tools found and did, for a person."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from opensea_metrics.deploy.output.console import console, shown, time_text
from opensea_metrics.deploy.output.plain import say
from opensea_metrics.spark_batch.upkeep.compact import CompactionOutcome
from opensea_metrics.spark_batch.upkeep.report import ArchiveReport, FindingKind
from opensea_metrics.spark_batch.upkeep.runs import HourGroup

_SHOWN = 10
"""Findings of a kind that are listed."""


def show_report(report: ArchiveReport) -> None:
    """A table of the partitions, then what was found: defects before remarks."""
    out = console()
    table = Table(title=shown(report.url), title_justify="left")
    table.add_column("partition", justify="right")
    for name in ("files", "compacted", "records", "MB", "first offset", "next offset"):
        table.add_column(name, justify="right")
    for each in report.partitions:
        numbers = (each.files, each.compacted, each.records)
        table.add_row(
            str(each.partition), *(f"{number:,}" for number in numbers), f"{each.bytes / 1e6:,.1f}",
            str(each.start), str(each.end),
        )  # fmt: skip
    out.print(table)
    if report.first_ms is not None:
        say(f"hours {_hour(report.first_ms)} to {_hour(report.last_ms)} UTC, {report.seconds:.1f} s")
    for kind in FindingKind:
        found = report.of(kind)
        if not found:
            continue
        records = sum(one.records for one in found)
        style = "red" if kind.is_defect else "yellow"
        counted = f" ({records:,} records)" if records else ""
        out.print(shown(f"{len(found):,} {kind.text}{counted}", style))
        for one in found[:_SHOWN]:
            note = f"{one.records:,} records, " if one.records else ""
            say(f"  {one.where}: {note}{one.detail}")
        if len(found) > _SHOWN:
            say(f"  … and {len(found) - _SHOWN:,} more: --json lists all")
    out.print(shown("sound", "green") if report.is_clean else shown("not sound", "red"))


def show_groups(groups: Sequence[HourGroup]) -> None:
    """What would be compacted, by hour and partition."""
    out = console()
    table = Table(title="to be compacted", title_justify="left")
    table.add_column("hour (UTC)")
    for name in ("partition", "files", "MB"):
        table.add_column(name, justify="right")
    for each in groups:
        count = f"{len(each.originals):,}"
        table.add_row(_hour(each.hour_ms), str(each.partition), count, f"{each.bytes / 1e6:,.1f}")
    if groups:
        out.print(table)
    files = sum(len(each.originals) for each in groups)
    size = sum(each.bytes for each in groups) / 1e6
    say(f"{files:,} files, {size:,.1f} MB, of {len(groups):,} hours and partitions")


def show_outcome(outcome: CompactionOutcome) -> None:
    """What was compacted, and what was left and why."""
    say(
        f"{outcome.originals:,} files ({outcome.original_bytes / 1e6:,.1f} MB) → {outcome.compacted:,} "
        f"({outcome.compacted_bytes / 1e6:,.1f} MB): {outcome.records:,} records, verified; "
        f"{outcome.removed:,} originals removed; {outcome.seconds:.1f} s"
    )
    for each in outcome.left[:_SHOWN]:
        line = shown("left", "yellow") + shown(f" {each.path}: {each.reason}")
        console().print(line, soft_wrap=True)
    if len(outcome.left) > _SHOWN:
        say(f"… and {len(outcome.left) - _SHOWN:,} more: see opensea-metrics archive check")
    if not outcome.finished:
        say("stopped before the end; run it again to go on")


def _hour(moment: int | None) -> str:
    return time_text(moment)[:13]
