"""The command ``opensea-metrics``: options → plain functions → ``output``, and nothing else.

Exit codes: 0 done, or nothing to do; 1 an error, told on stderr in one message; 2 (``plan``, ``diff``)
changes are pending, or the server has drifted, (``reconcile``) numbers differ, (``archive``) something
was found.
"""

from __future__ import annotations

import logging
import os
import sys
from inspect import cleandoc

import structlog
import typer

from deploy.cli import verbs
from deploy.config import FunctionSettings
from sql.errors import OpenSeaMetricsError
from udfs import registry


class ChangesPending(Exception):
    """Raised by ``plan``, ``diff`` and ``reconcile`` for exit code 2."""


class SomethingFound(Exception):
    """Raised for exit code 2 by verbs that look for what is wrong, and have shown it."""


app = typer.Typer(
    name="opensea-metrics",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _verbs() -> None:
    """Streaming metrics of the NFT market, defined in ksqlDB SQL."""
    # Without a function for the whole, typer takes a verb that is alone for the command itself.


def whole_app() -> typer.Typer:
    """The command with all its verbs."""
    _load(None)
    return app


def _load(verb: str | None) -> None:
    verbs.load(verb)
    for group in (app, *(each.typer_instance for each in app.registered_groups)):
        for command in group.registered_commands if group else ():
            # Lines are as long as those of the source; a terminal's are its own.
            paragraphs = cleandoc(command.callback.__doc__ or "").split("\n\n")
            command.help = "\n\n".join(each.replace("\n", " ") for each in paragraphs)


def log_to_stderr(level: int) -> None:
    """Log from ``level`` on to what is stderr when something is logged: a status line of rich stands
    in for it while it is shown."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )


def main() -> None:
    """Run the command; every foreseeable error becomes one message on stderr and exit code 1."""
    log_to_stderr(logging.WARNING)
    code: int | str | None
    try:
        # Through the environment, as processes that are started from here need to know it, too.
        if own := FunctionSettings().udfs:
            os.environ[registry.VARIABLE] = own
        _load(next(iter(sys.argv[1:]), None))
        app()
    except (ChangesPending, SomethingFound):
        code = 2
    except (OpenSeaMetricsError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        code = 1
    except SystemExit as error:
        # A mistyped option ends with 2, which here means that changes are pending.
        code = 1 if error.code == 2 else error.code
    sys.exit(code)
