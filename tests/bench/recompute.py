"""Compares recompute with hand-written DuckDB SQL and hand-written PySpark for the same numbers.

All compute the market, collections, assets and top lists of one-hour windows, from gz and from compacted Parquet,
and write Parquet files. They run in turns, each in its own process. Wall time (as ``time`` shows it), CPU and
greatest resident memory include child processes. Ways that cannot run here are left out with a message.

Run: [EVENTS="1000000 5000000"] [RUNS=3] python -m tests.bench.recompute [a topic's folder, as it is]
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

HOUR = 3_600_000
TOPIC = "topics/OpenSeaRawEvents"
_BODY = (
    "STRUCT(collection STRUCT(slug VARCHAR), item STRUCT(nft_id VARCHAR, permalink VARCHAR, metadata "
    "STRUCT(name VARCHAR, image_url VARCHAR)), quantity VARCHAR, sale_price VARCHAR, payment_token "
    "STRUCT(decimals VARCHAR, eth_price VARCHAR, usd_price VARCHAR))"
)
_SUMS = """count(CASE WHEN event = 'item_transferred' THEN 1 END) AS transfers,
  sum(CASE WHEN event = 'item_transferred' THEN quantity END) AS items_transferred,
  count(CASE WHEN event = 'item_sold' THEN 1 END) AS sales,
  sum(CASE WHEN event = 'item_sold' THEN quantity END) AS items_sold,
  coalesce(sum(usd), 0) AS usd, coalesce(sum(eth), 0) AS eth"""
_COUNTED = "event IN ('item_sold', 'item_transferred')"


def tables(newest: Callable[[str], str]) -> dict[str, str]:
    """Name → SELECT over ``events`` or earlier tables, in the order of creation."""
    selects = {
        "market": f"SELECT ws, count(*) AS events, {_SUMS} FROM events GROUP BY ws",
        "collection": f"""SELECT ws, slug, {_SUMS}, min(usd / quantity) AS floor,
          sum(usd) / sum(CASE WHEN usd IS NOT NULL THEN quantity END) AS average,
          count(DISTINCT CASE WHEN event = 'item_sold' THEN nft END) AS assets_sold
          FROM events WHERE {_COUNTED} AND slug IS NOT NULL GROUP BY ws, slug""",
        "asset": f"""SELECT ws, slug, nft, {_SUMS}, {newest("name")} AS name, {newest("url")} AS url,
          {newest("image")} AS image
          FROM events WHERE {_COUNTED} AND slug IS NOT NULL AND nft IS NOT NULL GROUP BY ws, slug, nft""",
    }
    for kind, group, key, most in (
        ("collection", "ws", "slug", 10),
        ("asset", "ws, slug", "nft", 20),
    ):
        for by, some in (("usd", "sales"), ("transfers", "transfers")):
            selects[f"top_{kind}s_{by}"] = (
                f"SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY {group} ORDER BY {by} DESC, {key})"
                f" AS place FROM {kind} WHERE {some} > 0) WHERE place <= {most}"
            )
    return selects


def by_duckdb(source: str, out: str, form: str) -> None:
    """The metrics as one would write them by hand for DuckDB."""
    import duckdb

    database = duckdb.connect()
    reader = (
        f"read_parquet('{source}/**/*.parquet')"
        if form == "parquet"
        else f"read_json('{source}/**/*.json.gz', format = 'newline_delimited', ignore_errors = true,"
        f" columns = {{event_time: 'BIGINT', event: 'VARCHAR', payload: 'STRUCT(payload {_BODY})'}})"
    )
    database.execute(
        f"""CREATE TABLE events AS SELECT event_time AS t, t - t % {HOUR} AS ws, event,
          p.collection.slug AS slug, p.item.nft_id AS nft, p.item.permalink AS url,
          p.item.metadata.name AS name, p.item.metadata.image_url AS image,
          greatest(coalesce(TRY_CAST(p.quantity AS BIGINT), 1), 1) AS quantity,
          CASE WHEN event = 'item_sold' THEN TRY_CAST(p.sale_price AS DOUBLE)
            / pow(10, TRY_CAST(p.payment_token.decimals AS INT)) END AS amount,
          amount * TRY_CAST(p.payment_token.usd_price AS DOUBLE) AS usd,
          amount * TRY_CAST(p.payment_token.eth_price AS DOUBLE) AS eth
        FROM (SELECT event_time, event, payload.payload AS p FROM {reader})"""
    )
    Path(out).mkdir()
    for name, statement in tables(lambda column: f"arg_max({column}, t)").items():
        database.execute(f"CREATE TABLE {name} AS {statement}")
        database.execute(f"COPY {name} TO '{out}/{name}.parquet' (COMPRESSION zstd)")


def by_spark(source: str, out: str, form: str) -> None:
    """The metrics as one would write them by hand for PySpark."""
    from pyspark.sql import SparkSession

    session = (
        SparkSession.builder.master("local[2]").config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.ansi.enabled", "false").config("spark.sql.shuffle.partitions", "4")
        .config("spark.driver.memory", "2g").config("spark.ui.enabled", "false").getOrCreate()
    )  # fmt: skip
    session.sparkContext.setLogLevel("ERROR")
    body = (
        _BODY.replace("(", "<")
        .replace(")", ">")
        .replace(" STRUCT", ": STRUCT")
        .replace(" VARCHAR", ": STRING")
    )
    schema = f"event_time BIGINT, event STRING, payload STRUCT<payload: {body}>"
    reading = session.read.option("recursiveFileLookup", "true")
    raw = reading.parquet(source) if form == "parquet" else reading.schema(schema).json(source)
    raw.createOrReplaceTempView("raw")
    session.sql(
        f"""SELECT *, amount * CAST(p.payment_token.usd_price AS DOUBLE) AS usd,
          amount * CAST(p.payment_token.eth_price AS DOUBLE) AS eth FROM (
          SELECT event_time AS t, event_time - event_time % {HOUR} AS ws, event,
            p.collection.slug AS slug, p.item.nft_id AS nft, p.item.permalink AS url,
            p.item.metadata.name AS name, p.item.metadata.image_url AS image, p,
            greatest(coalesce(CAST(p.quantity AS BIGINT), 1), 1) AS quantity,
            CASE WHEN event = 'item_sold' THEN CAST(p.sale_price AS DOUBLE)
              / pow(10, CAST(p.payment_token.decimals AS INT)) END AS amount
          FROM (SELECT event_time, event, payload.payload AS p FROM raw) WHERE event_time IS NOT NULL)"""
    ).drop("p", "amount").cache().createOrReplaceTempView("events")
    for name, statement in tables(
        lambda column: f"max_by({column}, CASE WHEN {column} IS NOT NULL THEN t END)"
    ).items():
        frame = session.sql(statement)
        if name in ("collection", "asset"):
            frame = frame.cache()
        frame.createOrReplaceTempView(name)
        frame.coalesce(1).write.parquet(f"{out}/{name}")


def ours(engine: str) -> Callable[[str, str, str], None]:
    def run(source: str, out: str, form: str) -> None:
        from opensea_metrics.deploy import cli

        # Only the tables that are written by hand here; later migrations add others.
        sql = Path(out).with_name("sql")
        shutil.copytree("sql", sql, ignore=shutil.ignore_patterns("V005*", "*.py", "__pycache__"))
        sys.argv = ["opensea-metrics", "recompute", "all", "--window", "1 hour", "--source", source]
        sys.argv += ["--engine", engine, "--to-parquet", out, "--sql", str(sql)]
        try:
            cli.main()
        except SystemExit as ended:
            if ended.code:
                raise

    return run


WAYS: dict[str, Callable[[str, str, str], None]] = {
    "recompute, DuckDB": ours("duckdb"),
    "by hand, DuckDB": by_duckdb,
    "recompute, Spark": ours("spark"),
    "by hand, PySpark": by_spark,
}
PAIRS = (("recompute, DuckDB", "by hand, DuckDB"), ("recompute, Spark", "by hand, PySpark"))


@dataclass(frozen=True, order=True)
class Figures:
    """The figures of one process: wall seconds, CPU seconds, and peak memory in MB."""

    wall: float
    cpu: float
    peak: float


def child(way: str, source: str, out: str, form: str) -> None:
    """Runs one way, and prints its CPU seconds and MB."""
    WAYS[way](source, out, form)
    used = list(processes(os.getpid()))
    print("figures", sum(cpu for cpu, _ in used), sum(peak for _, peak in used))


def processes(pid: int) -> Iterator[tuple[float, float]]:
    """(CPU seconds, peak MB) of a process and of each descendant. CPU includes children that have ended.

    Spark works in a Java process that nobody waits for, so the figures of ended children are not enough.
    """
    text = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    status = Path(f"/proc/{pid}/status").read_text()
    peak = re.search(r"VmHWM:\s+(\d+)", status)
    yield sum(map(int, text[11:15])) / os.sysconf("SC_CLK_TCK"), int(peak[1]) / 1024 if peak else 0.0
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child_pid in (task / "children").read_text().split():
            yield from processes(int(child_pid))


def measured(way: str, source: Path, form: str) -> Figures | None:
    """Runs one way in its own process. Prints the reason and returns None if it does not run here."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "tests.bench.recompute",
            way,
            str(source),
            f"{folder}/out",
            form,
        ]
        begun = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        wall = time.perf_counter() - begun
    if done.returncode != 0:
        print(f"{way}: {(done.stderr.strip().splitlines() or ['failed'])[-1]}")
        return None
    return Figures(wall, *map(float, done.stdout.split("figures")[1].split()))


