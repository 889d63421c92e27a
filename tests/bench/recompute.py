"""Compares recompute with hand-written DuckDB SQL for the same numbers, and if asked with hand-written PySpark.

All compute the market, collections, assets and top lists of one-hour windows, and write Parquet files. The sources are
gz files of our own format and of the predecessor's, and compacted Parquet. One comparison has the trading metrics of
V005 too. The ways run in turns, each in its own process. Time (as ``time`` shows it), CPU and greatest resident memory
include child processes. Ways that cannot run here are left out with a message.

Run: [EVENTS="1000000 5000000"] [RUNS=3] [ENGINES="duckdb spark"] python -m tests.bench.recompute
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench import goals, memory
from tests.bench.foreign import write_foreign

HOUR = 3_600_000
TOPIC = "topics/OpenSeaRawEvents"
_ZERO = "0x" + "0" * 40
_DEAD = "0x000000000000000000000000000000000000dead"
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


def by_duckdb(case: Case, source: str, out: str) -> None:
    """The metrics as one would write them by hand for DuckDB."""
    import duckdb

    database = duckdb.connect()
    body, time_of, sent_at, accounts = _BODY, "event_time", "", ""
    if case.form == "predecessor":
        body = body.replace("STRUCT(", "STRUCT(event_timestamp VARCHAR, ", 1)
        time_of = "epoch_ms(coalesce(TRY_CAST(p.event_timestamp AS TIMESTAMP), TRY_CAST(sent_at AS TIMESTAMP)))"
        sent_at = "sent_at VARCHAR, "
    if case.trading:
        body = body.replace("STRUCT(", f"STRUCT(chain VARCHAR, {_ACCOUNTS}, ", 1)
        accounts = f""", p.chain AS chain, {_address("p.maker.address")} AS maker,
          {_address("p.taker.address")} AS taker,
          CASE WHEN event = 'item_sold' THEN 'sale' WHEN p.from_account.address = '{_ZERO}' THEN 'mint'
            WHEN lower(p.to_account.address) IN ('{_ZERO}', '{_DEAD}') THEN 'burn' ELSE 'move' END AS what"""
    fields = "event_time, event" if time_of == "event_time" else "event, payload.sent_at AS sent_at"
    columns = "" if sent_at else "event_time: 'BIGINT', "
    reader = (
        f"read_parquet('{source}/**/*.parquet')"
        if case.form == "parquet"
        else f"read_json('{source}/**/*.json.gz', format = 'newline_delimited', ignore_errors = true,"
        f" columns = {{{columns}event: 'VARCHAR', payload: 'STRUCT({sent_at}payload {body})'}})"
    )
    database.execute(
        f"""CREATE TABLE events AS SELECT {time_of} AS t, t - t % {HOUR} AS ws, event,
          p.collection.slug AS slug, p.item.nft_id AS nft, p.item.permalink AS url,
          p.item.metadata.name AS name, p.item.metadata.image_url AS image,
          greatest(coalesce(TRY_CAST(p.quantity AS BIGINT), 1), 1) AS quantity,
          CASE WHEN event = 'item_sold' THEN TRY_CAST(p.sale_price AS DOUBLE)
            / pow(10, TRY_CAST(p.payment_token.decimals AS INT)) END AS amount,
          amount * TRY_CAST(p.payment_token.usd_price AS DOUBLE) AS usd,
          amount * TRY_CAST(p.payment_token.eth_price AS DOUBLE) AS eth{accounts}
        FROM (SELECT {fields}, payload.payload AS p FROM {reader})"""
    )
    Path(out).mkdir()
    selects = tables(lambda column: f"arg_max({column}, t)") | ({"trading": _TRADING} if case.trading else {})
    for name, statement in selects.items():
        database.execute(f"CREATE TABLE {name} AS {statement}")
        database.execute(f"COPY {name} TO '{out}/{name}.parquet' (COMPRESSION zstd)")


def _address(text: str) -> str:
    return f"CASE WHEN {text} LIKE '0x%' THEN lower({text}) ELSE {text} END"


def _same(other: str) -> str:
    return " AND ".join(f"sums.{key} IS NOT DISTINCT FROM {other}.{key}" for key in ("ws", "chain", "slug"))


_ACCOUNTS = ", ".join(f"{name} STRUCT(address VARCHAR)" for name in ("maker", "taker", "from_account", "to_account"))
_SCOPES = "GROUPING SETS ((ws), (ws, chain), (ws, slug))"
# Grouping sets instead of three rows for each event. Trades are counted by asset and pair first, for the wash volume.
_TRADING = f"""WITH trades AS MATERIALIZED (SELECT * FROM events WHERE {_COUNTED})
  SELECT sums.*, traders, usd_volume - coalesce(wash_volume, 0) AS organic FROM (
    SELECT ws, chain, slug, count(*) FILTER (what = 'sale') AS sales, coalesce(sum(usd), 0) AS usd_volume,
      quantile_disc(usd / quantity, 0.5) AS median, count(*) FILTER (what = 'mint') AS mints,
      count(*) FILTER (what = 'burn') AS burns, greatest(count(*) - 2 * sales, 0) AS without_sale
    FROM trades GROUP BY {_SCOPES}) AS sums
  LEFT JOIN (SELECT ws, chain, slug, count(DISTINCT account) AS traders FROM (
      SELECT ws, chain, slug, unnest([maker, taker]) AS account FROM trades WHERE what = 'sale')
    GROUP BY {_SCOPES}) AS accounts ON {_same("accounts")}
  LEFT JOIN (SELECT ws, chain, slug, sum(usd) AS wash_volume FROM (
      SELECT *, count(*) OVER (PARTITION BY ws, nft, least(maker, taker), greatest(maker, taker)) AS times
      FROM trades WHERE usd IS NOT NULL) WHERE maker = taker OR times > 1
    GROUP BY {_SCOPES}) AS washed ON {_same("washed")}"""


def by_spark(case: Case, source: str, out: str) -> None:
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
    raw = reading.parquet(source) if case.form == "parquet" else reading.schema(schema).json(source)
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


def ours(engine: str) -> Callable[[Case, str, str], None]:
    def run(case: Case, source: str, out: str) -> None:
        from opensea_metrics.deploy import cli

        # Only the tables that are written by hand here.
        sql = Path(out).with_name("sql")
        left_out = ["*.py", "__pycache__", *([] if case.trading else ["V005*"])]
        shutil.copytree("sql", sql, ignore=shutil.ignore_patterns(*left_out))
        sys.argv = ["opensea-metrics", "recompute", "all", "--window", "1 hour", "--source", source]
        sys.argv += ["--engine", engine, "--to-parquet", out, "--sql", str(sql)]
        try:
            cli.main()
        except SystemExit as ended:
            if ended.code:
                raise

    return run


@dataclass(frozen=True)
class Case:
    """A comparison: the source's format, whether the trading metrics are computed, and the goals for the ratio of time
    at one million events and at five."""

    form: str
    trading: bool = False
    goals: tuple[float, float] = (1.2, 1.1)

    @property
    def name(self) -> str:
        source = {
            "own": "gz of our own format",
            "predecessor": "gz of the predecessor's format",
            "parquet": "compacted Parquet",
        }[self.form]
        return f"recompute from {source}, with {'V005, trading' if self.trading else 'V001 to V004'}"


CASES = (
    Case("own"),
    Case("predecessor", goals=(1.5, 1.3)),
    Case("own", trading=True, goals=(1.5, 1.5)),
    Case("parquet", goals=(1.5, 1.5)),
)
SPARK_GOAL = 1.1
FASTER = 4.0
"""How many times as fast compacted Parquet must be as gz."""
WAYS: dict[str, dict[str, Callable[[Case, str, str], None]]] = {
    "duckdb": {"recompute": ours("duckdb"), "by hand": by_duckdb},
    "spark": {"recompute": ours("spark"), "by hand": by_spark},
}


@dataclass(frozen=True, order=True)
class Figures:
    """The figures of one process: wall seconds, CPU seconds, and peak memory in MB."""

    wall: float
    cpu: float
    peak: float


def child(engine: str, way: str, number: str, source: str, out: str) -> None:
    """Runs one way, and prints its CPU seconds and MB."""
    WAYS[engine][way](CASES[int(number)], source, out)
    used = list(processes(os.getpid()))
    print("figures", sum(cpu for cpu, _ in used), sum(peak for _, peak in used))


def processes(pid: int) -> Iterator[tuple[float, float]]:
    """(CPU seconds, peak MB) of a process and of each descendant. CPU includes children that have ended.

    Spark works in a Java process that nobody waits for, so the figures of ended children are not enough.
    """
    text = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    yield sum(map(int, text[11:15])) / os.sysconf("SC_CLK_TCK"), memory.peak(pid)
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child_pid in (task / "children").read_text().split():
            yield from processes(int(child_pid))


def measured(engine: str, way: str, case: Case, source: Path) -> Figures:
    """Runs one way in its own process."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = [engine, way, str(CASES.index(case)), str(source), f"{folder}/out"]
        begun = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "tests.bench.recompute", *arguments], capture_output=True, text=True, check=False
        )
        wall = time.perf_counter() - begun
    if done.returncode != 0:
        raise SystemExit(f"{case.name}, {way}: {done.stderr.strip()}")
    return Figures(wall, *map(float, done.stdout.split("figures")[1].split()))


