"""Plain data → what people read in a terminal. Results go to stdout, progress to stderr."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.status import Status
from rich.table import Table
from rich.text import Text

from deploy.migrations.actions import KeepTopic, describe
from deploy.migrations.plan import Plan
from deploy.migrations.rollback import RollbackPlan
from deploy.migrations.state import VersionState
from deploy.migrations.status import VersionStatus
from deploy.migrations.work import Catching, Progress
from deploy.replies import Rows, type_text

PIPED_WIDTH = 240  # characters: a pipe has no width, and rich would fold at 80
NOISE = ("@type", "statementText", "sinkKafkaTopics", "statusCount", "queryType", "extended")
STYLES = {
    VersionState.MIGRATED: "green",
    VersionState.PENDING: "yellow",
    VersionState.RUNNING: "cyan",
    VersionState.ERROR: "red",
}


def console(stderr: bool = False) -> Console:
    """A console on stdout or stderr, made when used: tests and pipes replace these."""
    made = Console(stderr=stderr, highlight=False)
    if not made.is_terminal:
        made.width = PIPED_WIDTH
    return made


class Reporter(AbstractContextManager["Reporter"]):
    """Shows progress on stderr: a spinner with the step under way, and a line per finished step."""

    def __init__(self) -> None:
        self._console = console(stderr=True)
        self._status: Status | None = None
        self._started = time.monotonic()

    def __enter__(self) -> Reporter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._status is not None:
            self._status.stop()

    def __call__(self, news: Progress | Catching) -> None:
        """Take the news of one step."""
        if isinstance(news, Catching):
            return
        what = f"V{news.version:03} {news.name}  {news.number}/{news.total}  {news.what}"
        if news.seconds is not None:
            self._console.print(Text(f"{what}  {news.seconds:.1f} s"))
        elif self._console.is_terminal:
            elapsed = time.monotonic() - self._started
            self._spin(Text(f"{what}  (since the start: {elapsed:.0f} s)"))

    def _spin(self, text: Text) -> None:
        # Not before there is news: a question may have to be asked first, on the same terminal.
        if self._status is None:
            self._status = self._console.status(text)
            self._status.start()
        else:
            self._status.update(text)


def show_plan(plan: Plan) -> None:
    """Print what apply would do."""
    out = console()
    for each in plan.migrations:
        out.print(Text(f"V{each.version:03} {each.name}", "bold"))
        if each.done:
            out.print(Text(f"  goes on after statement {each.done} of {each.total}", "dim"))
        for step in each.steps:
            statement = step.statement
            reads = f"  from {', '.join(statement.reads)}" if statement.reads else ""
            topic = f"  topic {statement.topic}" if statement.topic else ""
            looked = "  (if the server has not done it yet)" if step.unfinished else ""
            name = f"{statement.kind.value} {statement.name or ''}".rstrip()
            out.print(Text(f"  {step.number}. {name}{reads}{topic}{looked}"))


def show_rollback(plan: RollbackPlan, stderr: bool = False) -> None:
    """Print what a rollback does, and which topics lose their data."""
    out = console(stderr)
    for each in plan.versions:
        out.print(Text(f"V{each.record.version:03} {each.record.name}", "bold"))
        for action in (action for undo in each.undos for action in undo.actions):
            style = "dim" if isinstance(action, KeepTopic) else ""
            out.print(Text(f"  {describe(action)}", style))
    if plan.deleted_topics:
        out.print(Text("Topics that are deleted, with all data in them:", "bold red"))
        for topic in plan.deleted_topics:
            out.print(Text(f"  {topic}"))


def show_status(versions: Sequence[VersionStatus]) -> None:
    """Print one line per version."""
    table = Table("version", "name", "state", "statements", "started", "completed", "seconds", "")
    for each in versions:
        took = ""
        if each.started_on is not None and each.completed_on is not None:
            took = f"{(each.completed_on - each.started_on) / 1000:.1f}"
        note = each.error_reason or ("the file was changed since" if each.changed else "")
        table.add_row(
            f"V{each.version:03}",
            each.name,
            Text(str(each.state), STYLES[each.state]),
            f"{each.done}/{'?' if each.total is None else each.total}",
            _time(each.started_on),
            _time(each.completed_on),
            took,
            Text(note),
        )
    console().print(table)


def show_rows(rows: Rows) -> None:
    """Print the rows of a pull query as a table."""
    _print_table([column.name for column in rows.columns], rows.values)


def show_push(rows: Rows) -> None:
    """Print rows as they come, in columns as wide as their names or as usual values."""
    widths = [max(len(column.name), 14) for column in rows.columns]
    names = [column.name for column in rows.columns]
    for cells in (names, *(map(_cell, values) for values in rows.values)):
        line = "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        print(line.rstrip(), flush=True)


def show_json(rows: Iterable[Mapping[str, Any]]) -> None:
    """Print one JSON object per line, as rows come."""
    for row in rows:
        print(json.dumps(row, ensure_ascii=False), flush=True)


def show_reply(reply: Sequence[Mapping[str, Any]]) -> None:
    """Print the reply to SHOW, DESCRIBE or EXPLAIN: single values, then lists, as tables."""
    for entity in reply:
        body = entity.get("sourceDescription") or entity.get("queryDescription") or entity
        single = Table(show_header=False)
        for name, value in body.items():
            if isinstance(value, str | int | float) and value != "" and name not in NOISE:
                single.add_row(name, Text(_cell(value)))
        if single.rows:
            console().print(single)
        for name, value in body.items():
            if isinstance(value, dict):
                value = [{"name": key, "value": inner} for key, inner in value.items()]
            if isinstance(value, list) and value and isinstance(value[0], dict):
                rows = [_field(each) if name == "fields" else each for each in value]
                _print_list(name, rows)


def _print_list(title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    keys = dict.fromkeys(key for row in rows for key in row)
    names = [each for each in keys if each not in NOISE]
    # What a row is called comes first; of long texts (queries) the first line is enough.
    names.sort(key=lambda each: each not in ("id", "name"))
    cells = ([_cell(row.get(name)).partition("\n")[0] for name in names] for row in rows)
    _print_table(names, cells, title)


def _field(field: Mapping[str, Any]) -> Mapping[str, Any]:
    return {
        "name": field["name"],
        "type": type_text(field["schema"]),
        "key": "KEY" if field.get("type") == "KEY" else "",
    }


def _print_table(
    names: Sequence[str], rows: Iterable[Sequence[Any]], title: str | None = None
) -> None:
    table = Table(title=title, title_justify="left")
    for name in names:
        table.add_column(Text(name))
    for row in rows:
        table.add_row(*(Text(_cell(value), "dim" if value is None else "") for value in row))
    console().print(table)


def _cell(value: Any) -> str:
    if value is None:
        return "NULL"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _time(moment: int | None) -> str:
    if moment is None:
        return ""
    return datetime.fromtimestamp(moment / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
