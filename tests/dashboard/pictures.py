"""Takes the pictures for README and docs: ``make pictures``."""

from __future__ import annotations

import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from opensea_metrics.deploy import commands
from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.demo import wait_until_read
from opensea_metrics.deploy.embedded import server
from opensea_metrics.producer import sample
from opensea_metrics.producer.replay import replay
from opensea_metrics.producer.sinks import ArchiveSink
from tests.dashboard.conftest import CHROMIUM
from tests.dashboard.place import running_dashboard

FOLDER = Path("docs/pictures")
WIDE = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 780}
PICTURES = {
    "market": ("/?window=5_MINUTES", WIDE, "light"),
    "market-dark": ("/?window=5_MINUTES&sort=sales", WIDE, "dark"),
    "market-phone": ("/?window=5_MINUTES", PHONE, "light"),
    "collection": ("/collection?name={slug}&window=5_MINUTES", WIDE, "light"),
    "lineage": ("/lineage?find=30_MINUTES&name=COLLECTION_30_MINUTES", WIDE, "light"),
    "ask": ("/ask", {"width": 1280, "height": 760}, "light"),
}
"""Name → path, size, colour scheme."""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, server.running(Path(folder)) as url:
        client = KsqlClient(url)
        commands.apply(client)
        sink = ArchiveSink(Path(folder))
        replay(sample.bundled(), sink)
        sink.close()
        wait_until_read(client, 120)
        volumes = client.pull("SELECT COLLECTION, SALES FROM COLLECTION_30_MINUTES;")
        slug = max(volumes, key=lambda row: (row["SALES"], row["COLLECTION"]))["COLLECTION"]
        # A URL of its own would differ from picture to picture.
        with running_dashboard(client, root=None, variables={}) as dashboard, sync_playwright() as running:
            browser = running.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
            FOLDER.mkdir(parents=True, exist_ok=True)
            for name, (path, size, scheme) in PICTURES.items():
                page = browser.new_page(viewport=size, color_scheme=scheme)  # type: ignore[arg-type]
                page.goto(dashboard + path.format(slug=slug))
                if name == "ask":
                    page.get_by_role("button", name="The market, minute by minute").click()
                    page.locator("#answer-rows td").first.wait_for()
                if name == "lineage":
                    page.get_by_text("all applied").wait_for(timeout=30_000)
                page.wait_for_timeout(2_000)
                page.screenshot(path=FOLDER / f"{name}.png")
                page.close()
            browser.close()


if __name__ == "__main__":
    main()
