"""Reports of status, diff, validate, plan, doctor and reconcile in all forms: ``--format``, ``--out``, ``--json``.

A report is a text for people, and objects for programs. The objects are JSON, or the rows of CSV and Parquet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from opensea_metrics.core.types import BIGINT, BOOLEAN, DOUBLE, STRING, KsqlType
from opensea_metrics.deploy.output.forms import Form, ReportView, redirected, write_csv
from opensea_metrics.deploy.output.plain import exact_text, say_json
from opensea_metrics.deploy.output.readable import Look
from opensea_metrics.deploy.output.tables import print_record


@dataclass(frozen=True)
class WholeReport:
    """A report that ``--format json`` writes as one JSON value, not as one object per row.

    ``indent``: spaces per level of JSON.
    """

    value: Mapping[str, Any]
    indent: int


def write_report(
    view: ReportView,
    show: Callable[[], None],
    objects: Sequence[Mapping[str, Any]],
    names: Sequence[str] = (),
    whole: WholeReport | None = None,
) -> None:
    """Write a report. ``show`` prints its text for people.

    ``names`` are the first columns of CSV and Parquet, even if the report has no objects. The objects' other keys are
    further columns. Raises OSError.
    """
    names = list(dict.fromkeys([*names, *(name for item in objects for name in item)]))
    rows = [[item.get(name) for name in names] for item in objects]
    if view.form is Form.PARQUET:
        assert view.out is not None
        columns = [_column(name, values) for name, values in zip(names, _columns(names, rows), strict=True)]
        typed = [list(row) for row in zip(*(values for _, values in columns), strict=True)]
        from opensea_metrics.deploy.output.parquet import write_parquet

        write_parquet(view.out, [column for column, _ in columns], typed, times=())
        return
    with redirected(view.out):
        if view.form is Form.TABLE:
            show()
        elif view.form is Form.CSV:
            write_csv(names, rows)
        elif view.form is Form.VERTICAL:
            for number, row in enumerate(rows, 1):
                print_record([Look(name) for name in names], row, number, exact=True)
        elif whole is not None:
            say_json(whole.value, whole.indent)
        else:
            for item in objects:
                say_json(item)


def _columns(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    return [[row[at] for row in rows] for at in range(len(names))]


def _column(name: str, values: list[Any]) -> tuple[tuple[str, KsqlType], list[Any]]:
    """A column of Parquet. Values of several types, lists and objects are texts there."""
    kinds = {type(value) for value in values if value is not None}
    for kind, types in ((BOOLEAN, {bool}), (BIGINT, {int}), (DOUBLE, {int, float})):
        if kinds and kinds <= types:
            return (name, kind), values
    return (name, STRING), [None if value is None else exact_text(value) for value in values]
