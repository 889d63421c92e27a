"""Progress on stderr: on a terminal one line that changes, in a pipe a line for each finished step."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from types import TracebackType

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column

from opensea_metrics.deploy.migrations.run.progress import CatchUpProgress, StepProgress
from opensea_metrics.deploy.output.console import console, shown
from opensea_metrics.deploy.output.plain import one_line

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
            self._console.print(shown(f"{line}  {step.seconds:.1f} s"))
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
        """Change the line. It begins with the first step, because a question may come before it on the terminal."""
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
            self._console.print(shown(line))
