"""Prints the differences between streamed and recomputed windows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from opensea_metrics.core.wording import counted
from opensea_metrics.deploy.output.console import console, shown
from opensea_metrics.deploy.output.damage import show_damaged
from opensea_metrics.deploy.output.plain import say
from opensea_metrics.deploy.output.tables import print_table
from opensea_metrics.producer.archive.damage import Damage
from opensea_metrics.spark_batch.period import iso
from opensea_metrics.spark_batch.reconcile.compare import ColumnDifference
from opensea_metrics.spark_batch.reconcile.run import Compared, Finding
from opensea_metrics.sql.language.catalog.sources import Source

_SHOWN = 50


def show_differences(
    table: Source, period: str, compared: Sequence[Compared], findings: Sequence[Finding]
) -> None:
    """Print how many rows differ, the first of them with their causes, and the number of rows of each cause."""
    rows = sum(part.rows for part in compared)
    show_damaged(damaged_in(compared))
    if not findings:
        say(f"{table.name}, {period}: all {rows:,} rows of the stream and of the archive are equal")
        return
    unlike = sum(len(part.findings) for part in compared)
    say(f"{table.name}, {period}: {unlike:,} of {rows:,} rows differ")
    names = ["window", *(column.name for column in table.columns if column.is_key)]
    lines: list[list[object]] = []
    for finding in findings[:_SHOWN]:
        head, cause = [iso(finding.row.window), *map(str, finding.row.key)], finding.cause.name
        for difference in finding.row.columns or (_WHOLE[finding.row.kind],):
            values = difference.column, difference.streamed, difference.recomputed
            lines.append([*head, *values, _apart(difference), cause])
            head, cause = [""] * len(head), ""
    print_table([*names, "column", "streamed", "recomputed", "apart", "cause"], lines)
    if len(findings) > _SHOWN:
        say(f"… and {len(findings) - _SHOWN:,} more rows: --json has all of them")
    causes = Counter((finding.cause.name, finding.cause.detail) for finding in findings)
    for (name, detail), count in causes.most_common():
        console().print(shown(f"{counted(count, 'row')}: ") + shown(name, "bold") + shown(f": {detail}"))


_WHOLE = {
    "missing": ColumnDifference("the row", "none", "there"),
    "surplus": ColumnDifference("the row", "there", "none"),
}


def _apart(difference: ColumnDifference) -> str:
    if difference.absolute is None:
        return ""
    relative = "" if difference.relative is None else f" ({difference.relative:+.3g})"
    return f"{difference.absolute:+.6g}{relative}"


COLUMNS = (
    "window_start", "window_end", "key", "kind", "column", "streamed", "recomputed", "absolute", "relative", "cause",
    "detail",
)  # fmt: skip
"""The fields of :func:`difference_objects`."""


def difference_objects(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A JSON object for each value that differs, from a report of :func:`differences_json`."""
    objects: list[dict[str, Any]] = []
    for row in report["differences"]:
        whole = {name: value for name, value in row.items() if name != "columns"}
        objects += [whole | difference for difference in row["columns"] or [{}]]
    return objects


def differences_json(
    table: Source,
    size: int,
    period: tuple[int, int],
    compared: Sequence[Compared],
    findings: Sequence[Finding],
) -> dict[str, Any]:
    """The whole report as one JSON object. Times are in UTC. ``size`` is the windows' size in ms."""
    keys = [column.name for column in table.columns if column.is_key]
    return {
        "table": table.name,
        "from": iso(period[0]),
        "to": iso(period[1]),
        "rows": sum(part.rows for part in compared),
        "damaged_files": {path: asdict(damage) for path, damage in damaged_in(compared).items()},
        "differences": [_json(finding, keys, size) for finding in findings],
    }


def damaged_in(compared: Sequence[Compared]) -> dict[str, Damage]:
    """The files that could not be read to their end, by path."""
    return {path: damage for part in compared for path, damage in part.damaged.items()}


def _json(finding: Finding, keys: Sequence[str], size: int) -> dict[str, Any]:
    row = finding.row
    return {
        "window_start": iso(row.window),
        "window_end": iso(row.window + size),
        "key": dict(zip(keys, row.key, strict=True)),
        "kind": row.kind,
        "columns": [
            {
                "column": difference.column,
                "streamed": difference.streamed,
                "recomputed": difference.recomputed,
                "absolute": difference.absolute,
                "relative": difference.relative,
            }
            for difference in row.columns
        ],
        "cause": finding.cause.name,
        "detail": finding.cause.detail,
    }
