"""The dashboard before a real ksqlDB at KSQLDB_URL, which has the packaged migrations."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.dashboard import windows
from tests.dashboard.conftest import OpenPage
from tests.dashboard.place import running_dashboard

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
from playwright.sync_api import expect

pytestmark = pytest.mark.skipif("KSQLDB_URL" not in os.environ, reason="KSQLDB_URL is not set")


@pytest.fixture(scope="module")
def client() -> KsqlClient:
    return KsqlClient(os.environ.get("KSQLDB_URL", ""))


@pytest.fixture(scope="module")
def dashboard(client: KsqlClient) -> Iterator[str]:
    with running_dashboard(client, variables={}) as url:
        yield url


def test_the_market_equals_a_pull_query(client: KsqlClient, dashboard: str, open_page: OpenPage) -> None:
    deployed = windows.deployed({table.name for table in client.tables()})
    if not deployed:
        pytest.skip("the server has no metrics: run opensea-metrics apply")
    window = deployed[-1]
    rows = client.pull(f"SELECT WS, SALES FROM {window.table('GLOBAL')};")
    if not rows:
        pytest.skip("the server has no events")
    newest = max(rows, key=lambda row: row["WS"])
    page = open_page(f"{dashboard}/?window={window.suffix}&at={newest['WS']}")
    expect(page.locator("#tile-sales .value")).to_have_text(f"{newest['SALES']:,}")
    sold = client.pull(f"SELECT COLLECTION FROM {window.table('COLLECTION')} WHERE WINDOWSTART = {newest['WS']};")
    expect(page.locator("#ranking-count")).to_have_text(f"{len(sold):,}")


def test_the_lineage_has_every_stream_and_table(client: KsqlClient, dashboard: str, open_page: OpenPage) -> None:
    page = open_page(f"{dashboard}/lineage")
    names = {source.name for source in (*client.streams(), *client.tables())}
    expect(page.locator("#graph a")).to_have_count(len(names), timeout=60_000)


def test_a_query_is_answered(dashboard: str, open_page: OpenPage) -> None:
    page = open_page(f"{dashboard}/ask")
    page.locator("#sql").fill("SHOW STREAMS;")
    page.locator("#run").click()
    expect(page.locator("#answer-rows tbody tr").first).to_be_visible(timeout=30_000)
