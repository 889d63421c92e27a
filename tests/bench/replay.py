"""Measures events/s of the embedded server on an archive, and of one hand-written DuckDB query.

Both read the same files and compute the market, collections, assets, top lists and trading of the four windows. The
rows of the long form are computed when they are read, on both sides. The server also keeps its position, partial sums
and the events' columns, so it can continue from there. The query does not.
Run: make bench [EVENTS=1000000]
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import duckdb

from opensea_metrics.deploy import commands
from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.demo import wait_until_read
from opensea_metrics.producer.sample import write_sample
from tests.bench import goals, memory
from tests.bench.server_process import cpu_of, served

_BODY = (
    "STRUCT(collection STRUCT(slug VARCHAR), chain VARCHAR, maker STRUCT(address VARCHAR), "
    "taker STRUCT(address VARCHAR), from_account STRUCT(address VARCHAR), to_account STRUCT(address VARCHAR), "
    "item STRUCT(nft_id VARCHAR, permalink VARCHAR, metadata "
    "STRUCT(name VARCHAR, image_url VARCHAR)), quantity VARCHAR, sale_price VARCHAR, payment_token "
    "STRUCT(decimals VARCHAR, eth_price VARCHAR, usd_price VARCHAR))"
)
_ZERO = "0x" + "0" * 40


def by_hand(files: str) -> None:
    """The same metrics as one would write them by hand for DuckDB."""
    database = duckdb.connect()
    database.execute(
        f"""CREATE TABLE events AS SELECT event_time AS t, event, p.collection.slug AS slug,
          p.item.nft_id AS nft, p.item.permalink AS url, p.item.metadata.name AS name,
          p.item.metadata.image_url AS image,
          greatest(coalesce(TRY_CAST(p.quantity AS BIGINT), 1), 1) AS quantity,
          CASE WHEN event = 'item_sold' THEN TRY_CAST(p.sale_price AS DOUBLE)
            / pow(10, TRY_CAST(p.payment_token.decimals AS INT)) END AS amount,
          amount * TRY_CAST(p.payment_token.usd_price AS DOUBLE) AS usd,
          amount * TRY_CAST(p.payment_token.eth_price AS DOUBLE) AS eth,
          p.chain AS chain, {_address("p.maker.address")} AS maker, {_address("p.taker.address")} AS taker,
          CASE WHEN event = 'item_sold' THEN 'sale' WHEN p.from_account.address = '{_ZERO}' THEN 'mint'
            WHEN lower(p.to_account.address) IN ('{_ZERO}', '0x000000000000000000000000000000000000dead') THEN 'burn'
            ELSE 'move' END AS what
        FROM (SELECT event_time, event, payload.payload AS p FROM read_json('{files}',
          format = 'newline_delimited', ignore_errors = true, columns = {{event_time: 'BIGINT',
          event: 'VARCHAR', payload: 'STRUCT(payload {_BODY})'}}))"""
    )
    sums = (
        "count(*) FILTER (event = 'item_transferred') AS transfers,"
        " sum(quantity) FILTER (event = 'item_transferred') AS items_transferred,"
        " count(*) FILTER (event = 'item_sold') AS sales,"
        " sum(quantity) FILTER (event = 'item_sold') AS items_sold,"
        " coalesce(sum(usd), 0) AS usd, coalesce(sum(eth), 0) AS eth"
    )
    counted = "event IN ('item_sold', 'item_transferred')"
    for size in (30_000, 60_000, 300_000, 1_800_000):
        ws = f"t - t % {size} AS ws"
        for statement in (
            f"CREATE TABLE market{size} AS SELECT {ws}, count(*) AS events, {sums} FROM events GROUP BY ws",
            f"CREATE TABLE collection{size} AS SELECT {ws}, slug, {sums}, min(usd / quantity) AS floor,"
            "   sum(usd) / sum(quantity) FILTER (usd IS NOT NULL) AS average,"
            "   count(DISTINCT nft) FILTER (event = 'item_sold') AS assets_sold"
            f" FROM events WHERE {counted} AND slug IS NOT NULL GROUP BY ws, slug",
            f"CREATE TABLE asset{size} AS SELECT {ws}, slug, nft, {sums},"
            "   arg_max(name, t) AS name, arg_max(url, t) AS url, arg_max(image, t) AS image"
            f" FROM events WHERE {counted} AND slug IS NOT NULL AND nft IS NOT NULL GROUP BY ws, slug, nft",
            *(
                f"CREATE TABLE top_{kind}s_{by}{size} AS SELECT * FROM {kind}{size} WHERE {some} > 0"
                f" QUALIFY row_number() OVER (PARTITION BY {group} ORDER BY {by} DESC, {key}) <= {most}"
                for kind, group, key, most in (
                    ("collection", "ws", "slug", 10),
                    ("asset", "ws, slug", "nft", 20),
                )
                for by, some in (("usd", "sales"), ("transfers", "transfers"))
            ),
        ):
            database.execute(statement)
        _trading_by_hand(database, size, ws)
        _long_form_by_hand(database, size)


def _address(text: str) -> str:
    return f"CASE WHEN {text} LIKE '0x%' THEN lower({text}) ELSE {text} END"


def _same(other: str) -> str:
    return " AND ".join(
        f"sums.{key} IS NOT DISTINCT FROM {other}.{key}" for key in ("ws", "chain", "slug")
    )


def _trading_by_hand(database: duckdb.DuckDBPyConnection, size: int, ws: str) -> None:
    """Grouping sets, instead of three rows for each event."""
    scopes = "GROUPING SETS ((ws), (ws, chain), (ws, slug))"
    database.execute(
        f"""CREATE TABLE trades AS SELECT {ws}, * FROM events WHERE event IN ('item_sold', 'item_transferred');
        CREATE TABLE trading{size} AS SELECT sums.*, traders, wash_volume FROM (
          SELECT ws, chain, slug, count(*) FILTER (what = 'sale') AS sales, sum(usd) AS usd_volume,
            quantile_disc(usd / quantity, 0.5) AS median, count(*) FILTER (what = 'mint') AS mints,
            count(*) FILTER (what = 'burn') AS burns, greatest(count(*) - 2 * sales, 0) AS without_sale
          FROM trades GROUP BY {scopes}) AS sums
        LEFT JOIN (SELECT ws, chain, slug, count(DISTINCT account) AS traders FROM (
            SELECT ws, chain, slug, unnest([maker, taker]) AS account FROM trades WHERE what = 'sale')
          GROUP BY {scopes}) AS accounts ON {_same("accounts")}
        LEFT JOIN (SELECT ws, chain, slug, sum(usd) AS wash_volume FROM (
            SELECT *, count(*) OVER (PARTITION BY ws, nft, least(maker, taker), greatest(maker, taker)) AS times
            FROM trades WHERE usd IS NOT NULL) WHERE maker = taker OR times > 1
          GROUP BY {scopes}) AS washed ON {_same("washed")};
        DROP TABLE trades"""
    )


def _long_form_by_hand(database: duckdb.DuckDBPyConnection, size: int) -> None:
    database.execute(
        f"""CREATE VIEW long_market{size} AS UNPIVOT market{size}
          ON events, transfers, items_transferred, sales, usd, eth INTO NAME metric VALUE value;
        CREATE VIEW long_collection{size} AS UNPIVOT collection{size}
          ON transfers, items_transferred, sales, items_sold, usd, eth, floor, average, assets_sold
          INTO NAME metric VALUE value"""
    )


COUNTED = "SELECT events FROM global_30_minutes;"
"""How many events each window has."""


class Served(NamedTuple):
    """What a server needs to read the topics."""

    applied: float
    """Seconds of applying the migrations, before that."""
    seconds: float
    cpu: float
    """Seconds of CPU."""
    peak: float
    """MB of memory at most."""
    counted: int
    """How many events its windows have."""

    def __str__(self) -> str:
        return f"{self.seconds:.1f} s, {self.cpu:.1f} s of CPU, {self.peak:.0f} MB"


def embedded(data: Path) -> Served:
    """A new server on a data directory with topics and no database."""
    with served(data) as (url, process):
        client = KsqlClient(url)
        (data / "topics").rename(data / "aside")
        begun = time.perf_counter()
        commands.apply(client)
        applied = time.perf_counter()
        cpu = cpu_of(process)
        (data / "aside").rename(data / "topics")
        wait_until_read(client, 600)
        seconds, cpu = time.perf_counter() - applied, cpu_of(process) - cpu
        counted = sum(row["EVENTS"] for row in client.pull(COUNTED))
        assert counted > 0
        return Served(applied - begun, seconds, cpu, memory.peak(process), counted)


def main() -> None:
    events = int(os.environ.get("EVENTS", "1000000"))
    ours: list[Served] = []
    hand: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        write_sample(data, events)
        for _ in range(3):
            for name in ("embedded.duckdb", "embedded.duckdb.wal"):
                (data / name).unlink(missing_ok=True)
            shutil.rmtree(data / "tmp", ignore_errors=True)
            ours.append(embedded(data))
            begun, cpu = time.perf_counter(), time.process_time()
            by_hand(f"{data}/topics/OpenSeaRawEvents/**/*.json.gz")
            hand.append((time.perf_counter() - begun, time.process_time() - cpu))
    best = min(ours, key=lambda run: run.seconds)
    hand_wall, hand_cpu = min(hand)
    name = f"embedded server, {events:,} events, all migrations"
    goals.show(f"{name}, time beside by hand", best.seconds / hand_wall, 2.5, more=f"{best}; by hand {hand_wall:.1f} s")
    goals.show(f"{name}, CPU beside by hand", best.cpu / hand_cpu, 2.5, more=f"by hand {hand_cpu:.1f} s of CPU")
    goals.show(f"{name}, memory", best.peak, 450, "MB", more=f"applied in {min(run.applied for run in ours):.1f} s")


if __name__ == "__main__":
    main()
