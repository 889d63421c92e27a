"""Runs the whole project on sample events: server, migrations, replay, metrics."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from opensea_metrics.core.errors import OpenSeaMetricsError
from opensea_metrics.core.quoting import ksqldb_text
from opensea_metrics.deploy import commands
from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.embedded import server
from opensea_metrics.deploy.output.console import console, shown
from opensea_metrics.deploy.output.plain import one_line
from opensea_metrics.deploy.output.progress import Reporter
from opensea_metrics.producer import sample
from opensea_metrics.producer.replay import replay
from opensea_metrics.producer.sinks import ArchiveSink
from opensea_metrics.sql.language.project.project import load_project

_TIMEOUT = 120.0


class DemoFailed(OpenSeaMetricsError):
    """The demo has no metrics to show. The message says why."""


def run(data_dir: Path, port: int, hold: Callable[[str], None] | None = None) -> None:
    """Run the demo in a data directory, and print each step and the metrics.

    ``hold`` is called with the server's URL at the end, before the server stops. Raises DemoFailed,
    PortInUse, StorageError, and the errors of the migration tool.
    """
    screen = console()
    with server.running(data_dir, port) as url:
        screen.print(shown("1.", "bold") + shown(f" embedded server at {url}, data in {data_dir}"))
        client = KsqlClient(url)
        with Reporter() as report:
            applied = commands.apply(client, report=report)
        screen.print(shown("2.", "bold") + f" applied {len(applied.versions)} migrations over HTTP")
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
        with _waiting(screen, "counting"):
            wait_until_read(client, _TIMEOUT)
        show(client, screen)
        if hold is not None:
            hold(url)


def wait_until_read(client: KsqlClient, timeout: float) -> None:
    """Return when every persistent query has read all records of its topics.

    Raises DemoFailed after ``timeout`` seconds.
    """
    deadline = time.monotonic() + timeout
    sinks = sorted({sink for query in client.queries() for sink in query.sinks})
    quiet = 0
    # One query's output is another's input, so a single round without work is not enough.
    while quiet < 3:
        quiet += 1
        for sink in sinks:
            while behind := _lag(client, sink):
                quiet = 0
                if time.monotonic() > deadline:
                    raise DemoFailed(
                        f"after {timeout:.0f} s the query into {sink} still has {behind} offsets to read"
                    )
                time.sleep(0.1)
        time.sleep(0.2)


def _lag(client: KsqlClient, sink: str) -> int:
    """How many offsets the queries into a sink still have to read."""
    offsets = client.describe(sink, extended=True).offsets
    return sum(max(0, partition.end - partition.consumed) for partition in offsets)


def show(client: KsqlClient, console: Console) -> None:
    """Print the market, the top collections, and one collection with its top assets, for each window size.

    Shows the window with the most sales.
    """
    for window in load_project().settings["windows"]:
        name = str(window["size"]).replace(" ", "_").upper()
        if "slide" in window:
            name += "_BY_" + str(window["slide"]).replace(" ", "_").upper()
        markets = client.pull(f"SELECT * FROM global_{name};")
        if not markets:
            raise DemoFailed(f"GLOBAL_{name} is empty")
        market = max(markets, key=lambda row: (row["SALES"], row["WS"]))
        at = f"WINDOWSTART = {market['WS']}"
        console.rule(f"{window['size'].lower()} from {_clock(market['WS'])}, of {len(markets)} windows")
        _print(console, "the market", [market], _MARKET)
        tops = client.pull(f"SELECT * FROM top_collections_{name} WHERE scope = 'all' AND {at};")
        best = tops[0]["BY_USD_VOLUME"][:5]
        rows = [
            client.pull(
                f"SELECT * FROM collection_{name} WHERE collection = {ksqldb_text(e['KEY'])} AND {at};"
            )[0]
            for e in best
        ]
        _print(console, "top collections by volume", rows, _COLLECTION)
        if best:
            slug = best[0]["KEY"]
            where = f"collection = {ksqldb_text(slug)} AND {at}"
            (assets,) = client.pull(f"SELECT * FROM top_assets_{name} WHERE {where};")
            console.print(shown(slug, "bold") + f": {assets['ASSETS_SOLD']} assets sold; top assets:")
            _print(console, None, assets["BY_USD_VOLUME"][:5], {"KEY": "nft_id", "VALUE": "USD"})


_MARKET = {
    "EVENTS": "events", "TRANSFERS": "transfers", "ITEMS_TRANSFERRED": "items transferred",
    "SALES": "sales", "USD_VOLUME": "USD", "ETH_VOLUME": "ETH",
}  # fmt: skip
_COLLECTION = {
    "COLLECTION": "collection", "SALES": "sales", "USD_VOLUME": "USD", "ETH_VOLUME": "ETH",
    "FLOOR_USD": "floor USD", "AVG_USD": "average USD", "TRANSFERS": "transfers",
}  # fmt: skip


def _print(
    console: Console, title: str | None, rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]
) -> None:
    table = Table(title=title, title_justify="left")
    for label in columns.values():
        table.add_column(label, justify="left" if label in ("collection", "nft_id") else "right")
    for row in rows:
        table.add_row(*(shown(one_line(_cell(row[name]))) for name in columns))
    console.print(table)


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:,.2f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def _clock(moment: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(moment / 1000))


@contextmanager
def _waiting(console: Console, activity: str) -> Iterator[None]:
    status: AbstractContextManager[Any] = console.status(activity)
    with status:
        yield
