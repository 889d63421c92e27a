"""A browser for the tests of pages. They are skipped if it is missing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

CHROMIUM = Path("/usr/bin/chromium")
WAIT = 30_000
"""Milliseconds until a page must have what a test expects, also on a busy machine."""
OpenPage = Callable[..., Any]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """Debian's Chromium, driven by playwright. Skips the test without one of the two.

    It ends with its module, because playwright keeps an event loop in this thread: tests of others call asyncio.run.
    """
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM.exists():
        pytest.skip(f"Chromium is not installed at {CHROMIUM}")
    playwright.expect.set_options(timeout=WAIT)
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=str(CHROMIUM), args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium: Any) -> Iterator[OpenPage]:
    """Opens pages, each with a profile of its own.

    At the end no page has asked another host, broken its policy, or logged an error except a lost connection.
    """
    contexts: list[Any] = []
    faults: list[str] = []
    hosts: set[str] = set()

    def opened(url: str, allowed: tuple[str, ...] = (), **options: Any) -> Any:
        options.setdefault("viewport", {"width": 1280, "height": 900})
        context = chromium.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        own = urlsplit(url).netloc
        page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
        page.on("pageerror", lambda error: faults.append(f"error: {error}"))
        page.on("console", lambda message: faults.append(message.text) if _is_fault(message) else None)
        page.goto(url)
        owns.update({own, *allowed})
        return page

    owns: set[str] = set()
    yield opened
    for context in contexts:
        context.close()
    assert faults == []
    assert hosts - owns == {""} & hosts  # files that pages make for a download have no host


def _is_fault(message: Any) -> bool:
    return message.type == "error" and "net::ERR" not in message.text
