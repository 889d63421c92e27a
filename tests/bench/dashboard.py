"""Measures the dashboard as a process of its own while the firehose runs: memory, CPU, and the times of a page.

Run: [EVENTS_PER_SECOND=4100] [SECONDS=60] [PAGES=20] python -m tests.bench.dashboard
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import httpx
from playwright.sync_api import sync_playwright

from opensea_metrics.deploy import commands
from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.embedded import server
from tests.bench.freshness import Firehose

_COMMAND = [sys.executable, "-c", "from opensea_metrics.deploy import cli; cli.main()", "dashboard", "--port", "0"]
_VIEWS = ("", "?window=1_MINUTE", "?window=30_SECONDS", "?window=5_MINUTES&sort=sales", "?window=1_MINUTE&chain=base")


def cpu_seconds(pid: int) -> float:
    """The CPU time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def megabytes(pid: int) -> float:
    """The resident memory of a process."""
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) / 1024  # type: ignore[index]


def read(url: str, end: float, received: list[int]) -> None:
    """A page that reads its events until a time, without a browser."""
    with httpx.stream("GET", url, timeout=30) as reply:
        for piece in reply.iter_bytes():
            received.append(len(piece))
            if time.monotonic() > end:
                return


def times(url: str) -> tuple[float, float]:
    """Milliseconds until the first paint and until the first data of a page, the median of five."""
    paints, data = [], []
    with sync_playwright() as running:
        browser = running.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        for _ in range(5):
            page = browser.new_context().new_page()
            page.add_init_script(
                "const seen = () => document.querySelector('#tile-usd .value')?.textContent;"
                "new MutationObserver(() => { if (!window.dataAt && seen()) window.dataAt = performance.now(); })"
                ".observe(document, {subtree: true, childList: true});"
            )
            page.goto(url)
            page.locator("#tile-usd .value").wait_for()
            paints.append(page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime"))
            data.append(page.evaluate("window.dataAt"))
            page.context.close()
        browser.close()
    return statistics.median(paints), statistics.median(data)


def main() -> None:
    rate = int(os.environ.get("EVENTS_PER_SECOND", "4100"))
    seconds = int(os.environ.get("SECONDS", "60"))
    pages = int(os.environ.get("PAGES", "20"))
    with tempfile.TemporaryDirectory() as folder, server.running(Path(folder)) as url:
        commands.apply(KsqlClient(url))
        file = Path(folder) / "topics/OpenSeaRawEvents/live.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        process = subprocess.Popen([*_COMMAND, "--server", url], stderr=subprocess.PIPE, text=True)
        try:
            assert process.stderr
            address = process.stderr.readline().split()[-1]
            idle = megabytes(process.pid)
            firehose = Firehose(file, rate, seconds + 15)
            firehose.start()
            time.sleep(5)
            received: list[int] = []
            end = time.monotonic() + seconds + 5
            readers = [
                threading.Thread(target=read, args=(f"{address}/live/market{_VIEWS[n % len(_VIEWS)]}", end, received))
                for n in range(pages)
            ]
            for reader in readers:
                reader.start()
            time.sleep(5)
            begun, cpu = time.monotonic(), cpu_seconds(process.pid)
            sizes = []
            while time.monotonic() < begun + seconds:
                time.sleep(2)
                sizes.append(megabytes(process.pid))
            share = (cpu_seconds(process.pid) - cpu) / (time.monotonic() - begun)
            for reader in readers:
                reader.join()
            firehose.join()
            paint, data = times(address)
        finally:
            process.terminate()
            process.wait()
    print(
        f"{rate} events/s, {pages} pages for {seconds} s: {share:.1%} of a core, {sizes[0]:.0f} to {sizes[-1]:.0f} MB"
        f" (most {max(sizes):.0f}, idle {idle:.0f}), {sum(received) / 1e6 / seconds:.2f} MB/s to pages;"
        f" first paint {paint:.0f} ms, first data {data:.0f} ms"
    )


if __name__ == "__main__":
    main()
