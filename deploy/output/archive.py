"""The results of the archive's tools, for people."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from opensea_metrics.deploy.output.console import console, shown, time_text
from opensea_metrics.deploy.output.plain import say
from opensea_metrics.spark_batch.upkeep.outcome import CompactionOutcome
from opensea_metrics.spark_batch.upkeep.report import ArchiveReport, FindingKind
from opensea_metrics.spark_batch.upkeep.runs import HourGroup

_SHOWN = 10
"""The number of findings of a kind that are listed."""


def show_report(report: ArchiveReport) -> None:
    """Print a table of the partitions, then the findings: defects before remarks."""
    out = console()
    table = Table(title=shown(report.url), title_justify="left")
    table.add_column("partition", justify="right")
    for name in ("files", "compacted", "records", "MB", "first offset", "next offset"):
        table.add_column(name, justify="right")
    for partition in report.partitions:
        numbers = (partition.files, partition.compacted, partition.records)
        table.add_row(
            str(partition.partition), *(f"{number:,}" for number in numbers), f"{partition.bytes / 1e6:,.1f}",
            str(partition.start), str(partition.end),
        )  # fmt: skip
    out.print(table)
    if report.first_ms is not None:
        say(f"hours {_hour(report.first_ms)} to {_hour(report.last_ms)} UTC, {report.seconds:.1f} s")
    for kind in FindingKind:
        findings = report.of(kind)
        if not findings:
            continue
        records = sum(finding.records for finding in findings)
        style = "red" if kind.is_defect else "yellow"
        counted = f" ({records:,} records)" if records else ""
        out.print(shown(f"{len(findings):,} {kind.text}{counted}", style))
        for finding in findings[:_SHOWN]:
            note = f"{finding.records:,} records, " if finding.records else ""
            say(f"  {finding.where}: {note}{finding.detail}")
        if len(findings) > _SHOWN:
            say(f"  … and {len(findings) - _SHOWN:,} more: --json lists all")
    out.print(shown("sound", "green") if report.is_clean else shown("not sound", "red"))


def show_groups(groups: Sequence[HourGroup]) -> None:
    """Print the groups that would be compacted, by hour and partition."""
    out = console()
    table = Table(title="to be compacted", title_justify="left")
    table.add_column("hour (UTC)")
    for name in ("partition", "files", "MB"):
        table.add_column(name, justify="right")
    for group in groups:
        count = f"{len(group.originals):,}"
        table.add_row(_hour(group.hour_ms), str(group.partition), count, f"{group.bytes / 1e6:,.1f}")
    if groups:
        out.print(table)
    files = sum(len(group.originals) for group in groups)
    size = sum(group.bytes for group in groups) / 1e6
    say(f"{files:,} files, {size:,.1f} MB, of {len(groups):,} hours and partitions")


def show_outcome(outcome: CompactionOutcome) -> None:
    """Print what was compacted, and the files that were left, with the reasons."""
    say(
        f"{outcome.originals:,} files ({outcome.original_bytes / 1e6:,.1f} MB) → {outcome.compacted:,} "
        f"({outcome.compacted_bytes / 1e6:,.1f} MB): {outcome.records:,} records, verified; "
        f"{outcome.removed:,} originals removed; {outcome.seconds:.1f} s"
    )
    for file in outcome.left[:_SHOWN]:
        line = shown("left", "yellow") + shown(f" {file.path}: {file.reason}")
        console().print(line, soft_wrap=True)
    if len(outcome.left) > _SHOWN:
        say(f"… and {len(outcome.left) - _SHOWN:,} more: see opensea-metrics archive check")
    if not outcome.finished:
        say("stopped before the end; run the command again to continue")


def _hour(moment: int | None) -> str:
    return time_text(moment)[:13]
