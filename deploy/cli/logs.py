"""Messages of the program and of libraries on stderr."""

from __future__ import annotations

import logging
import os
import sys
from typing import Any

import structlog
from structlog.typing import EventDict

from opensea_metrics.deploy.output.plain import one_line, visible


def log_to_stderr(level: int = logging.WARNING) -> None:
    """Log messages of ``level`` and above on stderr.

    stderr is looked up for each message, because rich replaces it while a status line is shown.
    Tracebacks show no local variables, because those may hold secrets.
    """
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper("%Y-%m-%d %H:%M:%S", utc=False),
            structlog.processors.format_exc_info,
            _without_control,
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty() and not os.environ.get("NO_COLOR"),
                exception_formatter=structlog.dev.plain_traceback,
            ),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )
    if logging.lastResort is not None:  # it formats the messages of libraries
        logging.lastResort.setFormatter(_LibraryFormatter())


def _without_control(_: Any, __: str, event: EventDict) -> EventDict:
    return {
        name: (visible if name == "exception" else one_line)(value) if isinstance(value, str) else value
        for name, value in event.items()
    }


class _LibraryFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record))
