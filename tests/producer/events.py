"""Distinct events with a number, to be found again in a topic."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson

from tests.parts.phoenix import KEY

KEYS = 40
START_MS = int(time.time()) // 3600 * 3_600_000
"""Live events are new. A broker that starts anew forgets producers whose newest record is older than a day
by its timestamp, and then takes a batch that is sent again for another one."""


@dataclass(frozen=True)
class Event:
    """An event to be sent and the record that is to come of it."""

    number: int
    slug: str
    topic: str
    kind: str
    payload: bytes

    @property
    def record(self) -> bytes:
        return b'{"event_time":%d,"topic":"%b","event":"%b","payload":%b}' % (
            START_MS + self.number, self.topic.encode(), self.kind.encode(), self.payload,
        )  # fmt: skip


def event(number: int) -> Event:
    """The n-th event: of one of KEYS collections, a millisecond after the one before."""
    slug = f"otters-{number * 7 % KEYS:03}"
    moment = START_MS + number
    time_ = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment // 1000))
    payload = (
        f'{{"event_type":"item_listed","sent_at":"{time_}.{moment % 1000:03}000Z", "payload" :'
        f'{{"chain":"ethereum","collection":{{"slug":"{slug}"}},"order_hash":"0x{number:064x}",'
        f'"event_timestamp":"{time_}.{moment % 1000:03}000Z","item":{{"nft_id":"ethereum/0x1/{number}",'
        f'"metadata":{{"name":"Müll 月 #{number}"}}}},"quantity":1,"number":{number}}}}}'
    )
    return Event(number, slug, f"collection:{slug}", "item_listed", payload.encode())


def number_of(value: bytes) -> int:
    """The number of the event in a record."""
    found: int = orjson.loads(value)["payload"]["payload"]["number"]
    return found


COMMAND = (sys.executable, "-c", "from opensea_metrics.deploy.cli import main; main()")


def run_command(folder: Path, *arguments: str) -> str:
    """The command ``opensea-metrics`` in a folder of its own; its stdout, as it must succeed."""
    done = subprocess.run(
        (*COMMAND, *arguments),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def producing(
    folder: Path, url: str, *arguments: str, key: str = KEY
) -> Iterator[subprocess.Popen[str]]:
    """The command ``opensea-metrics produce`` as a process, in a folder of its own."""
    environment = {**os.environ, "OPENSEA_API_KEY": key, "OPENSEA_STREAM_URL": url}
    with open(folder / "stderr", "ab") as stderr:
        process = subprocess.Popen(
            (*COMMAND, "produce", *arguments),
            cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=stderr, text=True,
        )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def ended(process: subprocess.Popen[str], timeout: float = 60) -> tuple[int, str]:
    """SIGTERM, then exit code and stdout."""
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=timeout)
    return process.returncode, out


def until(condition: Callable[[], bool], what: str, timeout: float = 180) -> None:
    """Wait for a condition; fail the test if it does not come true."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout} s: {what}"
        time.sleep(0.02)
