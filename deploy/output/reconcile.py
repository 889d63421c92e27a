"""What differs between streamed and recomputed windows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from opensea_metrics.deploy.output.batch import show_damaged
from opensea_metrics.deploy.output.console import console, shown
from opensea_metrics.deploy.output.plain import say, say_json
from opensea_metrics.deploy.output.tables import print_table
from opensea_metrics.spark_batch.damage import Damage
from opensea_metrics.spark_batch.period import iso
from opensea_metrics.spark_batch.reconcile.compare import ColumnDifference
from opensea_metrics.spark_batch.reconcile.run import Compared, Finding
from opensea_metrics.sql.language.catalog.sources import Source

_SHOWN = 50


def show_differences(
    table: Source, period: str, compared: Sequence[Compared], findings: Sequence[Finding]
) -> None:
    """Print how many rows agree, the first that do not with their causes, and the causes' numbers."""
    rows = sum(each.rows for each in compared)
    show_damaged(damaged_in(compared))
    if not findings:
        say(f"{table.name}, {period}: all {rows:,} rows of the stream and of the archive are equal")
        return
    unlike = sum(len(each.findings) for each in compared)
    say(f"{table.name}, {period}: {unlike:,} of {rows:,} rows differ")
    names = ["window", *(column.name for column in table.columns if column.is_key)]
    lines: list[list[object]] = []
    for finding in findings[:_SHOWN]:
        head, cause = [iso(finding.row.window), *map(str, finding.row.key)], finding.cause.name
        for each in finding.row.columns or (_WHOLE[finding.row.kind],):
            lines.append([*head, each.column, each.streamed, each.recomputed, _apart(each), cause])
            head, cause = [""] * len(head), ""
    print_table([*names, "column", "streamed", "recomputed", "apart", "cause"], lines)
    if len(findings) > _SHOWN:
        say(f"… and {len(findings) - _SHOWN:,} more rows: --json has all of them")
    causes = Counter((each.cause.name, each.cause.detail) for each in findings)
    for (name, detail), count in causes.most_common():
        console().print(shown(f"{count:,} rows: ") + shown(name, "bold") + shown(f": {detail}"))


_WHOLE = {
    "missing": ColumnDifference("the row", "none", "there"),
    "surplus": ColumnDifference("the row", "there", "none"),
}


def _apart(each: ColumnDifference) -> str:
    if each.absolute is None:
        return ""
    relative = "" if each.relative is None else f" ({each.relative:+.3g})"
    return f"{each.absolute:+.6g}{relative}"


def show_differences_json(
    table: Source,
    size: int,
    period: tuple[int, int],
    compared: Sequence[Compared],
    findings: Sequence[Finding],
) -> None:
    """Print everything as one JSON object; times are UTC, ``size`` that of the windows in ms."""
    keys = [column.name for column in table.columns if column.is_key]
    found = {
        "table": table.name,
        "from": iso(period[0]),
        "to": iso(period[1]),
        "rows": sum(each.rows for each in compared),
        "damaged_files": {path: asdict(each) for path, each in damaged_in(compared).items()},
        "differences": [_json(finding, keys, size) for finding in findings],
    }
    say_json(found, indent=2)


def damaged_in(compared: Sequence[Compared]) -> dict[str, Damage]:
    """The files that could not be read to their end, by path."""
    return {path: damage for each in compared for path, damage in each.damaged.items()}


def _json(finding: Finding, keys: Sequence[str], size: int) -> dict[str, Any]:
    row = finding.row
    return {
        "window_start": iso(row.window),
        "window_end": iso(row.window + size),
        "key": dict(zip(keys, row.key, strict=True)),
        "kind": row.kind,
        "columns": [
            {
                "column": each.column,
                "streamed": each.streamed,
                "recomputed": each.recomputed,
                "absolute": each.absolute,
                "relative": each.relative,
            }
            for each in row.columns
        ],
        "cause": finding.cause.name,
        "detail": finding.cause.detail,
    }
