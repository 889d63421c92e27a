"""Twenty pages for a minute, or for SOAK_SECONDS: the dashboard does not grow, and no page loses a change."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from opensea_metrics.deploy import commands
from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.demo import wait_until_read
from opensea_metrics.deploy.embedded import server
from tests.dashboard.events import START, RawTopic, sold
from tests.dashboard.place import SQL, WINDOWS

PAGES = 20
SECONDS = int(os.environ.get("SOAK_SECONDS", "60"))
COMMAND = [sys.executable, "-c", "from opensea_metrics.deploy import cli; cli.main()", "dashboard", "--port", "0"]


class Reader(threading.Thread):
    """A page without a browser. ``sales`` are those of the window at START, as the page knows them.

    It reads until it knows all sales, and at most until ``end``, a time of the monotonic clock in seconds.
    """

    def __init__(self, url: str, end: float) -> None:
        super().__init__()
        self._url, self._end = url, end
        self.sales: int | None = None
        self.all_sales: int | None = None

    def run(self) -> None:
        with httpx.stream("GET", self._url, timeout=30) as reply:
            name = ""
            for line in reply.iter_lines():
                if line.startswith("event: "):
                    name = line.removeprefix("event: ")
                elif line.startswith("data: ") and name == "market":
                    self._take(orjson.loads(line.removeprefix("data: ")))
                if (self.all_sales is not None and self.sales == self.all_sales) or time.monotonic() > self._end:
                    return

    def _take(self, message: dict[str, Any]) -> None:
        at = message["columns"].index("SALES")
        for row in message["rows"]:
            if row[0] == START:
                self.sales = row[at]


def megabytes(pid: int) -> float:
    size = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert size
    return int(size[1]) / 1024


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_twenty_pages_do_not_make_the_dashboard_grow(tmp_path: Path) -> None:
    with server.running(tmp_path) as url:
        client = KsqlClient(url)
        commands.apply(client, SQL, WINDOWS)
        topic = RawTopic(tmp_path)
        topic.write([sold("otters", 1, START, 1)])
        wait_until_read(client, 60)
        with subprocess.Popen([*COMMAND, "--server", url], stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr
            address = process.stderr.readline().split()[-1]
            begun = time.monotonic()
            views = ("sort=usd", "sort=sales", "find=o", "range=1h")
            readers = [
                Reader(f"{address}/live/market?window=1_MINUTE&{views[n % len(views)]}", begun + SECONDS + 120)
                for n in range(PAGES)
            ]
            for reader in readers:
                reader.start()
            sizes: list[float] = []
            number = 1
            while time.monotonic() < begun + SECONDS:
                number += 1
                topic.write([sold(f"collection {number % 50}", number, START + number, number)])
                sizes.append(megabytes(process.pid))
                time.sleep(0.5)
            wait_until_read(client, 60)
            for reader in readers:
                reader.all_sales = number
            for reader in readers:
                reader.join()
            process.terminate()
    assert {reader.sales for reader in readers} == {number}
    settled = sizes[len(sizes) // 3 :]  # all code is loaded and all feeds have rows
    assert max(settled) - settled[0] < 8, f"{settled[0]:.0f} to {max(settled):.0f} MB"
    assert max(sizes) < 100
