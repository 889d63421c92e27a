"""The progress of long-running verbs on stderr, and the signals that stop them."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from opensea_metrics.deploy.cli.logs import log_to_stderr
from opensea_metrics.deploy.output.console import console, shown
from opensea_metrics.deploy.output.plain import say, visible


@contextmanager
def reporting() -> Iterator[Callable[[str], None]]:
    """Yields a function that shows a line on stderr. On a terminal each line replaces the one before."""
    screen = console(stderr=True)
    with ExitStack() as stack:
        if screen.is_terminal:
            status = stack.enter_context(screen.status("starting"))

            def show(line: str) -> None:
                status.update(shown(line))
        else:
            show = partial(say, stderr=True)
        log_to_stderr(logging.INFO)
        yield show


@contextmanager
def stopping() -> Iterator[Callable[[], bool]]:
    """Yields a function that says whether SIGTERM or Ctrl-C came. A second Ctrl-C stops at once."""
    came = False

    def note(number: int, _: object) -> None:
        nonlocal came
        came = True
        signal.signal(number, before[signal.Signals(number)])

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def bar(
    description: str, total: int | None = None, unit: str = "frames"
) -> Iterator[Callable[..., None]]:
    """Shows a progress bar if stderr is a terminal. Yields the function that moves it.

    That function takes how much is done, and optionally the number of ``unit`` to show. Without a
    ``total`` here, each call gives one.
    """
    screen = console(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False), BarColumn(), TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[count]:,} {task.fields[unit]}"), TimeElapsedColumn(),
    )  # fmt: skip
    with Progress(*columns, console=screen, disable=not screen.is_terminal) as bar:
        task = bar.add_task(visible(description), total=total, count=0, unit=unit)

        def update(done: int, count: int | None = None, total: int | None = None) -> None:
            count = done if count is None else count
            bar.update(task, completed=done, count=count, total=total)

        yield update
