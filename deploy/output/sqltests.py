"""Results of test files: one line for each case, and the failures with the rows that differ."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from opensea_metrics.core.errors import SqlError
from opensea_metrics.deploy.output.excerpts import error_text
from opensea_metrics.deploy.output.plain import one_line, say
from opensea_metrics.deploy.sqltests.comparison import Row, RowMismatch
from opensea_metrics.deploy.sqltests.runner import CaseResult, Failure

_WIDTH = 60
"""The most characters of a value."""


def show_case(result: CaseResult) -> None:
    """Print the result of a case when it is known."""
    case = result.case
    say(f"{result.outcome:8}{case.place.file}:{case.place.line}  {case.name}")
    if result.failure is not None:
        say("\n".join(f"  {line}" for line in _failure_text(result.failure).splitlines()))


def show_summary(results: Sequence[CaseResult], engine: str, seconds: float) -> None:
    """Print how many cases passed."""
    counts = {outcome: sum(r.outcome == outcome for r in results) for outcome in ("passed", "failed", "skipped")}
    said = ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count)
    say(f"{said} on {engine} in {seconds:.1f} s")


def to_json(results: Sequence[CaseResult], engine: str) -> dict[str, Any]:
    """The results as JSON. ``rows`` are the actual rows that are most similar to the expected one."""
    return {"engine": engine, "cases": [_case_json(result) for result in results]}


def _case_json(result: CaseResult) -> dict[str, Any]:
    case, failure = result.case, result.failure
    entry: dict[str, Any] = {
        "file": case.place.file, "line": case.place.line, "name": case.name, "outcome": result.outcome
    }  # fmt: skip
    if failure is None:
        return entry
    entry |= {
        "message": failure.message,
        "place": str(failure.place),
        "statement": failure.statement,
        "hint": failure.hint,
    }
    if failure.difference is not None:
        expected = failure.difference.expected
        entry["expected"] = dict(zip(expected.columns, map(_jsonable, expected.values), strict=True))
        entry["rows"] = [
            {name: _jsonable(row.get(name)) for name in expected.columns} for row in failure.difference.rows
        ]
    return entry


def _failure_text(failure: Failure) -> str:
    located = error_text(SqlError(failure.message, failure.place))
    parts = [located]
    if failure.difference is not None:
        parts += _table(failure.difference)
    if failure.hint:
        parts.append(f"  hint: {failure.hint}")
    return "\n".join(parts)


def _table(difference: RowMismatch) -> list[str]:
    """The expected row above the actual rows, in columns. The last column names the columns that differ."""
    expected = difference.expected
    rows = [["", *expected.columns], ["expected", *map(_cell, expected.values)]]
    rows += [["actual", *(_cell(row.get(name)) for name in expected.columns)] for row in difference.rows]
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    marks = ["", "", *(_mark(difference, row) for row in difference.rows)]
    return [f"  {line}{mark}".rstrip() for line, mark in zip(lines, marks, strict=True)]


def _mark(difference: RowMismatch, row: Row) -> str:
    wrong = difference.expected.wrong(row)
    return f"  other {', '.join(wrong)}" if wrong else ""


def _cell(value: Any) -> str:
    if value is None:
        return "NULL"
    shown = value if isinstance(value, str) else json.dumps(_jsonable(value), ensure_ascii=False, default=str)
    line = one_line(f"'{shown}'" if isinstance(value, str) else shown)
    return line if len(line) <= _WIDTH else f"{line[: _WIDTH - 1]}…"


def _jsonable(value: Any) -> Any:
    if isinstance(value, list):
        return [_jsonable(item) for item in value]
    if isinstance(value, dict):
        return {key: _jsonable(item) for key, item in value.items()}
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
