"""The progress of long-running verbs on stderr, and the signals that stop them."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING

from opensea_metrics.deploy.cli.logs import log_to_stderr
from opensea_metrics.deploy.output.plain import is_pipe, say, visible

if TYPE_CHECKING:  # rich takes long to import, and a pipe does not need it
    from rich.status import Status


@contextmanager
def reporting(verbose: bool) -> Iterator[Callable[[str], None]]:
    """Yields a function that shows a line on stderr. On a terminal each line replaces the one before.

    The log shows all messages with ``verbose`` or in a pipe. Otherwise it shows warnings and errors only.
    """
    from opensea_metrics.deploy.output.console import console

    screen = console(stderr=True)
    with ExitStack() as stack:
        if screen.is_terminal:
            show = _changing(stack.enter_context(screen.status("starting")))
        else:
            show = partial(say, stderr=True)
        log_to_stderr(logging.INFO if verbose or not screen.is_terminal else logging.WARNING)
        yield show


@contextmanager
def watching(text: Callable[[], str | None]) -> Iterator[None]:
    """Shows a status line if stderr is a terminal, and updates it every second. None leaves the line unchanged."""
    from opensea_metrics.deploy.output.console import console

    screen = console(stderr=True)
    if not screen.is_terminal:
        yield
        return
    ended = threading.Event()
    with screen.status("starting") as status:
        show = _changing(status)

        def watch() -> None:
            while not ended.wait(1.0):
                if (line := text()) is not None:
                    show(line)

        thread = threading.Thread(target=watch, name="status line", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def _changing(status: Status) -> Callable[[str], None]:
    from opensea_metrics.deploy.output.console import shown

    def show(line: str) -> None:
        text = shown(line)
        text.truncate(status.console.width - 2, overflow="ellipsis")  # the spinner takes two characters
        status.update(text)

    return show


@contextmanager
def stopping() -> Iterator[Callable[[], bool]]:
    """Yields a function that returns True after SIGTERM or Ctrl-C. A second Ctrl-C stops at once."""
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
def ending_in_order() -> Iterator[None]:
    """SIGTERM ends the block as Ctrl-C does, so temporary files are deleted. The exit code is that of the signal."""

    def end(number: int, _: object) -> None:
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def bar(
    description: str, total: int | None = None, unit: str = "frames"
) -> Iterator[Callable[..., None]]:
    """Shows a progress bar if stderr is a terminal. Yields the function that advances the bar.

    That function takes how much is done, and optionally the number of ``unit`` to show. Without a
    ``total`` here, each call gives one.
    """
    if is_pipe(sys.stderr):
        yield lambda done, count=None, total=None: None
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from opensea_metrics.deploy.output.console import console

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