def available(way: str) -> str | None:
    """The reason why a way cannot run here, or None if it can."""
    if "Spark" not in way:
        return None
    if shutil.which("java") is None or importlib.util.find_spec("pyspark") is None:
        return "needs java and pyspark"
    return None


def compare(source: Path, form: str, events: int, runs: int) -> None:
    """Measure the ways in turns. Print the best run of each, and the ratios of the best runs."""
    ways = []
    for way in WAYS:
        if reason := available(way):
            print(f"{way}: left out, {reason}")
        else:
            ways.append(way)
    figures_of: dict[str, list[Figures]] = {way: [] for way in ways}
    for _ in range(runs):
        for way in ways:
            if (figures := measured(way, source, form)) is not None:
                figures_of[way].append(figures)
    print(f"{events:,} events, {form}, best of {runs}:")
    best = {way: min(figures) for way, figures in figures_of.items() if figures}
    for way, figures in best.items():
        print(
            f"  {way:<20} {figures.wall:6.1f} s  {figures.cpu:6.1f} s of CPU  {figures.peak:6.0f} MB"
        )
    for one, other in PAIRS:
        if one in best and other in best:
            a, b = best[one], best[other]
            print(f"  {one} / {other}: {a.wall / b.wall:.2f} of time, {a.cpu / b.cpu:.2f} of CPU")


def main() -> None:
    if len(sys.argv) == 5:
        child(*sys.argv[1:])
        return
    from opensea_metrics.producer.sample import (
        write_sample,  # Imported here because the hand-written ways must not load this project.
    )

    runs = int(os.environ.get("RUNS", "3"))
    with tempfile.TemporaryDirectory() as folder:
        for events in map(int, os.environ.get("EVENTS", "1000000 5000000").split()):
            source = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(folder) / str(events) / TOPIC
            if len(sys.argv) == 1:
                write_sample(source.parents[1], events)
            compare(source, "gz", events, runs)
            compact = Path(folder) / f"{events}-compact" / TOPIC.rsplit("/", 1)[-1]
            shutil.copytree(source, compact)
            command = [
                sys.executable,
                "-c",
                "from opensea_metrics.deploy.cli import main; main()",
                "archive",
                "compact",
            ]
            done = subprocess.run(
                [*command, "--source", str(compact)], capture_output=True, text=True, check=False
            )
            if done.returncode == 0:
                compare(compact, "parquet", events, runs)
            else:
                print(f"Parquet: left out, {(done.stderr.strip().splitlines() or ['?'])[-1]}")
            shutil.rmtree(compact)


if __name__ == "__main__":
    main()
