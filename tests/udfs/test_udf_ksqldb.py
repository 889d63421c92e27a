"""The functions through SQL: on the server at KSQLDB_URL, else on the embedded one.

A server at KSQLDB_URL needs the functions' jar, made with OPENSEA_METRICS_UDFS=tests/udfs/own. Tests of
the metrics further want KAFKA_BOOTSTRAP_SERVERS, its brokers, and KSQLDB_RESTART, a shell command that
stops the server, starts it and returns when it answers again.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from opensea_metrics.core.definition import Definition
from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.client.topics import delete_topic
from opensea_metrics.deploy.demo import wait_until_read
from opensea_metrics.deploy.embedded import server
from opensea_metrics.udfs import engines, registry
from opensea_metrics.udfs.samples import SampleGroup, Samples
from tests import oracle
from tests.metrics import TABLES, frames, long_form, table_on_server
from tests.udfs.conftest import OWN

_URL = os.environ.get("KSQLDB_URL")
_PATIENCE = 120.0
_EARLIEST = {"auto.offset.reset": "earliest"}


def function(name: str) -> Definition:
    return registry.functions()[name]


@pytest.fixture(scope="module", autouse=True)
def own_functions() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(registry.VARIABLE, str(OWN / "echoes.py"))
        yield


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, own_functions: None) -> Iterator[KsqlClient]:
    if _URL is None:
        with server.running(tmp_path_factory.mktemp("data")) as url:
            yield KsqlClient(url)
        return
    client = KsqlClient(_URL)
    (reply,) = client.ask("SHOW FUNCTIONS;")
    if missing := {"TOP_BY_KEY", "LONGEST_TEXT"} - {f["name"].upper() for f in reply["functions"]}:
        pytest.skip(f"the server at KSQLDB_URL has no {missing}: build the jar with tests/udfs/own")
    yield client


@pytest.fixture
def name(client: KsqlClient) -> Iterator[str]:
    """A name for a table NAME_t and streams NAME_s and NAME. They and their topics are deleted at the end.

    A topic is deleted after the query that writes it has ended: a ksqlDB waits 60 seconds for a query whose
    output has no topic.
    """
    name = f"udf_{uuid.uuid4().hex[:8]}"
    yield name
    client.execute(f"DROP TABLE IF EXISTS {name}_t;")
    client.execute(f"DROP STREAM IF EXISTS {name}_s;")
    client.execute(f"DROP STREAM IF EXISTS {name};")
    for topic in (f"{name}_t", f"{name}_s", name):
        delete_topic(topic, client, None)


# -- shipped functions --------------------------------------------------------------------------


SHIPPED = {n: d for n, d in registry.functions().items() if d.call.__module__.startswith("opensea_metrics.udfs.")}


def test_shipped_functions_through_sql(client: KsqlClient, name: str) -> None:
    """Random rows in, every function's results out: those of plain Python."""
    scalars = [d for d in SHIPPED.values() if d.kind == "scalar"]
    rows = _rows()
    client.execute(
        f"CREATE STREAM {name} (id BIGINT, a VARCHAR, b VARCHAR, d INT, k VARCHAR, v DOUBLE, n BIGINT)"
        f" WITH (KAFKA_TOPIC='{name}', VALUE_FORMAT='JSON', PARTITIONS=1);"
    )
    calls = {
        "token_amount": "TOKEN_AMOUNT(a, d)",
        "token_amount_double": "TOKEN_AMOUNT_DOUBLE(a, d)",
        "nft_id_parts": "NFT_ID_PARTS(b)",
        "normalize_address": "NORMALIZE_ADDRESS(b)",
        "is_wash_trade": "IS_WASH_TRADE(a, b)",
    }
    assert {d.name.lower() for d in scalars} == calls.keys()
    selected = ", ".join(f"{call} AS {column}" for column, call in calls.items())
    client.execute(
        f"CREATE STREAM {name}_s WITH (KAFKA_TOPIC='{name}_s', VALUE_FORMAT='JSON')"
        f" AS SELECT id, {selected} FROM {name};",
        _EARLIEST,
    )
    aggregates = (
        "TOP_BY_KEY(k, v, a, 3) AS top, TOP_BY_KEY(k, n, a, 2) AS top_n,"
        " COUNT_DISTINCT_EXACT(k) AS keys, SKETCH_MEDIAN(v) AS median,"
        " SKETCH_PERCENTILE(n, 90) AS percentile, WASH_VOLUME(k, a, b, v) AS wash,"
        " COUNT_DISTINCT_EITHER(a, b) AS either"
    )
    client.execute(
        f"CREATE TABLE {name}_t WITH (KAFKA_TOPIC='{name}_t', VALUE_FORMAT='JSON')"
        f" AS SELECT 'all' AS scope, COUNT(*) AS c, {aggregates} FROM {name} GROUP BY 'all';",
        _EARLIEST,
    )
    for row in rows:
        values = ", ".join(map(_sql, row))
        client.execute(f"INSERT INTO {name} (id, a, b, d, k, v, n) VALUES ({values});")
    found = _until(client, f"SELECT * FROM {name}_s;", lambda found: len(found) == len(rows))
    for row, got in zip(rows, sorted(found, key=lambda r: r["ID"]), strict=True):
        _, a, b, d, *_ = row
        for definition in scalars:
            given = {"TOKEN_AMOUNT": (a, d), "TOKEN_AMOUNT_DOUBLE": (a, d), "IS_WASH_TRADE": (a, b)}
            case = given.get(definition.name, (b,))
            (wanted,) = engines.Python().results(definition, [case])
            _same(got[definition.name], wanted)
    _check_aggregates(client, name, rows)


