"""The terminal: consoles to print on, and the text of values."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from opensea_metrics.deploy.output.plain import CONTROL, end_of_pipe, visible

PIPED_WIDTH = 240  # characters: a pipe has no width, and rich would fold at 80


def shown(text: str, style: str = "") -> Text:
    """A text for a console, with visible control characters; it is not read as markup."""
    return Text(visible(text), style)


class _Console(Console):
    """A console that makes control characters visible. Columns with such characters may be cut."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            if segment.control is None and CONTROL.search(segment.text):
                yield Segment(visible(segment.text), segment.style)
            else:
                yield segment

    def on_broken_pipe(self) -> None:
        self.quiet = True
        end_of_pipe()


def console(stderr: bool = False) -> Console:
    """A new console on the current stdout or stderr, because tests and pipes replace these.

    It prints strings literally, not as markup. ``shown`` returns coloured texts.
    """
    screen = _Console(stderr=stderr, highlight=False, markup=False, emoji=False)
    if not screen.is_terminal:
        screen.width = PIPED_WIDTH
    return screen


def time_text(moment: int | None) -> str:
    """Epoch ms as a UTC time, or '' for None."""
    if moment is None:
        return ""
    return datetime.fromtimestamp(moment / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
