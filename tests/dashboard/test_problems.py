"""A server without metrics: the page says what is missing and what to do, and starts by itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from opensea_metrics.deploy import commands
from opensea_metrics.deploy.client import KsqlClient
from tests.dashboard.conftest import OpenPage
from tests.dashboard.events import START, sold
from tests.dashboard.place import SQL, running_dashboard, running_place

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
from playwright.sync_api import expect

WINDOWS = {"windows": "[{size: 1 MINUTE}]"}


def test_an_empty_server_says_what_is_missing_and_begins_by_itself(tmp_path: Path, open_page: OpenPage) -> None:
    with running_place(tmp_path, has_migrations=False) as place:
        page = open_page(place.url)
        expect(page.locator("#notice")).to_contain_text("The server runs, but it has no metrics yet")
        expect(page.locator("#notice")).to_contain_text("V002, V003, V005")
        expect(page.locator("#notice pre")).to_contain_text("opensea-metrics apply")
        expect(page.locator("#fresh-text")).to_have_text("Connected")  # nobody knows of events without a market
        lineage = open_page(f"{place.url}/lineage")
        expect(lineage.locator("#migrations-said")).to_contain_text("5 pending")
        commands.apply(place.client, SQL, WINDOWS, target=2)
        expect(page.locator("#notice")).to_be_hidden(timeout=15_000)
        expect(page.locator("#windows input")).to_have_count(1)
        place.topic.write([sold("otters", 10, START, 1)])
        expect(page.locator("#tile-sales .value")).to_have_text("1")
        expect(page.locator("#tile-mints")).to_be_hidden()  # V005 is not applied
        expect(page.locator("#missing")).to_contain_text("TRADING_1_MINUTE")


def test_a_server_that_does_not_answer_looks_lost(tmp_path: Path, open_page: OpenPage) -> None:
    with running_dashboard(KsqlClient("http://127.0.0.1:9", wait=0.01)) as url:
        page = open_page(url)
        expect(page.locator("#fresh")).to_have_attribute("data-state", "lost")
        expect(page.locator("#notice")).to_contain_text("The server does not answer")
        expect(page.locator("#notice")).to_contain_text("no ksqlDB server answers at http://127.0.0.1:9")
