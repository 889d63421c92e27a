"""Progress on stderr: finished steps, a spinner for the current step, a bar per query."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from types import TracebackType

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.status import Status

from opensea_metrics.deploy.migrations.run.progress import CatchUpProgress, StepProgress
from opensea_metrics.deploy.output.console import console, shown
from opensea_metrics.deploy.output.plain import visible

EVERY = 10.0  # seconds between two lines on a query's progress, without a terminal


class Reporter(AbstractContextManager["Reporter"]):
    """Shows the progress of a run."""

    def __init__(self) -> None:
        self._console = console(stderr=True)
        self._status: Status | None = None
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._said: dict[str, float] = {}
        self._started = time.monotonic()

    def __enter__(self) -> Reporter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def __call__(self, progress: StepProgress | CatchUpProgress) -> None:
        """Show the progress of one step, or of one query."""
        if isinstance(progress, CatchUpProgress):
            self._catching(progress)
            return
        line = f"V{progress.version:03} {progress.name}  {progress.number}/{progress.total}  {progress.label}"
        if progress.seconds is not None:
            self._console.print(shown(f"{line}  {progress.seconds:.1f} s"))
        elif self._console.is_terminal:
            elapsed = time.monotonic() - self._started
            self._spin(f"{line}  (since the start: {elapsed:.0f} s)")

    def _spin(self, text: str) -> None:
        # Started with the first step, because a question may come before it on the same terminal.
        if self._bars is not None:
            self._stop()
        if self._status is None:
            self._status = self._console.status(shown(text))
            self._status.start()
        else:
            self._status.update(shown(text))

    def _catching(self, progress: CatchUpProgress) -> None:
        if not self._console.is_terminal:
            self._say(progress)
            return
        if self._bars is None:
            self._stop()
            columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
            self._bars = Progress(*columns, console=self._console)
            self._bars.start()
        if progress.query_id not in self._tasks:
            self._tasks[progress.query_id] = self._bars.add_task(visible(f"{progress.query_id} catches up"))
        task = self._tasks[progress.query_id]
        self._bars.update(task, completed=progress.consumed, total=max(progress.end, 1))

    def _say(self, progress: CatchUpProgress) -> None:
        done = progress.end > 0 and progress.consumed >= progress.end
        now = time.monotonic()
        if done or now - self._said.get(progress.query_id, -EVERY) >= EVERY:
            self._said[progress.query_id] = now
            line = f"{progress.query_id} catches up: {progress.consumed} of {progress.end} records"
            self._console.print(shown(line))

    def _stop(self) -> None:
        if self._status is not None:
            self._status.stop()
        if self._bars is not None:
            self._bars.stop()
        self._status = self._bars = None
        self._tasks = {}
