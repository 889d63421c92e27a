"""Measures freshness: the seconds from an event to the tables that count it, while the firehose runs.

The server has a process of its own. A thread of this process appends events to an archive file at a steady rate.
Every second it adds a *probe*: a sale at a price of its own, in a collection of its own. Pull queries ask one table of
one window, each time another one, until the table has the probe.

Run: [EVENTS_PER_SECOND=4100] [SECONDS=60] python -m tests.bench.freshness
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import threading
import time
from collections import defaultdict
from itertools import cycle, product
from pathlib import Path
from typing import Any

from opensea_metrics.deploy import commands
from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.producer import envelope, sample
from opensea_metrics.producer.envelope import Record
from tests.bench.server_process import cpu_of, served

WINDOWS = ("30_SECONDS", "1_MINUTE", "5_MINUTES", "30_MINUTES")
ASKED = {
    "global": "SELECT usd_volume FROM global_{window};",
    "collection": "SELECT slug FROM collection_{window} WHERE collection = '{probe}';",
    "asset": "SELECT slug FROM asset_{window} WHERE collection = '{probe}' AND nft_id = '{probe}/0/0';",
    "top_collections": "SELECT by_usd_volume FROM top_collections_{window} WHERE scope = 'all';",
    "top_assets": "SELECT by_usd_volume FROM top_assets_{window} WHERE collection = '{probe}';",
    "trading": "SELECT usd_volume FROM trading_{window} WHERE scope = 'collection' AND name = '{probe}';",
}
"""The query of each family. Its rows show whether the table has a probe: see :func:`has`."""
_STEP = 0.05
_PRICE = 10**12
"""The price of the first probe in USD. No other sale is so high, and each probe is higher than the one before."""


class Firehose(threading.Thread):
    """Appends events twenty times a second, and every second a probe. ``written`` has the times of the probes."""

    def __init__(self, file: Path, rate: int, seconds: int) -> None:
        super().__init__()
        self._file, self._rate, self._seconds = file, rate, seconds
        start = int(time.time() * 1000)
        frames = sample.frames(int(rate * seconds * 1.1), 3, start, seconds * 1000, 0.06)
        decoded = (envelope.decode(frame) for frame in frames)
        self._lines = [record.value + b"\n" for record in decoded if isinstance(record, Record)]
        self._sale = json.loads(next(line for line in self._lines if b'"item_sold"' in line))
        self.written: list[float] = []

    def run(self) -> None:
        begun = time.monotonic()
        with self._file.open("ab", buffering=0) as file:
            for tick in range(int(self._seconds / _STEP)):
                time.sleep(max(0.0, begun + tick * _STEP - time.monotonic()))
                low, high = (int(self._rate * _STEP * (tick + more)) for more in (0, 1))
                lines = self._lines[low:high]
                if tick % int(1 / _STEP) == 0:
                    lines = [*lines, self._probe(len(self.written))]
                file.write(b"".join(lines))
                if tick % int(1 / _STEP) == 0:
                    self.written.append(time.monotonic())

    def _probe(self, number: int) -> bytes:
        event = json.loads(json.dumps(self._sale))
        event["event_time"] = int(time.time() * 1000)
        body: dict[str, Any] = event["payload"]["payload"]
        body["collection"] = {"slug": name_of(number)}
        body["item"]["nft_id"] = f"{name_of(number)}/0/0"
        body["sale_price"] = str(_PRICE + number)
        body["payment_token"] |= {"decimals": "0", "usd_price": "1.0"}
        return json.dumps(event, separators=(",", ":")).encode() + b"\n"


def name_of(number: int) -> str:
    """The collection of a probe."""
    return f"probe-{number}"


def has(family: str, rows: list[dict[str, Any]], number: int) -> bool:
    """Whether the rows of a family's query include a probe."""
    if family == "global":
        counted = sum(float(row["USD_VOLUME"]) for row in rows)
        return counted >= sum(_PRICE + earlier for earlier in range(number + 1))
    if family == "top_collections":
        return any(entry["KEY"] == name_of(number) for row in rows for entry in row["BY_USD_VOLUME"])
    return bool(rows)


def main() -> None:
    rate = int(os.environ.get("EVENTS_PER_SECOND", "4100"))
    seconds = int(os.environ.get("SECONDS", "60"))
    ages: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as (url, process):
        client = KsqlClient(url)
        commands.apply(client)
        file = Path(folder) / "topics/OpenSeaRawEvents/live.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        firehose = Firehose(file, rate, seconds)
        firehose.start()
        cpu = cpu_of(process)
        tables = cycle(product(ASKED, WINDOWS))
        while firehose.is_alive():
            number = len(firehose.written)
            while len(firehose.written) == number and firehose.is_alive():
                time.sleep(0.01)
            family, window = next(tables)
            asked = ASKED[family].format(window=window, probe=name_of(number))
            while firehose.is_alive():
                if has(family, client.pull(asked), number):
                    ages[family].append(time.monotonic() - firehose.written[number])
                    break
                time.sleep(_STEP)
        used = (cpu_of(process) - cpu) / seconds
    everything = [age for of_family in ages.values() for age in of_family]
    twentieths = statistics.quantiles(everything, n=20)
    print(
        f"{rate} events/s for {seconds} s: freshness p50 {twentieths[9]:.2f} s, p95 {twentieths[18]:.2f} s,"
        f" most {max(everything):.2f} s of {len(everything)} probes; the server uses {used:.2f} cores"
    )
    for family, of_family in ages.items():
        print(f"  {family:16} p50 {statistics.median(of_family):.2f} s, most {max(of_family):.2f} s")


if __name__ == "__main__":
    main()
