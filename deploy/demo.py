"""Runs the whole project on sample events: server, migrations, replay, metrics."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from opensea_metrics.core.errors import OpenSeaMetricsError
from opensea_metrics.core.quoting import ksqldb_text
from opensea_metrics.core.wording import counted
from opensea_metrics.deploy import commands
from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.embedded import server
from opensea_metrics.deploy.output.console import console, shown
from opensea_metrics.deploy.output.demo import DemoScreen, show_screen
from opensea_metrics.deploy.output.progress import Reporter
from opensea_metrics.producer import sample
from opensea_metrics.producer.replay import replay
from opensea_metrics.producer.sinks import ArchiveSink
from opensea_metrics.spark_batch.period import parse_window
from opensea_metrics.sql.language.project.project import load_project

_TIMEOUT = 120.0


class DemoFailed(OpenSeaMetricsError):
    """The demo has no metrics to show. The message says why."""


def run(data_dir: Path, port: int, hold: Callable[[str], None] | None = None) -> None:
    """Run the demo in a data directory, print its steps, and then one screen with the metrics.

    ``hold`` is called at the end with the server's URL, before the server stops. Raises DemoFailed,
    PortInUse, StorageError, and the errors of the migration tool.
    """
    screen = console()
    with server.running(data_dir, port) as url:
        screen.print(shown("1.", "bold") + shown(f" embedded server at {url}"))
        client = KsqlClient(url)
        with Reporter() as report:
            applied = commands.apply(client, report=report)
        screen.print(shown("2.", "bold") + f" applied {counted(len(applied.versions), 'migration')} over HTTP")
        if not any(data_dir.glob("topics/OpenSeaRawEvents/year=*")):
            sink = ArchiveSink(data_dir)
            try:
                counts = replay(sample.recent_frames(time.time_ns() // 1_000_000), sink)
            finally:
                sink.close()
            screen.print(
                shown("3.", "bold") + f" replayed {counts.read} sample frames: {counts.written} records, "
                f"{counts.dead} dead letters, {counts.skipped} control frames"
            )
        with screen.status("counting"):
            wait_until_read(client, _TIMEOUT)
        show_screen(looked_at(client), url if hold else None)
        if hold is not None:
            hold(url)


def wait_until_read(client: KsqlClient, timeout: float) -> None:
    """Return when every persistent query has read all records of its topics.

    Raises DemoFailed after ``timeout`` seconds.
    """
    deadline = time.monotonic() + timeout
    # In the order of creation, so the queries that write a query's input come first. Their output is
    # complete when they are not behind.
    queries = sorted(client.queries(), key=lambda query: _number_of(query.id))
    sinks = list(dict.fromkeys(sink for query in queries for sink in query.sinks))
    was_behind = True
    while was_behind:
        was_behind = False
        for sink in sinks:
            while behind := _lag(client, sink):
                was_behind = True
                if time.monotonic() > deadline:
                    raise DemoFailed(
                        f"after {timeout:.0f} s the query into {sink} still has {behind} records to read"
                    )
                time.sleep(0.05)


def _number_of(query_id: str) -> int:
    """The number at the end of a query's id, which grows from query to query. 0 for an id that a user chose."""
    number = query_id.rpartition("_")[2]
    return int(number) if number.isdecimal() else 0


def _lag(client: KsqlClient, sink: str) -> int:
    """How many records the queries into a sink still have to read."""
    offsets = client.describe(sink, extended=True).offsets
    return sum(max(0, partition.end - partition.consumed) for partition in offsets)


def looked_at(client: KsqlClient) -> DemoScreen:
    """The data of the newest window of the largest size: the market, its top collections, and one collection.

    Raises DemoFailed if the window has no rows.
    """
    sizes = [parse_window(w["size"], w.get("slide")) for w in load_project().settings["windows"]]
    window = max(sizes, key=lambda choice: choice.size or 0)
    name = "_BY_".join(text.replace(" ", "_") for text in (window.label, window.slide) if text)
    markets = client.pull(f"SELECT * FROM global_{name};")
    if not markets:
        raise DemoFailed(f"GLOBAL_{name} is empty")
    market = max(markets, key=lambda row: (row["SALES"] > 0, row["WS"]))
    at = f"WINDOWSTART = {market['WS']}"
    (trading,) = client.pull(f"SELECT * FROM trading_{name} WHERE scope = 'market' AND name = 'all' AND {at};")
    tops = client.pull(f"SELECT * FROM top_collections_{name} WHERE scope = 'all' AND {at};")
    slugs = [entry["KEY"] for entry in tops[0]["BY_USD_VOLUME"][:5]] if tops else []
    if not slugs:
        raise DemoFailed(f"TOP_COLLECTIONS_{name} has no sales")
    collections = [
        client.pull(f"SELECT * FROM collection_{name} WHERE collection = {ksqldb_text(slug)} AND {at};")[0]
        for slug in slugs
    ]
    (assets,) = client.pull(f"SELECT * FROM top_assets_{name} WHERE collection = {ksqldb_text(slugs[0])} AND {at};")
    return DemoScreen(window.label.lower(), market, trading, tuple(collections), assets)