def _rows() -> list[tuple[Any, ...]]:
    amounts = Samples(function("TOKEN_AMOUNT"), 7)
    ids = Samples(function("NFT_ID_PARTS"), 7)
    rows: list[tuple[Any, ...]] = []
    for index in range(60):
        amount, decimals = amounts.row()
        (nft_id,) = ids.row()
        key = None if index % 9 == 0 else f"k{index % 5}"
        value = None if index % 11 == 0 else float(index)
        rows.append((index, amount, nft_id, decimals, key, value, index))
    return rows


def _check_aggregates(client: KsqlClient, name: str, rows: list[tuple[Any, ...]]) -> None:
    (got,) = _until(
        client,
        f"SELECT * FROM {name}_t WHERE scope = 'all';",
        lambda found: bool(found) and found[0]["C"] == len(rows),
    )
    wanted: dict[str, tuple[str, tuple[Any, ...], list[tuple[Any, ...]]]] = {
        "TOP": ("TOP_BY_KEY", (3,), [(k, v, a) for _, a, _, _, k, v, _ in rows]),
        "TOP_N": ("TOP_BY_KEY", (2,), [(k, float(n), a) for _, a, _, _, k, _, n in rows]),
        "KEYS": ("COUNT_DISTINCT_EXACT", (), [(k,) for *_, k, _, _ in rows]),
        "MEDIAN": ("SKETCH_MEDIAN", (), [(v,) for *_, v, _ in rows]),
        "PERCENTILE": ("SKETCH_PERCENTILE", (90,), [(float(n),) for *_, n in rows]),
        "WASH": ("WASH_VOLUME", (), [(k, a, b, v) for _, a, b, _, k, v, _ in rows]),
        "EITHER": ("COUNT_DISTINCT_EITHER", (), [(a, b) for _, a, b, *_ in rows]),
    }
    for column, (aggregate, constants, columns) in wanted.items():
        (result,) = engines.Python().results(function(aggregate), [SampleGroup(constants, (tuple(columns),))])
        _same(got[column], result)


def _until(client: KsqlClient, query: str, done: Callable[[list[Any]], bool]) -> list[Any]:
    """The rows of a pull query as soon as they are as wished, or as they are after two minutes."""
    deadline = time.monotonic() + _PATIENCE
    while not done(found := client.pull(query)) and time.monotonic() < deadline:
        time.sleep(0.5)
    return found


