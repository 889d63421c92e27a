"""A dashboard before an embedded server with the packaged migrations and few windows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opensea_metrics.deploy import commands
from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.dashboard import server as web
from opensea_metrics.deploy.dashboard.options import DashboardOptions
from opensea_metrics.deploy.dashboard.tables import ServerTables
from opensea_metrics.deploy.demo import wait_until_read
from opensea_metrics.deploy.embedded import server
from tests.dashboard.events import RawTopic

WINDOWS = {"windows": "[{size: 1 MINUTE}, {size: 5 MINUTES}]"}
SQL = Path("sql")


@dataclass
class DashboardPlace:
    """``url`` is the dashboard's, ``client`` a client of its server, ``topic`` the server's raw events."""

    url: str
    client: KsqlClient
    topic: RawTopic

    def wait_until_read(self) -> None:
        """Return when all queries have read the topic."""
        wait_until_read(self.client, 60)

    def pull(self, sql: str) -> list[dict[str, Any]]:
        """The rows of a pull query."""
        return self.client.pull(sql)


@contextmanager
def running_place(data: Path, has_migrations: bool = True, **options: Any) -> Iterator[DashboardPlace]:
    """Run a server and a dashboard in this process."""
    with server.running(data) as url:
        client = KsqlClient(url)
        if has_migrations:
            commands.apply(client, SQL, WINDOWS)
        with running_dashboard(client, **options) as dashboard:
            yield DashboardPlace(dashboard, client, RawTopic(data))


@contextmanager
def running_dashboard(client: KsqlClient, port: int = 0, **options: Any) -> Iterator[str]:
    """Run a dashboard of a server in this process."""
    chosen = {"has_ask": True, "root": SQL, "variables": WINDOWS, **options}
    with web.running(DashboardOptions(ServerTables(client), client.url, **chosen), port) as url:
        yield url


