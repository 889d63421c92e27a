"""The pages in a real browser: what they show, live updates, pickers, links, keyboard, accessibility."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.dashboard.conftest import OpenPage
from tests.dashboard.events import MINUTE, START, sold, transferred
from tests.dashboard.place import DashboardPlace, running_place

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
from playwright.sync_api import expect

BEFORE = START - MINUTE
PAGES = ("/", "/collection?name=otters", "/lineage", "/ask")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DashboardPlace]:
    with running_place(tmp_path_factory.mktemp("data")) as running:
        running.topic.write(
            [
                sold("otters", 100, BEFORE, 1),
                sold("otters", 300, START, 2),
                sold("otters", 50, START + 1, 3),
                sold("tsuki", 500, START, 4, chain="base"),
                sold("kobolds", 20, BEFORE, 5),
                sold("kobolds", 10, START, 6),
                transferred("lanterns", START, 7),
            ]
        )
        running.wait_until_read()
        yield running


@pytest.fixture
def market(place: DashboardPlace, open_page: OpenPage) -> Any:
    return open_page(f"{place.url}/?window=1_MINUTE")


def names(page: Any) -> list[str]:
    return [cell.inner_text() for cell in page.locator("#ranking tbody th").all()]


def pick(page: Any, label: str) -> None:
    page.get_by_role("radio", name=label, exact=True).check()


def tile(page: Any, name: str) -> Any:
    return page.locator(f"#tile-{name} .value")


def test_market_shows_the_newest_window(market: Any) -> None:
    expect(tile(market, "usd")).to_have_text("$860.00")
    expect(tile(market, "sales")).to_have_text("4")
    expect(tile(market, "mints")).to_have_text("1")
    expect(market.locator("#tile-usd .sub")).to_contain_text("▲ 617 %")  # 860 after 120
    expect(market.locator("#window-line")).to_contain_text("2026-09-15 10:10:00 UTC")
    expect(market.locator("#ranking tbody tr")).to_have_count(4)
    assert names(market) == ["tsuki", "otters", "kobolds", "lanterns"]
    row = market.locator("#ranking tbody tr").nth(1).locator("td").all_inner_texts()
    assert row == ["2", "ethereum", "$350.00", "▲ 250 %", "0.175", "2", "▲ 100 %", "$50.00", "$175.00", "0"]


def test_the_default_window_is_the_longest(place: DashboardPlace, open_page: OpenPage) -> None:
    page = open_page(place.url)
    expect(page.locator("#windows input:checked")).to_have_attribute("value", "5_MINUTES")
    expect(page.locator("#chart-title")).to_have_text("Volume in windows of 5 min")


def test_every_window_and_chain_can_be_picked(market: Any) -> None:
    pick(market, "5 min")
    expect(market).to_have_url(re.compile("window=5_MINUTES"))
    expect(tile(market, "sales")).to_have_text("4")
    pick(market, "1 min")
    market.locator("#chain").select_option("base")
    expect(market).to_have_url(re.compile("chain=base"))
    expect(tile(market, "usd")).to_have_text("$500.00")
    expect(market.locator("#tile-transfers")).to_be_hidden()  # is not kept for a chain
    expect(market.locator("#ranking tbody tr")).to_have_count(1)
    market.go_back()
    expect(tile(market, "usd")).to_have_text("$860.00")
    expect(market.locator("#chain")).to_have_value("")


@pytest.mark.parametrize("label", ["1 h", "6 h", "24 h", "2 d", "All"])
def test_every_range_can_be_picked(market: Any, label: str) -> None:
    pick(market, label)
    expect(market.locator("#ranges input:checked + span")).to_have_text(label)
    expect(tile(market, "sales")).to_have_text("4")


def test_a_period_and_a_window_are_in_the_address(place: DashboardPlace, market: Any, open_page: OpenPage) -> None:
    market.locator("#period summary").click()
    market.locator("#from").fill("2026-09-15T10:09:00")
    market.locator("#period-set").click()
    expect(market.locator("#period-note")).to_have_text("Give both times.")
    market.locator("#to").fill("2026-09-15T10:10:00")
    market.locator("#period-set").click()
    expect(tile(market, "usd")).to_have_text("$120.00")
    expect(market.locator("#ranking tbody tr")).to_have_count(2)
    colleague = open_page(market.url)
    expect(tile(colleague, "usd")).to_have_text("$120.00")
    one = open_page(f"{place.url}/?window=1_MINUTE&at={BEFORE}")
    expect(tile(one, "usd")).to_have_text("$120.00")
    one.get_by_role("button", name="Back to the newest").click()
    expect(tile(one, "usd")).to_have_text("$860.00")


def test_collections_are_sorted_and_filtered(market: Any) -> None:
    market.get_by_role("button", name="Average").click()
    expect(market.locator("th[data-sort=average]")).to_have_attribute("aria-sort", "descending")
    market.get_by_role("button", name="Average").click()
    expect(market.locator("#ranking tbody th").first).to_have_text("kobolds")
    assert names(market) == ["kobolds", "otters", "tsuki", "lanterns"]  # without a price last
    market.locator("#find").fill("OTT")
    expect(market.locator("#ranking tbody tr")).to_have_count(1)
    expect(market).to_have_url(re.compile("sort=average&order=asc&find=OTT"))
    market.locator("#find").fill("nothing like it")
    expect(market.locator("#ranking .empty")).to_contain_text("No collection fits")


def test_csv_has_all_rows_exactly(market: Any) -> None:
    expect(market.locator("#ranking tbody tr")).to_have_count(4)
    with market.expect_download() as download:
        market.locator("#csv").click()
    lines = download.value.path().read_text().splitlines()
    assert download.value.suggested_filename == "collections_1_minute.csv"
    assert lines[0] == "name,chain,usd,usd_change,eth,sales,sales_change,floor,average,transfers"
    assert lines[2].startswith("otters,ethereum,350.0,2.5,0.175,2,1.0,50.0,175.0,0")


def test_a_collection_has_prices_assets_and_links(place: DashboardPlace, market: Any) -> None:
    market.get_by_role("link", name="otters").click()
    expect(market.locator("h1")).to_have_text("otters")
    expect(tile(market, "floor")).to_have_text("$50.00")
    expect(market.locator("#tile-floor h2")).to_have_text("Floor sold")
    expect(tile(market, "average")).to_have_text("$175.00")
    expect(tile(market, "wash")).to_have_text("0 %")
    expect(market.locator("#by-volume tbody tr")).to_have_count(2)
    link = market.locator("#by-volume a").first
    expect(link).to_have_text("Item 2")
    expect(link).to_have_attribute("href", "https://opensea.io/assets/2")
    expect(link).to_have_attribute("rel", re.compile("noreferrer"))
    expect(market.locator("img")).to_have_count(0)
    market.get_by_text("The same as numbers").first.click()
    expect(market.locator("#prices-numbers tbody tr")).to_have_count(2)
    expect(market.locator("#prices-numbers tbody tr").first).to_contain_text("2026-09-15 10:10:00$50.00")


def test_an_unknown_collection_says_what_to_do(place: DashboardPlace, open_page: OpenPage) -> None:
    page = open_page(f"{place.url}/collection?name=no-such-thing")
    expect(page.locator("#notice")).to_contain_text("Nothing is known about this collection")
    expect(page.locator("#shown")).to_be_hidden()


def test_a_window_that_is_not_deployed_says_what_to_do(place: DashboardPlace, open_page: OpenPage) -> None:
    page = open_page(f"{place.url}/?window=1_HOUR")
    expect(page.locator("#notice")).to_contain_text("There is no window of 1 h on this server")
    expect(page.locator("#notice")).to_contain_text("windows of 1 min, 5 min")
    pick(page, "1 min")
    expect(tile(page, "sales")).to_have_text("4")


def test_a_bad_address_says_what_is_wrong(place: DashboardPlace, open_page: OpenPage) -> None:
    page = open_page(f"{place.url}/?range=forever")
    expect(page.locator("#notice")).to_contain_text("range='forever' is not one of")


def test_lineage_shows_states_sql_migrations_and_the_log(place: DashboardPlace, open_page: OpenPage) -> None:
    page = open_page(f"{place.url}/lineage?find=1_MINUTE")
    node = page.get_by_role("link", name="COLLECTION_1_MINUTE, table, running, 0 records behind")
    expect(node).to_be_visible()
    node.click()
    expect(page.locator("#detail")).to_contain_text("CREATE TABLE collection_1_MINUTE")
    expect(page.locator("#detail .state")).to_have_text("RUNNING")
    expect(page).to_have_url(re.compile("name=COLLECTION_1_MINUTE"))
    edges = place.client.describe("EVENTS").read_queries
    assert any("COLLECTION_1_MINUTE" in query.sinks for query in edges)
    expect(page.locator('#graph path[data-from="EVENTS"][data-to="COLLECTION_1_MINUTE"]')).to_have_count(1)
    expect(page.locator("#migrations-said")).to_have_text("all applied, no drift")
    expect(page.locator("#log")).to_contain_text("No record has failed.")


def test_ask_answers_with_a_table_a_chart_and_csv(place: DashboardPlace, open_page: OpenPage) -> None:
    page = open_page(f"{place.url}/ask")
    page.locator("#sql").fill("SELECT WINDOWSTART, SALES, USD_VOLUME FROM GLOBAL_1_MINUTE;")
    page.locator("#sql").press("Control+Enter")
    expect(page.locator("#answer-rows tbody tr")).to_have_count(2)
    expect(page.locator("#answer-rows tbody tr").last).to_have_text("2026-09-15 10:10:004860.00")
    expect(page.locator("#answer-chart canvas")).to_be_visible()
    with page.expect_download() as download:
        page.locator("#answer-csv").click()
    assert download.value.path().read_text().splitlines()[-1] == f"{START},4,860"
    page.locator("#sql").fill("SELECT * FROM NOTHING;")
    page.locator("#run").click()
    expect(page.locator("#answer-error")).to_contain_text("NOTHING")
    page.reload()
    page.locator("#past").select_option(index=1)
    expect(page.locator("#sql")).to_have_value(re.compile("GLOBAL_1_MINUTE"))


def test_ask_sorts_and_groups_what_the_server_cannot(place: DashboardPlace, open_page: OpenPage) -> None:
    page = open_page(f"{place.url}/ask")
    page.locator("#sql").fill(
        "SELECT COLLECTION, SUM(SALES) AS N FROM COLLECTION_1_MINUTE GROUP BY COLLECTION ORDER BY N DESC, COLLECTION;"
    )
    page.locator("#run").click()
    expect(page.locator("#answer-rows tbody tr")).to_have_text(["otters3", "kobolds2", "tsuki1", "lanterns0"])
    expect(page.locator("#answer-said")).to_contain_text("grouped and sorted here, 6 rows pulled")


@pytest.mark.parametrize("sql", ["DROP TABLE GLOBAL_1_MINUTE;", "SHOW TABLES; DROP TABLE GLOBAL_1_MINUTE;"])
def test_ask_only_reads(place: DashboardPlace, open_page: OpenPage, sql: str) -> None:
    page = open_page(f"{place.url}/ask")
    page.locator("#sql").fill(sql)
    page.locator("#run").click()
    expect(page.locator("#answer-error")).not_to_be_empty()
    assert "GLOBAL_1_MINUTE" in {table.name for table in place.client.tables()}


def test_the_keyboard_alone_reaches_everything(market: Any) -> None:
    expect(market.locator("#ranking tbody tr")).to_have_count(4)
    reached = []
    for _ in range(60):
        market.keyboard.press("Tab")
        reached.append(market.evaluate("document.activeElement.id || document.activeElement.textContent.trim()"))
        if reached[-1] == "otters":
            break
    assert {"Skip to the content", "Lineage", "chain", "find", "csv", "Average", "otters"} <= set(reached)
    market.keyboard.press("Enter")
    expect(market.locator("h1")).to_have_text("otters")


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("path", PAGES)
def test_axe_has_no_finding(place: DashboardPlace, open_page: OpenPage, path: str, width: int) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    for scheme in ("light", "dark"):
        page = open_page(f"{place.url}{path}", viewport={"width": width, "height": 900}, color_scheme=scheme)
        expect(page.locator("#ranking tbody th, #graph a, #examples li, #by-volume tbody th").first).to_be_visible()
        found = axe.Axe().run(page).response["violations"]
        assert [(v["id"], [n["html"][:200] for n in v["nodes"]]) for v in found] == []


@pytest.mark.parametrize("width", [390, 768, 1280, 2560])
@pytest.mark.parametrize("path", PAGES)
def test_no_page_is_wider_than_the_screen(place: DashboardPlace, open_page: OpenPage, path: str, width: int) -> None:
    page = open_page(f"{place.url}{path}", viewport={"width": width, "height": 900})
    expect(page.locator("#fresh")).not_to_have_attribute("data-state", "waiting")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_nothing_moves_for_those_who_want_that(place: DashboardPlace, open_page: OpenPage) -> None:
    page = open_page(f"{place.url}/?window=1_MINUTE", reduced_motion="reduce")
    expect(tile(page, "sales")).to_have_text("4")
    moving = "[...document.querySelectorAll('*')].filter(e => getComputedStyle(e).animationName !== 'none' ||"
    assert page.evaluate(f"{moving} getComputedStyle(e).transitionDuration !== '0s').length") == 0


def test_a_new_row_is_on_the_page_within_a_second(place: DashboardPlace, market: Any) -> None:
    """Last, because it changes the market. The second begins with the server's own row.

    The best of three rows counts, because a busy machine may hold up any of them.
    """
    expect(tile(market, "sales")).to_have_text("4")
    delays = [_delay(place, market, number) for number in (5, 6, 7)]
    assert min(delays) < 1000, delays


def _delay(place: DashboardPlace, market: Any, sales: int) -> float:
    """Milliseconds from a new row on the server until the page has it, in the tile and in the ranking."""
    slug = f"quokkas-{sales}"
    market.evaluate(
        """([sales, slug]) => {
          window.seen = {};
          const note = (name, selector, text) => {
            const timer = setInterval(() => {
              if (!document.querySelector(selector)?.textContent.includes(text)) return;
              window.seen[name] = Date.now();
              clearInterval(timer);
            }, 10);
          };
          note('tile', '#tile-sales .value', String(sales));
          note('row', '#ranking tbody', slug);
        }""",
        [sales, slug],
    )
    place.topic.write([sold(slug, 9000 + sales, START + sales, sales + 100)])
    query = f"SELECT SALES FROM COLLECTION_1_MINUTE WHERE COLLECTION = '{slug}' AND WINDOWSTART = {START};"
    while not place.pull(query):
        time.sleep(0.01)
    on_server = time.time() * 1000
    expect(tile(market, "sales")).to_have_text(str(sales))
    expect(market.locator("#ranking tbody th").first).to_have_text(slug)
    return float(max(market.evaluate("window.seen").values())) - on_server