def _sql(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return f"{value:E}" if isinstance(value, float) else str(value)


def _same(got: Any, wanted: Any) -> None:
    """Replies are JSON: a DECIMAL is a number in them."""
    if isinstance(wanted, dict):
        assert got == wanted or {k.upper(): v for k, v in got.items()} == wanted
    elif isinstance(wanted, list):
        assert [{k.upper(): v for k, v in e.items()} for e in got] == wanted
    elif wanted is None or isinstance(wanted, bool | str):
        assert got == wanted
    else:
        assert float(got) == pytest.approx(float(wanted), rel=1e-15)


# -- a project's own functions, and errors --------------------------------------------------------


def test_own_functions_and_errors(client: KsqlClient, name: str) -> None:
    """An exception is NULL (an aggregate leaves the row out), and the queries go on."""
    _declare(client, name)
    client.execute(
        f"CREATE STREAM {name}_s WITH (KAFKA_TOPIC='{name}_s', VALUE_FORMAT='JSON') AS SELECT id,"
        " WHOLE(text) AS whole, OR_DEFAULT(text, '-') AS or_default, HALF_UP(text) AS half_up,"
        f" LETTERS(text, 2) AS letter FROM {name};",
        _EARLIEST,
    )
    client.execute(
        f"CREATE TABLE {name}_t WITH (KAFKA_TOPIC='{name}_t', VALUE_FORMAT='JSON') AS SELECT"
        f" 'all' AS scope, LONGEST_TEXT(text, id, '+', 2) AS longest FROM {name} GROUP BY 'all';",
        _EARLIEST,
    )
    # WHOLE and HALF_UP raise for some texts, LONGEST_TEXT for 13; of no text there are no letters.
    for number, text in ((1, "5"), (2, "x"), (13, "3.005"), (3, None), (4, "1e9")):
        client.execute(f"INSERT INTO {name} (id, text) VALUES ({number}, {_sql(text)});")
    expected: dict[int, list[Any]] = {
        1: [5, "5", 5.0, "5", "5"],
        2: [None, "x", None, "x", "x"],
        13: [None, "3.005", 3.01, *"3.0053.005"],
        4: [None, "1e9", None, *"1e91e9"],
    }
    count = sum(len(row) - 3 for row in expected.values())
    found: dict[int, list[Any]] = {}
    for row in _until(client, f"SELECT * FROM {name}_s;", lambda rows: len(rows) == count):
        half_up = None if row["HALF_UP"] is None else float(row["HALF_UP"])
        found.setdefault(row["ID"], [row["WHOLE"], row["OR_DEFAULT"], half_up]).append(row["LETTER"])
    assert found == expected
    pull = f"SELECT * FROM {name}_t WHERE scope = 'all';"
    (row,) = _until(client, pull, lambda rows: bool(rows) and "1e94" in rows[0]["LONGEST"])
    assert row["LONGEST"] == "1e94+51"


@pytest.mark.skipif(_URL is None, reason="the embedded server tells errors in its own log")
def test_errors_are_in_the_processing_log(client: KsqlClient, name: str) -> None:
    _declare(client, name)
    client.execute(
        f"CREATE TABLE {name}_t WITH (KAFKA_TOPIC='{name}_t', VALUE_FORMAT='JSON') AS SELECT"
        " 'all' AS scope, LONGEST_TEXT(text, id, '+', 2) AS longest, MAX(WHOLE(text)) AS greatest"
        f" FROM {name} GROUP BY 'all';",
        _EARLIEST,
    )
    for number, text in ((13, name), (7, "77")):
        client.execute(f"INSERT INTO {name} (id, text) VALUES ({number}, {_sql(text)});")
    wanted = ("ValueError: 13 is refused", f"ValueError: invalid literal for int() with base 10: '{name}'")

    def told(rows: list[Any]) -> bool:
        return all(any(each in str(row) for row in rows) for each in wanted)

    assert told(_until(client, "SELECT * FROM KSQL_PROCESSING_LOG;", told))
    pull = f"SELECT * FROM {name}_t WHERE scope = 'all';"
    (row,) = _until(client, pull, lambda rows: bool(rows) and rows[0]["GREATEST"] == 77)
    assert (row["LONGEST"], row["GREATEST"]) == ("777", 77)


def test_scalars_in_pull_and_push_queries(client: KsqlClient, name: str) -> None:
    _declare(client, name)
    client.execute(f"INSERT INTO {name} (id, text) VALUES (18, '1500000000000000000');")
    query = f"SELECT TOKEN_AMOUNT_DOUBLE(text, 18) AS amount FROM {name} WHERE WHOLE(text) > 7"
    assert _until(client, f"{query};", bool) == [{"AMOUNT": 1.5}]
    (row,) = client.push(f"{query} EMIT CHANGES LIMIT 1;", _EARLIEST)
    assert row == {"AMOUNT": 1.5}


def test_describe_function_tells_what_the_docstring_does(client: KsqlClient) -> None:
    (reply,) = client.ask("DESCRIBE FUNCTION top_by_key;")
    assert (reply["name"], reply["type"].upper()) == ("TOP_BY_KEY", "AGGREGATE")
    assert reply["description"].startswith("The n keys with the greatest newest values")
    assert ">>> [(entry.key, entry.value, entry.detail)" in reply["description"]
    (reply,) = client.ask("DESCRIBE FUNCTION or_default;")
    (arguments,) = [each["arguments"] for each in reply["functions"]]
    assert [(a["name"], a["type"], a["description"]) for a in arguments] == [
        ("value", "VARCHAR", "may be NULL"),
        ("default", "VARCHAR", "what stands for NULL"),
    ]


def _declare(client: KsqlClient, name: str) -> None:
    client.execute(
        f"CREATE STREAM {name} (id BIGINT, text VARCHAR)"
        f" WITH (KAFKA_TOPIC='{name}', VALUE_FORMAT='JSON', PARTITIONS=1);"
    )


# -- the metrics on the real server (embedded: tests/embedded/test_metrics.py) ---------------------

_WINDOWS = {
    "1_MINUTE": (60_000, None),
    "2_MINUTES_BY_30_SECONDS": (120_000, 30_000),
}


def _command(*arguments: str) -> str:
    """Run the command; gives what it prints."""
    command = [str(Path(sys.executable).with_name("opensea-metrics")), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1_200, check=False)
    assert done.returncode == 0, done.stderr[-3_000:]
    return done.stdout


class Deployed:
    """The metrics on the server, and what has been sent to it."""

    def __init__(self, client: KsqlClient, brokers: str, folder: Path) -> None:
        self.client, self.brokers, self.folder = client, brokers, folder
        recording = folder / "frames.ndjson"
        recording.write_bytes(b"".join(frame + b"\n" for frame in frames()))
        # As of now: a broker deletes events that are older than RETENTION from the topics of windowed
        # tables at its next check, whether or not the queries behind them have read them.
        _command("replay", str(recording), "--data-dir", str(folder), "--to-now")
        self.records, _ = oracle.read(folder / "topics/OpenSeaRawEvents")
        self.expected: list[Any] = []

    def send(self) -> None:
        """All events (once more)."""
        _command("replay", str(self.folder), "--sink", "kafka", "--bootstrap", self.brokers)
        self.expected += self.records
        wait_until_read(self.client, 600)

    def check(self, window: str) -> None:
        """All metrics of a window; once more until they are right or two minutes are over, as a
        server that has just started may answer with what it knew some moments before it stopped."""
        metrics = oracle.compute(self.expected, *_WINDOWS[window])
        deadline = time.monotonic() + _PATIENCE
        checks = [partial(table_on_server, self.client, kind) for kind in TABLES]
        for compare in (*checks, partial(long_form, self.client)):
            while True:
                try:
                    compare(window, metrics)
                    break
                except AssertionError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(2)


@pytest.fixture(scope="module")
def deployed(client: KsqlClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """All migrations on the real server, for two windows; rolled back at the end."""
    if _URL is None:
        pytest.skip("KSQLDB_URL names no server")
    brokers = os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
    if not brokers:
        pytest.skip("KAFKA_BOOTSTRAP_SERVERS does not name the brokers of the server at KSQLDB_URL")
    windows = "[{size: 1 MINUTE}, {size: 2 MINUTES, slide: 30 SECONDS}]"
    _command("apply", "--server", _URL, "--sql", "sql", "--var", f"windows={windows}")
    made = Deployed(client, brokers, tmp_path_factory.mktemp("events"))
    made.send()
    yield made
    _command("rollback", "--server", _URL, "--sql", "sql", "--to", "0", "--yes")


@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("window", _WINDOWS)
def test_metrics_on_the_real_server(deployed: Deployed, window: str) -> None:
    deployed.check(window)


@pytest.fixture(scope="module")
def restarted(deployed: Deployed) -> Deployed:
    """The server has been stopped and started."""
    command = os.environ.get("KSQLDB_RESTART")
    if not command:
        pytest.skip("KSQLDB_RESTART has no command that restarts the server at KSQLDB_URL")
    subprocess.run(command, shell=True, check=True, timeout=600)
    return deployed


@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("window", _WINDOWS)
def test_state_is_kept_over_a_restart(restarted: Deployed, window: str) -> None:
    restarted.check(window)


@pytest.fixture(scope="module")
def resumed(restarted: Deployed) -> Deployed:
    """More events have been sent after the restart."""
    restarted.send()
    return restarted


@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("window", _WINDOWS)
def test_queries_resume_after_a_restart(resumed: Deployed, window: str) -> None:
    resumed.check(window)
