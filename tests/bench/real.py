"""Compares the embedded server with a real ksqlDB: the same migrations over the same events, until all is read.

On the real server the queries are paused while the events go into Kafka, and the time runs from ``RESUME ALL`` on. Both
must then count the same events. The real server must be empty.

Run: KSQLDB_URL=… KAFKA_BOOTSTRAP_SERVERS=… [EVENTS=1000000] python -m tests.bench.real
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from opensea_metrics.deploy import commands
from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.migrations.run import catch_up
from opensea_metrics.producer import sample
from opensea_metrics.producer.kafka import open_kafka
from opensea_metrics.producer.replay import replay
from opensea_metrics.producer.settings import KafkaSettings
from opensea_metrics.producer.topics import topics
from tests.bench import goals
from tests.bench.replay import COUNTED
from tests.bench.replay import embedded as read_archive

TIMEOUT = 3_600.0


def real(url: str, events: int) -> tuple[float, int]:
    """Seconds from RESUME to the end of the topic, and how many events are counted."""
    client = KsqlClient(url)
    commands.apply(client)
    client.execute("PAUSE ALL;")
    with tempfile.TemporaryDirectory() as folder:
        sink = open_kafka(KafkaSettings(), Path(folder), topics(1, 1, -1))  # `apply` has created the raw topic
        try:
            replay(sample.frames(events, 1, sample.DAY_START, 24 * sample.HOUR, 0.06), sink)
        finally:
            sink.close()
    client.execute("RESUME ALL;")
    begun = time.perf_counter()
    sinks = {query.id: query.sinks[0] for query in client.queries() if query.sinks}
    catch_up.wait(client, sinks, lambda _: None, TIMEOUT)
    return time.perf_counter() - begun, sum(row["EVENTS"] for row in client.pull(COUNTED))


def embedded(events: int) -> tuple[float, int]:
    """The same on an embedded server, which is a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        sample.write_sample(Path(folder), events)
        run = read_archive(Path(folder))
    print(f"embedded server: {run}; applied in {run.applied:.1f} s")
    return run.seconds, run.counted


def main() -> None:
    url, brokers = os.environ.get("KSQLDB_URL"), os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
    if not url or not brokers:
        print(
            "the comparison with a real ksqlDB is left out: it needs KSQLDB_URL and KAFKA_BOOTSTRAP_SERVERS"
        )
        return
    events = int(os.environ.get("EVENTS", "1000000"))
    ours, counted = embedded(events)
    theirs, also_counted = real(url, events)
    if counted != also_counted:
        raise SystemExit(
            f"the embedded server counts {counted:,} events, and ksqlDB {also_counted:,}"
        )
    goals.show(
        f"{events:,} events to caught up, times as fast as a real ksqlDB", theirs / ours, 15, is_least=True,
        more=f"{ours:.1f} s against {theirs:.1f} s",
    )  # fmt: skip


if __name__ == "__main__":
    main()
