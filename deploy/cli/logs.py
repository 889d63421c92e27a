"""Messages of the program and of libraries on stderr."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any

from opensea_metrics.deploy.output.plain import one_line, visible

if TYPE_CHECKING:
    from structlog.typing import EventDict

_LIBRARY = "structlog"


def log_to_stderr(level: int = logging.WARNING) -> None:
    """Log messages of ``level`` and above on stderr.

    stderr is looked up for each message, because rich replaces it while a status line is shown.
    Tracebacks show no local variables, because those may hold secrets. structlog takes as long to import as DuckDB, and
    many commands have nothing that logs. So it is configured when a module imports it.
    """
    if logging.lastResort is not None:  # it formats the messages of libraries
        logging.lastResort.setFormatter(_LibraryFormatter())
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, _Configuring)]
    if _LIBRARY in sys.modules:
        _configure(level)
    else:
        sys.meta_path.insert(0, _Configuring(level))


class _Configuring(MetaPathFinder, Loader):
    """Imports structlog, and then configures it."""

    def __init__(self, level: int) -> None:
        self._level = level
        self._loader: Loader | None = None

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != _LIBRARY or self._loader is not None:
            return None
        self._loader = self  # find_spec asks this finder again
        spec = find_spec(fullname)
        if spec is not None:
            self._loader, spec.loader = spec.loader, self
        return spec

    def exec_module(self, module: ModuleType) -> None:
        assert self._loader is not None
        self._loader.exec_module(module)
        _configure(self._level)


def _configure(level: int) -> None:
    import structlog

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


def _without_control(_: Any, __: str, event: EventDict) -> EventDict:
    return {
        name: (visible if name == "exception" else one_line)(value) if isinstance(value, str) else value
        for name, value in event.items()
    }


class _LibraryFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record))
