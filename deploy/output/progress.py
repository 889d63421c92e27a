"""Progress on stderr: what the steps of a run have done, and what a server has read.

A run has one line on a terminal, which changes. In a pipe it has a line for each finished step.
"""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column

from opensea_metrics.deploy.migrations.run.progress import CatchUpProgress, StepProgress
from opensea_metrics.deploy.output.console import console, shown, time_text
from opensea_metrics.deploy.output.plain import one_line, say

if TYPE_CHECKING:  # loads the embedded server, which runs of migrations do not need
    from opensea_metrics.deploy.embedded.activity import Activity

EVERY = 10.0  # seconds between two lines on a query's progress, without a terminal


class Reporter(AbstractContextManager["Reporter"]):
    """Shows the progress of a run. With ``verbose``, a terminal also keeps one line for each finished step."""

    def __init__(self, verbose: bool = False) -> None:
        self._console = console(stderr=True)
        self._lists_steps = verbose or not self._console.is_terminal
        self._progress: Progress | None = None
        self._queries: dict[str, CatchUpProgress] = {}
        self._said: dict[str, float] = {}

    def __enter__(self) -> Reporter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def __call__(self, progress: StepProgress | CatchUpProgress) -> None:
        """Show the progress of one step, or of one query."""
        if isinstance(progress, CatchUpProgress):
            self._catch_up(progress)
        else:
            self._step(progress)

    def _step(self, step: StepProgress) -> None:
        self._queries.clear()
        if step.seconds is not None and self._lists_steps:
            line = f"V{step.version:03} {step.name}  {step.number}/{step.total}  {step.label}"
            self._print(f"{line}  {step.seconds:.1f} s")
        done = step.position - (step.seconds is None)
        self._show(f"V{step.version:03} {step.label}", done, step.count)

    def _catch_up(self, query: CatchUpProgress) -> None:
        if not self._console.is_terminal:
            self._say(query)
            return
        self._queries[query.query_id] = query
        queries = self._queries.values()
        behind = [query.query_id for query in queries if query.consumed < query.end or not query.end]
        activity = f"{len(behind)} of {len(queries)} queries catch up: {', '.join(behind)}"
        self._show(activity, sum(query.consumed for query in queries), sum(query.end for query in queries))

    def _show(self, activity: str, done: int, total: int) -> None:
        """Change the line. The first step starts it, because the terminal may show a question before."""
        if not self._console.is_terminal:
            return
        if self._progress is None:
            self._progress = Progress(
                BarColumn(bar_width=16),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn(
                    "{task.description}",
                    markup=False,
                    table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1),
                ),
                console=self._console,
                expand=True,
                transient=True,
            )
            self._progress.add_task("")
        (task,) = self._progress.task_ids
        self._progress.update(task, description=one_line(activity), completed=done, total=max(total, 1))
        self._progress.start()

    def _say(self, query: CatchUpProgress) -> None:
        done = query.end > 0 and query.consumed >= query.end
        now = time.monotonic()
        if done or now - self._said.get(query.query_id, -EVERY) >= EVERY:
            self._said[query.query_id] = now
            line = f"{query.query_id} catches up: {query.consumed} of {query.end} records"
            self._print(line)

    def _print(self, line: str) -> None:
        if self._console.is_terminal:
            self._console.print(shown(line))
        else:
            say(line, stderr=True)  # rich takes 0.5 ms for a line


class ServerStatusLine:
    """Text such as ``4,103 events/s · newest 2026-11-30 10:31:02 UTC · 0 records behind · disk …``.

    Rates cover the time since the previous line.
    """

    def __init__(self) -> None:
        self._before: tuple[float, int] | None = None

    def text(self, activity: Activity) -> str:
        """The line for the activity now."""
        now = time.monotonic()
        at, read = self._before or (now, activity.read)
        rate = (activity.read - read) / max(now - at, 1e-9)
        self._before = now, activity.read
        newest = f"newest {time_text(activity.newest)} UTC" if activity.newest is not None else "no event yet"
        return " · ".join(
            (
                f"{max(rate, 0):,.0f} events/s",
                newest,
                f"{activity.behind:,} behind",
                f"disk {activity.database / 1e6:,.0f} MB, {activity.free / 1e9:,.0f} GB free",
            )
        )
