"""The verbs for the embedded server."""

from __future__ import annotations

import tempfile
import threading
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path
from typing import Annotated

import duckdb
import typer

from opensea_metrics.deploy.cli import options, progress, serving
from opensea_metrics.deploy.cli.app import app
from opensea_metrics.deploy.config import ServeSettings, Settings
from opensea_metrics.deploy.demo import run as run_demo
from opensea_metrics.deploy.embedded import server as embedded
from opensea_metrics.deploy.embedded.activity import activity
from opensea_metrics.deploy.embedded.engine import Engine
from opensea_metrics.deploy.embedded.rest.policy import Policy
from opensea_metrics.deploy.migrations.record.store import RECORD_NAMES
from opensea_metrics.deploy.output.plain import say
from opensea_metrics.deploy.output.progress import ServerStatusLine
from opensea_metrics.spark_batch.period import duration


@app.command()
def demo(
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the server running until Ctrl-C, and show what to try.")
    ] = False,
    port: Annotated[
        int, typer.Option(min=0, max=options.PORTS, help="Port on loopback. 0 picks a free one.")
    ] = 0,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Where to keep the data.", show_default="a temporary folder"
        ),
    ] = None,
) -> None:
    """Run everything on sample events, with the embedded server, and show metrics.

    Example: opensea-metrics demo --keep --port 8088
    """
    with tempfile.TemporaryDirectory(prefix="opensea-metrics-") as temporary:
        run_demo(data_dir or Path(temporary), port, _hold if keep else None)


def _hold(url: str) -> None:
    # Imported here, because "demo" without --keep needs no dashboard.
    from opensea_metrics.deploy.cli.dashboard import beside

    with beside(url, Policy(), None) as pages, suppress(KeyboardInterrupt):
        say(f"The dashboard is at {pages}. The server runs until Ctrl-C.")
        threading.Event().wait()


@app.command()
def serve(
    data_dir: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The data directory.", show_default="./.opensea-metrics"),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=options.PORTS, help="Port to listen on. 0 picks a free one.")
    ] = 8088,
    allow_host: options.AllowHost = None,
    insecure: options.Insecure = False,
    dashboard_port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=options.PORTS,
            help="Port of the dashboard, on loopback.",
            show_default="8089, or a free one if 8089 is in use",
        ),
    ] = None,
    with_dashboard: Annotated[
        bool, typer.Option("--dashboard/--no-dashboard", help="Also serve web pages of the metrics.")
    ] = True,
    delete_read_files_after: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION",
            help="Delete a topic's files this long after their last change, if all queries have read them.",
            show_default="never",
        ),
    ] = None,
) -> None:
    """Run the embedded server until Ctrl-C; topics are the folders DIR/topics/<topic>.

    It listens on this machine only. Another address needs credentials (a user and a password, or a token)
    and a certificate: set OPENSEA_METRICS_SERVE_… in the environment or .env. With --insecure it starts
    without them.

    Example: opensea-metrics serve --data-dir /var/lib/opensea-metrics
    """
    directory = data_dir or Settings().data_dir
    policy, warnings = serving.policy(ServeSettings(), host, allow_host or (), insecure)
    for warning in warnings:
        say(f"warning: {warning}", stderr=True)

    with ExitStack() as stack:

        def ready(url: str) -> None:
            say(f"serving on {url}, data in {directory}", stderr=True)
            if with_dashboard:
                from opensea_metrics.deploy.cli.dashboard import beside

                local = beside(_reachable(url), policy, dashboard_port)
                say(f"dashboard at {stack.enter_context(local)}", stderr=True)

        age = None if delete_read_files_after is None else duration(delete_read_files_after)
        embedded.serve(
            directory, host, port, policy, ready, age, lambda text: say(f"disk: {text}", stderr=True), _status_line
        )


def _reachable(url: str) -> str:
    """The URL of a server of this machine, which may listen on all addresses."""
    return url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")


def _status_line(engine: Engine) -> AbstractContextManager[object]:
    line = ServerStatusLine()

    def text() -> str | None:
        with suppress(duckdb.Error, OSError):  # /healthcheck and the log report them
            return line.text(activity(engine, RECORD_NAMES))
        return None

    return progress.watching(text)
