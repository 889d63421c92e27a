"""After the loss of a server, a dashboard or a connection, every row is on the page once, and is the newest."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from opensea_metrics.deploy import commands
from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.demo import wait_until_read
from opensea_metrics.deploy.embedded import server
from tests.dashboard.conftest import OpenPage
from tests.dashboard.events import MINUTE, START, RawTopic, sold
from tests.dashboard.place import SQL, running_dashboard

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
from playwright.sync_api import expect

WINDOWS = {"windows": "[{size: 1 MINUTE}]"}


def counts(client: KsqlClient) -> dict[str, int]:
    """The sales of each collection in the newest window, by a pull query."""
    rows = client.pull(f"SELECT COLLECTION, SALES FROM COLLECTION_1_MINUTE WHERE WINDOWSTART = {START};")
    return {row["COLLECTION"]: row["SALES"] for row in rows}


def shown(page: Any) -> list[tuple[str, int]]:
    rows = page.locator("#ranking tbody tr").all()
    return [(row.locator("th").inner_text(), int(row.locator("td").nth(5).inner_text())) for row in rows]


def expect_counts(page: Any, client: KsqlClient) -> None:
    """The page has the server's rows, each of them once."""
    wanted = counts(client)
    expect(page.locator("#tile-sales .value")).to_have_text(str(sum(wanted.values())))
    deadline = time.monotonic() + 30
    while sorted(shown(page)) != sorted(wanted.items()) and time.monotonic() < deadline:
        page.wait_for_timeout(50)
    assert sorted(shown(page)) == sorted(wanted.items())


def test_no_row_is_stale_or_doubled_after_a_loss(tmp_path: Path, open_page: OpenPage) -> None:
    topic = RawTopic(tmp_path)
    with ExitStack() as pages, ExitStack() as first:
        url = first.enter_context(server.running(tmp_path))
        client = KsqlClient(url)
        commands.apply(client, SQL, WINDOWS)
        topic.write([sold("otters", 10, START - MINUTE, 1), sold("otters", 10, START, 2), sold("tsuki", 5, START, 3)])
        wait_until_read(client, 60)
        dashboard = pages.enter_context(running_dashboard(client))
        page = open_page(f"{dashboard}/?window=1_MINUTE")
        expect_counts(page, client)
        expect(page.locator("#fresh")).to_have_attribute("data-state", "quiet")

        first.close()
        expect(page.locator("#fresh")).to_have_attribute("data-state", "lost")
        expect(page.locator("#fresh-text")).to_have_text("Lost connection to the server")
        topic.write([sold("tsuki", 5, START + 1, 4), sold("kobolds", 1, START + 2, 5)])
        port = urlsplit(url).port
        assert port
        again = pages.enter_context(server.running(tmp_path, port))
        assert again == url
        wait_until_read(client, 60)
        expect(page.locator("#fresh")).to_have_attribute("data-state", "quiet")
        assert counts(client) == {"otters": 1, "tsuki": 2, "kobolds": 1}
        expect_counts(page, client)

        page.context.set_offline(True)
        topic.write([sold("lanterns", 1, START + 3, 6)])
        wait_until_read(client, 60)
        page.context.set_offline(False)
        expect_counts(page, client)


def test_a_page_finds_its_dashboard_again(tmp_path: Path, open_page: OpenPage) -> None:
    with server.running(tmp_path) as url, ExitStack() as first:
        client = KsqlClient(url)
        commands.apply(client, SQL, WINDOWS, target=2)
        topic = RawTopic(tmp_path)
        topic.write([sold("otters", 10, START, 1)])
        wait_until_read(client, 60)
        dashboard = first.enter_context(running_dashboard(client))
        page = open_page(f"{dashboard}/?window=1_MINUTE")
        expect_counts(page, client)
        first.close()
        expect(page.locator("#fresh")).to_have_attribute("data-state", "lost")
        expect(page.locator("#fresh-text")).to_contain_text("Lost connection ·")
        topic.write([sold("otters", 10, START + 1, 2)])
        wait_until_read(client, 60)
        with running_dashboard(client, urlsplit(dashboard).port or 0):
            expect_counts(page, client)
            expect(page.locator("#fresh")).to_have_attribute("data-state", "quiet")


def test_a_hidden_page_has_no_connection(tmp_path: Path, open_page: OpenPage) -> None:
    """A browser has six connections to a server, so a seventh page would wait for ever."""
    with server.running(tmp_path) as url:
        client = KsqlClient(url)
        with running_dashboard(client) as dashboard:
            page = open_page(f"{dashboard}/ask")
            expect(page.locator("#fresh")).to_have_attribute("data-state", "live")
            hide = "Object.defineProperty(document, 'hidden', {value: %s, configurable: true});"
            event = "document.dispatchEvent(new Event('visibilitychange'));"
            page.evaluate("() => { window.opened = 0; const E = EventSource; window.EventSource = class extends E {"
                          " constructor(u) { super(u); window.opened += 1; window.last = this; } }; }")
            page.evaluate(f"() => {{ {hide % 'false'} {event} }}")
            assert page.evaluate("[window.opened, window.last.readyState < 2]") == [1, True]
            page.evaluate(f"() => {{ {hide % 'true'} {event} }}")
            assert page.evaluate("[window.opened, window.last.readyState]") == [1, 2]