def compare(engine: str, case: Case, source: Path, events: int, runs: int) -> Figures:
    """Measure both ways in turns, print a line, and return our best run."""
    figures: dict[str, list[Figures]] = {way: [] for way in WAYS[engine]}
    for _ in range(runs):
        for way, measures in figures.items():
            measures.append(measured(engine, way, case, source))
    best, by_hand = (min(measures) for measures in figures.values())
    goal = SPARK_GOAL if engine == "spark" else case.goals[events > 1_000_000]
    cpu, hand_cpu = (min(each.cpu for each in measures) for measures in figures.values())
    goals.show(
        f"{case.name}, {engine}, {events:,} events, time by hand", best.wall / by_hand.wall, goal,
        more=f"{cpu / hand_cpu:.2f} × of CPU; {best.wall:.1f} s, {cpu:.1f} s of CPU and {best.peak:.0f} MB"
        f" against {by_hand.wall:.1f} s, {hand_cpu:.1f} s and {by_hand.peak:.0f} MB; best of {runs}",
    )  # fmt: skip
    return best


def sources(folder: Path, events: int) -> dict[str, Path]:
    """A topic's folder for each form."""
    # Imported here because the hand-written ways must not load this project.
    from opensea_metrics.producer.sample import write_sample

    topic = TOPIC.rsplit("/", 1)[-1]
    own, foreign, compact = folder / "own" / TOPIC, folder / "foreign" / topic, folder / "compact" / topic
    write_sample(own.parents[1], events)
    write_foreign(own, foreign)
    shutil.copytree(own, compact)
    command = [sys.executable, "-c", "from opensea_metrics.deploy.cli import main; main()", "archive", "compact"]
    subprocess.run([*command, "--source", str(compact)], capture_output=True, check=True)
    return {"own": own, "predecessor": foreign, "parquet": compact}


def engines(asked: Sequence[str]) -> Iterator[str]:
    for engine in asked:
        if engine == "spark" and (shutil.which("java") is None or importlib.util.find_spec("pyspark") is None):
            print("spark is left out: it needs java and pyspark")
        else:
            yield engine


def main() -> None:
    if len(sys.argv) == 6:
        child(*sys.argv[1:])
        return
    runs = int(os.environ.get("RUNS", "3"))
    asked = list(engines(os.environ.get("ENGINES", "duckdb").split()))
    for events in map(int, os.environ.get("EVENTS", "1000000").split()):
        with tempfile.TemporaryDirectory() as folder:
            archives = sources(Path(folder), events)
            for engine in asked:
                # By hand, only DuckDB has the trading metrics and the predecessor's event times.
                chosen = [c for c in CASES if engine == "duckdb" or (c.form != "predecessor" and not c.trading)]
                best = {case: compare(engine, case, archives[case.form], events, runs) for case in chosen}
                faster = best[CASES[0]].wall / best[CASES[-1]].wall
                name = f"recompute from compacted Parquet, {engine}, {events:,} events, times as fast as from gz"
                goals.show(name, faster, FASTER, is_least=True)


if __name__ == "__main__":
    main()
