"""The command ``opensea-metrics``: options → plain functions → ``output``, and nothing else.

Exit codes:

- 0: done, or nothing to do
- 1: an error; stderr has one message
- 2: ``plan`` has pending changes, ``diff`` shows drift, ``reconcile`` shows differences, ``archive`` has findings
- 130: Ctrl-C
- 141: the reader of the output has closed it
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
from importlib.metadata import version
from typing import Annotated, Any

import structlog
import typer
from structlog.typing import EventDict

from opensea_metrics.core.errors import OpenSeaMetricsError, os_error_text
from opensea_metrics.deploy.cli import verbs
from opensea_metrics.deploy.cli.help import as_written
from opensea_metrics.deploy.config import FunctionSettings
from opensea_metrics.deploy.output.excerpts import error_text
from opensea_metrics.deploy.output.plain import one_line, say, visible, write_any_character
from opensea_metrics.udfs import registry

INTERRUPTED = 130  # the exit code that shells use for Ctrl-C


class ChangesPending(Exception):
    """Raised by ``plan``, ``diff`` and ``reconcile`` for exit code 2."""


class FaultsShown(Exception):
    """Raised for exit code 2 by verbs that have shown a fault."""


app = typer.Typer(
    name="opensea-metrics",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        say(f"opensea-metrics {version('opensea-metrics')}")
        raise typer.Exit


@app.callback()
def _verbs(
    _: Annotated[
        bool,
        typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_show_version),
    ] = False,
) -> None:
    """Streaming metrics of the NFT market, defined in ksqlDB SQL."""


def whole_app() -> typer.Typer:
    """The command with all its verbs."""
    _load(None)
    return app


def _load(verb: str | None) -> None:
    verbs.load(verb)
    for group in (app, *(group_info.typer_instance for group_info in app.registered_groups)):
        for command in group.registered_commands if group else ():
            as_written(command)


def _completed_words() -> list[str]:
    """The words after the command's name for which a shell asks for completions."""
    return os.environ.get("COMP_WORDS", "").split()[1:]


def log_to_stderr(level: int) -> None:
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


def main() -> None:
    """Run the command. Each expected error becomes one message on stderr and exit code 1."""
    write_any_character()
    log_to_stderr(logging.WARNING)
    code: int | str | None
    try:
        # Set in the environment, because processes that the command starts need it too.
        if own := FunctionSettings().udfs:
            os.environ[registry.VARIABLE] = own
        _load(next(iter(sys.argv[1:] or _completed_words()), None))
        app()
    except (ChangesPending, FaultsShown):
        code = 2
    except OpenSeaMetricsError as error:
        say(f"error: {error_text(error)}", stderr=True)
        code = 1
    except OSError as error:
        say(f"error: {os_error_text(error)}", stderr=True)
        code = 1
    except SystemExit as error:
        # typer exits with 2 after a mistyped option, but here 2 means that changes are pending.
        code = 1 if error.code == 2 else error.code
    except KeyboardInterrupt:
        code = INTERRUPTED
    except Exception:
        say(traceback.format_exc().rstrip(), stderr=True)
        say("error: this is a fault of opensea-metrics. Please report it with the lines above.", stderr=True)
        code = 1
    sys.exit(code)
