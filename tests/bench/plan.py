"""Measures how many seconds ``plan`` takes for 200 migrations, without the server's own time.

On a server (embedded, or KSQLDB_URL) the first half is applied and the second half is pending. The server's time is
the time of the requests that plan sends. Run: python tests/bench/plan.py [N]
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from opensea_metrics.deploy import commands
from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.embedded import server

GOAL = 1.0  # seconds
ROUNDS = 3

RAW = """CREATE STREAM ombench_raw (id VARCHAR KEY, coll VARCHAR, price DOUBLE)
  WITH (KAFKA_TOPIC='ombench.raw', PARTITIONS=1, VALUE_FORMAT='JSON');
"""
METRIC = """SET 'auto.offset.reset' = 'earliest';
CREATE TABLE ombench_{n} WITH (KAFKA_TOPIC='ombench.{n}', VALUE_FORMAT='JSON', RETENTION_MS=-1) AS
  SELECT coll, AS_VALUE(coll) AS slug, WINDOWSTART AS ws, COUNT(*) AS sales,
    SUM(price) AS volume, MIN(price) AS floor
  FROM ombench_raw WINDOW TUMBLING (SIZE {n} MINUTES, RETENTION 2 DAYS, GRACE PERIOD 1 DAY)
  GROUP BY coll EMIT CHANGES;
"""


@contextmanager
def _server(directory: Path) -> Iterator[str]:
    if url := os.environ.get("KSQLDB_URL"):
        yield url
        return
    with server.running(directory) as url:
        yield url


class Stopwatch:
    """Adds up the time of requests, from the first byte sent to the last byte read."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._send = httpx.Client.send
        self._iter_raw = httpx.Response.iter_raw

    def __enter__(self) -> Stopwatch:
        watch = self

        def send(client: httpx.Client, request: httpx.Request, **options: object) -> httpx.Response:
            started = time.perf_counter()
            response = watch._send(client, request, **options)  # type: ignore[arg-type]
            watch.seconds += time.perf_counter() - started
            return response

        def iter_raw(response: httpx.Response, chunk_size: int | None = None) -> Iterator[bytes]:
            pieces = watch._iter_raw(response, chunk_size)
            while True:
                started = time.perf_counter()
                piece = next(pieces, None)
                watch.seconds += time.perf_counter() - started
                if piece is None:
                    return
                yield piece

        httpx.Client.send = send  # type: ignore[method-assign,assignment]
        httpx.Response.iter_raw = iter_raw  # type: ignore[method-assign,assignment]
        return self

    def __exit__(self, *_: object) -> None:
        httpx.Client.send = self._send  # type: ignore[method-assign]
        httpx.Response.iter_raw = self._iter_raw  # type: ignore[method-assign]


def main(count: int) -> None:
    with tempfile.TemporaryDirectory() as directory, _server(Path(directory) / "data") as url:
        root = Path(directory) / "project"
        (root / "migrations").mkdir(parents=True)
        (root / "settings.yml").write_text("{}\n")
        for version in range(1, count + 1):
            text = RAW if version == 1 else METRIC.format(n=version)
            (root / "migrations" / f"V{version:03}__m{version}.sql").write_text(text)
        client = KsqlClient(url)
        print(f"applying {count // 2} of {count} migrations …", file=sys.stderr)
        commands.apply(client, root, target=count // 2)
        best = (float("inf"), 0.0)
        try:
            for _ in range(ROUNDS):
                with Stopwatch() as watch:
                    started, cpu = time.perf_counter(), time.thread_time()
                    plan = commands.plan(client, root)
                    whole, cpu = time.perf_counter() - started, time.thread_time() - cpu
                assert len(plan.versions) == count - count // 2
                print(
                    f"plan of {count} migrations: {whole:.2f} s, of which the server"
                    f" {watch.seconds:.2f} s; beyond it {whole - watch.seconds:.2f} s ({cpu:.2f} s CPU)"
                )
                best = min(best, (whole - watch.seconds, watch.seconds))
        finally:
            if os.environ.get("KSQLDB_URL"):
                commands.rollback(client, lambda _: True, root, target=0)
    verdict = "reached" if best[0] <= GOAL else "missed"
    print(f"best: {best[0]:.2f} s beyond the server's {best[1]:.2f} s; the goal of {GOAL:g} s is {verdict}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
