"""The command ``opensea-metrics``: options → plain functions → ``output``, and nothing else.

Exit codes:

- 0: done, or nothing to do
- 1: an error; stderr has one message
- 2: ``plan`` has pending changes, ``diff`` shows drift, ``reconcile`` shows differences, ``archive`` has findings
- 130: Ctrl-C
- 141: the reader of the output has closed it
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from typing import Annotated

import typer

from opensea_metrics.core.environment import may_be_set
from opensea_metrics.core.errors import OpenSeaMetricsError, os_error_text
from opensea_metrics.deploy.cli import verbs
from opensea_metrics.deploy.cli.help import as_written, with_one
from opensea_metrics.deploy.output.plain import say, write_any_character

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
        from importlib.metadata import version

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
    """Register a verb, or all of them if ``verb`` is None."""
    verbs.load(verb)
    as_written(app, "")
    for group in app.registered_groups:
        if group.typer_instance:
            as_written(group.typer_instance, f"{group.name} ")


def _app_for(arguments: Sequence[str], environment: Mapping[str, str]) -> typer.Typer:
    """The command with what a command line needs: one verb with its modules, or only the list of all verbs."""
    if "_OPENSEA_METRICS_COMPLETE" in environment:
        typed = environment.get("_TYPER_COMPLETE_ARGS", environment.get("COMP_WORDS", ""))
        arguments = typed.split()[1:]
    verb = next(iter(arguments), "")
    if verb in verbs.SUMMARIES:
        # Imported here, because these modules take longer to load than everything else that a list of verbs needs.
        from opensea_metrics.deploy.cli.logs import log_to_stderr
        from opensea_metrics.sql.language.project import templates
        from opensea_metrics.udfs import registry

        log_to_stderr()
        if verb in verbs.RENDERING:
            templates.begin()
        if may_be_set(registry.VARIABLE):
            from opensea_metrics.deploy.config import FunctionSettings

            # Set in the environment, because processes that the command starts need it too.
            if own := FunctionSettings().udfs:
                os.environ[registry.VARIABLE] = own
        _load(verb)
    return with_one(app, verb, verbs.SUMMARIES)


def main() -> None:
    """Run the command. Each expected error becomes one message on stderr and exit code 1."""
    write_any_character()
    code: int | str | None
    try:
        _app_for(sys.argv[1:], os.environ)(prog_name=app.info.name)
    except (ChangesPending, FaultsShown):
        code = 2
    except OpenSeaMetricsError as error:
        from opensea_metrics.deploy.output.excerpts import error_text

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
