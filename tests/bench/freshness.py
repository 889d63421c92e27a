"""Measures freshness: the seconds from an event to the tables that count it, while the firehose runs.

A thread appends events to an archive file at a steady rate. Meanwhile pull queries ask the market's table of each
window how many events it has counted.

Run: [EVENTS_PER_SECOND=4100] [SECONDS=60] python -m tests.bench.freshness
"""

from __future__ import annotations

import os
import statistics
import tempfile
import threading
import time
from bisect import bisect_right
from pathlib import Path

from opensea_metrics.deploy import commands
from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.embedded import server
from opensea_metrics.producer import envelope, sample
from opensea_metrics.producer.envelope import Record

WINDOWS = ("30_SECONDS", "1_MINUTE", "5_MINUTES", "30_MINUTES")


class Firehose(threading.Thread):
    """Appends events twenty times a second. ``counts`` and ``times`` have the total and the time of each write."""

    def __init__(self, file: Path, rate: int, seconds: int) -> None:
        super().__init__()
        self._file, self._rate, self._seconds = file, rate, seconds
        start = int(time.time() * 1000)
        frames = sample.frames(int(rate * seconds * 1.1), 3, start, seconds * 1000, 0.06)
        decoded = (envelope.decode(frame) for frame in frames)
        self._lines = [record.value + b"\n" for record in decoded if isinstance(record, Record)]
        self.counts = [0]
        self.times = [time.monotonic()]

    def run(self) -> None:
        step = 0.05
        begun = time.monotonic()
        with self._file.open("ab", buffering=0) as file:
            for tick in range(int(self._seconds / step)):
                time.sleep(max(0.0, begun + tick * step - time.monotonic()))
                low, high = (int(self._rate * step * (tick + more)) for more in (0, 1))
                file.write(b"".join(self._lines[low:high]))
                self.counts.append(min(high, len(self._lines)))
                self.times.append(time.monotonic())

    def age(self, count: int, now: float) -> float:
        """The age in seconds of the first event that ``count`` does not include yet."""
        first_missing = bisect_right(self.counts, count)
        return now - self.times[first_missing] if first_missing < len(self.times) else 0.0


def main() -> None:
    rate = int(os.environ.get("EVENTS_PER_SECOND", "4100"))
    seconds = int(os.environ.get("SECONDS", "60"))
    with tempfile.TemporaryDirectory() as folder, server.running(Path(folder)) as url:
        client = KsqlClient(url)
        commands.apply(client)
        file = Path(folder) / "topics/OpenSeaRawEvents/live.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        firehose = Firehose(file, rate, seconds)
        firehose.start()
        ages = []
        cpu = time.process_time()
        while firehose.is_alive():
            for window in WINDOWS:
                rows = client.pull(f"SELECT events FROM global_{window};")
                now = time.monotonic()
                ages.append(firehose.age(sum(row["EVENTS"] for row in rows), now))
            time.sleep(0.1)
        used = (time.process_time() - cpu) / seconds
        firehose.join()
    twentieths = statistics.quantiles(ages[len(ages) // 10 :], n=20)
    print(
        f"{rate} events/s for {seconds} s: freshness p50 {twentieths[9]:.2f} s,"
        f" p95 {twentieths[18]:.2f} s, most {max(ages):.2f} s; {used:.2f} cores (server, writer, client)"
    )


if __name__ == "__main__":
    main()
