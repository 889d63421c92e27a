"""The verb for the dashboard, and the dashboard that ``serve`` and ``demo`` start beside their server."""

from __future__ import annotations

import errno
import gc
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import typer

from opensea_metrics.deploy.cli import options, server_access, serving
from opensea_metrics.deploy.cli.app import app
from opensea_metrics.deploy.client import Access, KsqlClient
from opensea_metrics.deploy.config import DashboardSettings
from opensea_metrics.deploy.dashboard import server as web
from opensea_metrics.deploy.dashboard.options import DashboardOptions
from opensea_metrics.deploy.dashboard.tables import ServerTables
from opensea_metrics.deploy.embedded.rest.policy import Policy
from opensea_metrics.deploy.embedded.rest.web_server import LOOPBACK, PortInUse
from opensea_metrics.deploy.output.plain import say

_COLLECTED_OFTEN = (2_000, 10, 10)
"""Thresholds of Python's collector for a process that runs for days. Those of short commands would keep garbage."""

Results = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Show the results of recompute --to-parquet in this folder or bucket, instead of a server.",
    ),
]


@app.command()
def dashboard(
    server: options.Server = None,
    results: Results = None,
    sql: options.Sql = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=options.PORTS, help="Port to listen on. 0 picks a free one.")
    ] = web.PORT,
    allow_host: options.AllowHost = None,
    insecure: options.Insecure = False,
) -> None:
    """Show the market, its collections and the lineage as web pages, until Ctrl-C.

    It listens on this machine only. Another address needs credentials (a user and a password, or a token)
    and a certificate: set OPENSEA_METRICS_DASHBOARD_… in the environment or .env. With --insecure it starts
    without them.

    Example: opensea-metrics dashboard --server http://ksqldb:8088
    """
    if results is not None and server is not None:
        raise typer.BadParameter("give either --server or --results", param_hint="--results")
    settings = DashboardSettings()
    policy, warnings = serving.policy(settings, host, allow_host or (), insecure)
    for warning in warnings:
        say(f"warning: {warning}", stderr=True)
    if results is not None:
        from opensea_metrics.deploy.dashboard.results import ResultTables  # loads pyarrow

        tables = ResultTables(results)
        chosen = DashboardOptions(tables, tables.url, image_hosts=settings.image_hosts)
    else:
        chosen = of_server(server_access.client(server), settings, sql)
    gc.set_threshold(*_COLLECTED_OFTEN)
    web.serve(chosen, host, port, policy, lambda url: say(f"dashboard of {chosen.label} at {url}", stderr=True))


@contextmanager
def beside(url: str, policy: Policy, port: int | None) -> Iterator[str]:
    """Run the dashboard of an embedded server of this process, and yield its URL.

    ``policy`` is the embedded server's. If ``port`` is None, the dashboard takes 8089, or a free port if 8089 is in
    use. Raises PortInUse if a given port is in use.
    """
    settings = DashboardSettings()
    credentials = policy.credentials
    user, password, token = (None, None, None)
    if credentials is not None:
        user, password = credentials.user, credentials.password
        token = credentials.token if user is None else None
    pinned = policy.certificate.cert_file if policy.certificate else None
    access = Access(user, password, token, pinned_file=pinned)
    chosen = of_server(KsqlClient(url, access=access), settings, None)
    own_policy, _ = serving.policy(settings, LOOPBACK, (), False)
    with ExitStack() as stack:
        try:
            address = stack.enter_context(web.running(chosen, web.PORT if port is None else port, own_policy))
        except PortInUse as error:
            if port is not None or not _is_taken(error):
                raise
            address = stack.enter_context(web.running(chosen, 0, own_policy))
        yield address


def _is_taken(error: PortInUse) -> bool:
    return isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.EADDRINUSE


def of_server(client: KsqlClient, settings: DashboardSettings, root: Path | None) -> DashboardOptions:
    """The options for a server's dashboard.

    A setting switches the query box on or off. By default, the pages have a box if the server needs no credentials.
    """
    has_ask = settings.ask if settings.ask is not None else not client.access.has_credentials
    variables = options.variables(None)
    return DashboardOptions(ServerTables(client), client.url, has_ask, root, variables, settings.image_hosts)
