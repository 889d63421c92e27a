"""Names that come from strangers change nothing but their own text, in every place where a name is shown."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any
from urllib.parse import quote

import pytest

from tests.dashboard.conftest import OpenPage
from tests.dashboard.events import START, sold
from tests.dashboard.place import DashboardPlace, running_dashboard, running_place

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
from playwright.sync_api import expect

NAMES = {
    "markup": "<img src=x onerror=document.title='broken'>",
    "script": "</script><script>document.title='broken'</script>",
    "template": "{{ 7 * 7 }}${document.title='broken'}",
    "quotes": "\"' onmouseover='document.title=1' x=\"",
    "right to left": "abc\u202egpj.exe\u2066",
    "controls": "a\x00b\x1b[31mc\r\nevent: status\ndata: {}\n\n",
    "long": "W" * 10_000,
    "long without spaces, wide": "月" * 10_000,
    "like a number": "1e999",
    "path": "../../static/../etc/passwd?x=1#y",
    "formula": "=cmd|' /C calc'!A0",
}
URLS = {
    "javascript:document.title='broken'": None,
    "data:text/html,<script>1</script>": None,
    "http://opensea.io/1": None,
    "//evil.example/1": None,
    "https://opensea.io/assets/1": "https://opensea.io/assets/1",
    "https://user:secret@evil.example/": None,
    "https://opensea.io/\\evil": None,
    "https://ev\nil.example/": None,
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DashboardPlace]:
    with running_place(tmp_path_factory.mktemp("data"), image_hosts=("127.0.0.1", "img.example")) as running:
        events = [
            sold(name, 100 + number, START, number, asset={"name": name, "image": "https://img.example/1.png"})
            for number, name in enumerate(NAMES.values())
        ]
        events += [
            sold("links", 1000 + number, START, 100 + number, asset={"name": url, "url": url})
            for number, url in enumerate(URLS)
        ]
        pictures = ["https://img.example/1.svg", "https://other.example/1.png", "http://img.example/1.png"]
        events += [
            sold("pictures", 2000 + number, START, 200 + number, asset={"name": image, "image": image})
            for number, image in enumerate(pictures)
        ]
        running.topic.write(events)
        running.wait_until_read()
        yield running


@pytest.fixture
def open_here(open_page: OpenPage) -> OpenPage:
    """Opens pages that may ask the host of pictures."""
    return partial(open_page, allowed=("img.example",))


def is_untouched(page: Any) -> bool:
    """Whether the page has only elements of its own."""
    script = "!document.querySelector('main img[src=x], main script, main [onerror], main [onmouseover]')"
    return page.title() != "broken" and bool(page.evaluate(script))


def test_every_name_is_a_text_in_the_ranking(place: DashboardPlace, open_here: OpenPage) -> None:
    page = open_here(f"{place.url}/?window=1_MINUTE&rows=100", viewport={"width": 390, "height": 800})
    expect(page.locator("#ranking tbody tr")).to_have_count(len(NAMES) + 2)
    shown = page.locator("#ranking tbody th").all_inner_texts()
    assert "<img src=x onerror=document.title='broken'>" in shown
    assert "abc\\u202egpj.exe\\u2066" in shown
    assert any(text.startswith("a\\u0000b\\u001b[31mc") for text in shown)
    assert is_untouched(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert all(box["height"] < 60 for row in page.locator("#ranking tbody tr").all() if (box := row.bounding_box()))


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_every_name_has_a_page(place: DashboardPlace, open_here: OpenPage, name: str) -> None:
    page = open_here(f"{place.url}/collection?window=1_MINUTE&name={quote(name, safe='')}")
    expect(page.locator("#tile-sales .value")).to_have_text("1")
    expect(page.locator("#by-volume tbody tr")).to_have_count(1)
    assert is_untouched(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280


def test_links_are_https_only(place: DashboardPlace, open_here: OpenPage) -> None:
    page = open_here(f"{place.url}/collection?window=1_MINUTE&name=links")
    expect(page.locator("#by-volume tbody tr")).to_have_count(len(URLS))
    links = page.locator("#by-volume a").all()
    assert [link.get_attribute("href") for link in links] == [url for url in URLS.values() if url]
    assert all("noreferrer" in (link.get_attribute("rel") or "") for link in links)
    assert is_untouched(page)


def test_pictures_come_from_named_hosts_only(place: DashboardPlace, open_here: OpenPage) -> None:
    page = open_here(f"{place.url}/collection?window=1_MINUTE&name=formula")
    page.goto(f"{place.url}/collection?window=1_MINUTE&name={quote(NAMES['formula'])}")
    expect(page.locator("#by-volume img")).to_have_attribute("src", "https://img.example/1.png")
    page.goto(f"{place.url}/collection?window=1_MINUTE&name=pictures")
    expect(page.locator("#by-volume tbody tr")).to_have_count(3)
    assert page.locator("#by-volume img").count() == 0


def test_without_a_setting_no_page_has_pictures(place: DashboardPlace, open_page: OpenPage) -> None:
    with running_dashboard(place.client) as url:
        page = open_page(f"{url}/collection?window=1_MINUTE&name={quote(NAMES['formula'])}")
        expect(page.locator("#by-volume tbody tr")).to_have_count(1)
        assert page.locator("img").count() == 0


def test_ask_shows_names_as_texts(place: DashboardPlace, open_here: OpenPage) -> None:
    page = open_here(f"{place.url}/ask")
    page.locator("#sql").fill("SELECT COLLECTION, SALES FROM COLLECTION_1_MINUTE;")
    page.locator("#run").click()
    expect(page.locator("#answer-rows tbody tr")).to_have_count(len(NAMES) + 2)
    assert is_untouched(page)
    with page.expect_download() as download:
        page.locator("#answer-csv").click()
    assert "'=cmd|' /C calc'!A0,1" in download.value.path().read_text().splitlines()


def test_lineage_shows_names_as_texts(place: DashboardPlace, open_here: OpenPage) -> None:
    name = "<img src=x onerror=document.title='broken'>\u202e"
    place.client.execute(f"CREATE STREAM odd (`{name}` INT) WITH (KAFKA_TOPIC='t', VALUE_FORMAT='JSON', PARTITIONS=1);")
    page = open_here(f"{place.url}/lineage?find=odd&name=ODD")
    expect(page.locator("#detail .columns")).to_have_text("<img src=x onerror=document.title='broken'>\\u202e INTEGER")
    assert is_untouched(page)
