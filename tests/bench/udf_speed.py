"""Compares the speed of the Python functions with the nearest built-in function of each engine.

On DuckDB, and on Spark if it is installed, it compares TOKEN_AMOUNT with CAST and POWER, and TOP_BY_KEY with the N
greatest of a list (the embedded server's TOPK). In a JVM it compares the generated classes with a bare call through
Jep with the same arguments. Times are CPU times for DuckDB and for one JVM thread, so a busy machine matters little.
Run: python -m tests.bench.udf_speed [ROWS] [CALLS OF THE SOAK TEST]
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import duckdb

from opensea_metrics.core.definition import UdfError
from opensea_metrics.udfs import duckdb as duckdb_udfs
from opensea_metrics.udfs import registry
from opensea_metrics.udfs import spark as spark_udfs
from opensea_metrics.udfs.ksqldb import build
from opensea_metrics.udfs.ksqldb.jvm import Jvm
from tests.udfs.jars import ksqldb_classes

_ROWS = (
    # From a thousandth of an ETH to ten.
    "SELECT CAST((1e15 + range % 1000000 * 7919)::HUGEINT * pow(10, range % 5)::HUGEINT AS VARCHAR) AS price,"
    " 18 AS decimals,"
    " 'collection-' || (range * 37 % 2000) AS slug, (range * 31 % 100003)::DOUBLE AS volume,"
    " range AS off, range % 50 AS w FROM range({rows})"
)
_VALIDATED = "CASE WHEN regexp_full_match(price, '[0-9]{1,78}') THEN CAST(price AS DOUBLE) END"


def best(
    run: Callable[[], object], clock: Callable[[], float] = time.process_time, rounds: int = 3
) -> float:
    """The CPU seconds of the fastest run. For work in other processes, pass a clock of wall time."""
    times = []
    for _ in range(rounds):
        start = clock()
        run()
        times.append(clock() - start)
    return min(times)


def report(engine: str, rows: int, seconds: dict[str, float]) -> None:
    """Print rows/s, and each time as a multiple of the first one."""
    base = next(iter(seconds.values()))
    for name, taken in seconds.items():
        print(f"{engine:8} {name:48} {rows / taken:14,.0f} rows/s   {taken / base:6.2f} ×")


def on_duckdb(rows: int) -> None:
    """Compares scalar queries and grouped queries in DuckDB."""
    connection = duckdb.connect()
    duckdb_udfs.register(connection)
    connection.execute("SET enable_progress_bar = false")
    connection.execute(f"CREATE TABLE t AS {_ROWS.format(rows=rows)}")

    def scalar(expression: str) -> float:
        return best(lambda: connection.execute(f"SELECT sum({expression}) FROM t").fetchall())

    def grouped(partial: str, finish: str) -> float:
        query = f"SELECT w, {finish} FROM (SELECT w, {partial} AS a FROM t GROUP BY w)"
        return best(lambda: connection.execute(query).fetchall())

    report(
        "duckdb",
        rows,
        {
            "CAST(price AS DOUBLE) / POWER(10, decimals)": scalar(
                "CAST(price AS DOUBLE) / pow(10.0, decimals)"
            ),
            "the same, digits checked as V001 does": scalar(f"{_VALIDATED} / pow(10.0, decimals)"),
            "TOKEN_AMOUNT_DOUBLE(price, decimals)": scalar("token_amount_double(price, decimals)"),
            "TOKEN_AMOUNT(price, decimals)": scalar("token_amount(price, decimals)"),
        },
    )
    top = registry.functions()["TOP_BY_KEY"].in_duckdb(["10"])
    partial = top.partial.format("slug", "volume", "price", off="off")
    finish = top.finish.format(a=f"({top.tidy.format(a='a')})")
    report(
        "duckdb",
        rows,
        {
            "TOPK(volume, slug, price, 10)": grouped(
                "list({'v': volume, 'k': slug, 'd': price})", "list_sort(a, 'DESC')[1:10]"
            ),
            "TOP_BY_KEY(slug, volume, price, 10)": grouped(partial, finish),
        },
    )


def on_spark(rows: int) -> None:
    """Compares the same queries in Spark."""
    session = spark_udfs.local_session()
    spark_udfs.register(session)
    session.sql(
        "SELECT CAST((1000000000000000 + id % 1000000 * 7919) * CAST(pow(10, id % 5) AS DECIMAL(10, 0))"
        " AS STRING) AS price, 18 AS decimals,"
        " concat('collection-', id * 37 % 2000) AS slug, CAST(id * 31 % 100003 AS DOUBLE) AS volume,"
        f" id % 50 AS w FROM range({rows})"
    ).cache().createOrReplaceTempView("t")
    session.sql("SELECT count(*) FROM t").collect()

    def run(query: str) -> float:
        return best(lambda: session.sql(query).collect(), time.perf_counter)

    report(
        "spark",
        rows,
        {
            "CAST(price AS DOUBLE) / POWER(10, decimals)": run(
                "SELECT sum(CAST(price AS DOUBLE) / POWER(10, decimals)) FROM t"
            ),
            "TOKEN_AMOUNT_DOUBLE(price, decimals)": run(
                "SELECT sum(token_amount_double(price, decimals)) FROM t"
            ),
            "TOKEN_AMOUNT(price, decimals)": run("SELECT sum(token_amount(price, decimals)) FROM t"),
        },
    )
    entries = "sort_array(collect_list(struct(volume, slug, price)), false)"
    report(
        "spark",
        rows,
        {
            "N greatest of a sorted list": run(f"SELECT w, slice({entries}, 1, 10) FROM t GROUP BY w"),
            "TOP_BY_KEY(slug, volume, price, 10)": run(
                "SELECT w, top_by_key(slug, volume, price, 10) FROM t GROUP BY w"
            ),
        },
    )
    session.stop()


def in_jvm(calls: int) -> None:
    """Compares the generated classes. ``calls`` is the number of calls in the soak test."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        jvm = Jvm(ksqldb_classes(folder), folder / "classes")
        source = Path(__file__).with_name("UdfBench.java")
        build.compile_java({source.name: source.read_text()}, folder / "classes", jvm.class_path)
        print(subprocess.run(
            jvm.command("UdfBench", "1000000", str(calls)), check=True, capture_output=True, text=True
        ).stdout)  # fmt: skip


if __name__ == "__main__":
    given = [int(argument) for argument in sys.argv[1:]]
    count = given[0] if given else 1_000_000
    in_jvm(given[1] if len(given) > 1 else 10_000_000)
    on_duckdb(count)
    try:
        on_spark(count)
    except UdfError as error:
        print(f"spark    {error}")
