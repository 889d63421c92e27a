"""The shell on real terminals: what is typed, what is shown, and that it goes on after every failure."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.demo import wait_until_read
from opensea_metrics.deploy.embedded.queries.client_queries import TransientQuery
from opensea_metrics.deploy.embedded.server import running
from tests.deploy.screen import Screen

PROMPT = "metrics>"
BASE = 1_789_466_400_000  # 2026-09-15 10:00:00
ROWS = 10_000


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KsqlClient]:
    """A server with three sales, a windowed table, and a stream of 10,000 rows."""
    folder = tmp_path_factory.mktemp("data")
    many = folder / "topics/many/year=2026/month=09/day=15/hour=10/many+0+0000000000.json"
    many.parent.mkdir(parents=True)
    many.write_text("".join(f'{{"n": {number}}}\n' for number in range(ROWS)))
    with running(folder) as url:
        client = KsqlClient(url)
        client.execute(
            "CREATE STREAM sales (slug VARCHAR, usd DOUBLE) WITH (KAFKA_TOPIC='sales', PARTITIONS=1,"
            " VALUE_FORMAT='JSON');"
            "CREATE STREAM many (n BIGINT) WITH (KAFKA_TOPIC='many', VALUE_FORMAT='JSON');"
            "CREATE TABLE volume AS SELECT slug, WINDOWSTART AS ws, SUM(usd) AS usd, COUNT(*) AS sales"
            " FROM sales WINDOW TUMBLING (SIZE 1 MINUTE) GROUP BY slug EMIT CHANGES;"
        )
        for slug, usd, minute in (("otters", 1234.5, 0), ("apes", 195185.40426926521, 1), ("cats", 0.000123456, 2)):
            client.execute(
                f"INSERT INTO sales (slug, usd, ROWTIME) VALUES ('{slug}', {usd!r}, {BASE + minute * 60_000});"
            )
        wait_until_read(client, 30)
        yield client


@pytest.fixture
def shell(client: KsqlClient, tmp_path: Path) -> Iterator[Screen]:
    with Screen(tmp_path, "query", "--server", client.url) as screen:
        screen.await_text(PROMPT)
        yield screen


SORTED = """\
metrics> SELECT slug, ws, usd, sales FROM volume
    ...> ORDER BY usd DESC;
┏━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━┳━━━━━━━┓
┃ SLUG   ┃ WS                  ┃ USD        ┃ SALES ┃
┡━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━╇━━━━━━━┩
│ apes   │ 2026-09-15 10:01:00 │ 195,185.40 │     1 │
│ otters │ 2026-09-15 10:00:00 │   1,234.50 │     1 │
│ cats   │ 2026-09-15 10:02:00 │  0.0001235 │     1 │
└────────┴─────────────────────┴────────────┴───────┘
sorted here, 3 rows pulled
3 rows, """


def test_a_sorted_query_over_two_lines(shell: Screen) -> None:
    shell.type("SELECT slug, ws, usd, sales FROM volume\rORDER BY usd DESC;\r")
    shell.await_text(PROMPT, count=2)  # before it, the terminal itself would act on control characters
    assert SORTED in shell.text
    assert b"\x1b[0;38;5;4;1mSELECT" in shell.raw or b"mSELECT" in shell.raw  # keywords have a colour
    shell.type("\x1b[A")  # the statement again, as one
    assert shell.await_text("ORDER BY usd DESC;", count=2)
    shell.type("\r")
    shell.await_text(PROMPT, count=3)
    shell.type("\x12BY usd")
    shell.await_text("I-search backward: BY usd")
    shell.type("\x03")
    shell.type(r"\q" + "\r")
    assert shell.await_end() == 0


def test_help_and_lists(shell: Screen) -> None:
    shell.type(r"\?" + "\r")
    assert "describes one" in shell.await_text("Ctrl-R searches them")
    shell.type(r"\dt" + "\r")
    assert "VOLUME" in shell.await_text("isWindowed")
    shell.type(r"\d volume" + "\r")
    shell.await_text("CTAS_VOLUME")
    shell.type(r"\df LCASE" + "\r")
    shell.await_text("LCASE(val1 VARCHAR)")
    shell.type(r"\nope" + "\r")
    shell.await_text("error: the shell has no command \\nope")


def test_completion(shell: Screen) -> None:
    shell.type("SELECT us\t")
    shell.await_text("SELECT usd")
    shell.type(" FROM vol\t")
    shell.await_text("SELECT usd FROM volume")
    shell.type(" WHERE windowst\t")
    shell.await_text("WHERE windowstart")


def test_a_push_query_ends_with_ctrl_c_on_the_server_too(shell: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = threading.Event()
    close = TransientQuery.close

    def closing(query: TransientQuery) -> None:
        close(query)
        closed.set()

    monkeypatch.setattr(TransientQuery, "close", closing)
    shell.type("SELECT slug, usd, ROWTIME FROM sales EMIT CHANGES;\r")
    shown = shell.await_text("cats ")
    assert "apes            195,185.40      2026-09-15 10:01:00" in shown
    assert not closed.is_set()
    shell.interrupt("ended")
    assert closed.wait(10)
    shell.type("SHOW TABLES;\r")
    shell.await_text("VOLUME")


def test_a_change_asks_first(shell: Screen, client: KsqlClient) -> None:
    drop = "DROP STREAM many2;\r"
    shell.type("CREATE STREAM many2 (n INT) WITH (KAFKA_TOPIC='many', VALUE_FORMAT='JSON');\r")
    assert "A migration is the place for it: opensea-metrics new" in shell.await_text("Run it now? [y/N]")
    shell.type("no\r")
    shell.await_text("nothing was changed")
    assert "MANY2" not in {stream.name for stream in client.streams()}
    shell.type("CREATE STREAM many2 (n INT) WITH (KAFKA_TOPIC='many', VALUE_FORMAT='JSON');\r")
    shell.await_text("Run it now?", count=2)
    shell.type("y\r")
    shell.await_text("Stream created")
    assert "MANY2" in {stream.name for stream in client.streams()}
    shell.type(drop)
    shell.await_text("Run it now?", count=3)
    shell.interrupt("ended")  # is a no
    client.execute("DROP STREAM many2;")


def test_a_read_only_shell_refuses_changes(client: KsqlClient, tmp_path: Path) -> None:
    with Screen(tmp_path, "query", "--read-only", "--server", client.url) as screen:
        screen.await_text(PROMPT)
        screen.type("DROP STREAM sales;\r")
        screen.await_text("error: this shell does not change the server")
        assert "SALES" in {stream.name for stream in client.streams()}


def test_ten_thousand_rows_and_a_long_paste(shell: Screen) -> None:
    shell.type("SELECT n FROM many ORDER BY n;\r")
    assert "│ 9,999 │" in shell.await_text("10,000 rows pulled", "10,000 rows, ", PROMPT)
    names = ", ".join(f"n + {number} AS c{number}" for number in range(4_000))
    paste = f"SELECT n FROM many WHERE n IN ({', '.join(map(str, range(9_000)))}) LIMIT 1; -- {names}"
    assert len(paste) > 50_000
    shell.type(f"\x1b[200~{paste}\x1b[201~")
    shell.await_text("AS c3999")
    shell.type("\x03SELECT n FROM many LIMIT 2;\r")
    assert "│ 1 │" in shell.await_text("2 rows, ")


def test_mistakes_leave_the_shell_usable(shell: Screen) -> None:
    shell.type("SELECT slugg FROM volume ORDER BY 1;\r")
    shown = shell.await_text("did you mean SLUG?")
    assert "error: query:1:8: SELECT column 'SLUGG' cannot be resolved.\n  1 | SELECT slugg" in shown
    assert "    |        ^\n" in shown
    shell.type("SELECT * FROM nowhere;\r")
    shell.await_text("error: ", count=2)
    shell.type("SET 'auto.offset.reset' = 'latest';\r")
    shell.await_text("auto.offset.reset = 'latest' in this session")
    shell.type("DEFINE t = 'volume'; SELECT COUNT(*) AS many FROM ${t};\r")
    shell.await_text("grouped here, 3 rows pulled")
    shell.type(r"\i nowhere.sql" + "\r")
    shell.await_text("error: nowhere.sql: No such file or directory")
    shell.await_text(PROMPT, count=6)
    shell.type("\x04")
    assert shell.await_end() == 0


def test_a_server_that_goes_away(tmp_path: Path) -> None:
    with running(tmp_path / "data") as url:
        KsqlClient(url).execute(
            "CREATE STREAM s (n BIGINT) WITH (KAFKA_TOPIC='s', PARTITIONS=1, VALUE_FORMAT='JSON');"
        )
        screen = Screen(tmp_path, "query", "--server", url)
        screen.await_text(PROMPT)
        screen.type("SELECT * FROM s EMIT CHANGES;\r")
        screen.await_text("EMIT CHANGES;\nN")
    with screen:
        screen.await_text("error: the server is stopping")
        screen.type("SHOW TABLES;\r")
        screen.await_text("error: no ksqlDB server answers at")
        screen.await_text(PROMPT, count=3)
        screen.type("\x04")
        assert screen.await_end() == 0


@pytest.mark.parametrize("columns", [40, 80])
def test_rows_fit_narrow_screens(client: KsqlClient, tmp_path: Path, columns: int) -> None:
    text = "SELECT slug, ws, usd FROM volume ORDER BY usd DESC LIMIT 1"
    with Screen(tmp_path, "query", "--server", client.url, text, columns=columns) as screen:
        assert screen.await_end() == 0
        if columns == 80:
            assert "│ apes │ 2026-09-15 10:01:00 │ 195,185.40 │" in screen.text
        else:
            first = screen.lines.index(f"row 1 {'─' * 34}")  # on a slow machine, below a line of progress
            row = screen.lines[first + 1 : first + 4]
            assert row == ["SLUG  apes", "WS    2026-09-15 10:01:00", "USD   195,185.40"]


def test_no_color(client: KsqlClient, tmp_path: Path) -> None:
    with Screen(tmp_path, "query", "--server", client.url, "SELECT * FROM volume LIMIT 1", NO_COLOR="1") as screen:
        assert screen.await_end() == 0
        assert b"\x1b[3" not in screen.raw
    with Screen(tmp_path, "query", "--server", client.url, NO_COLOR="1") as screen:
        screen.await_text(PROMPT)
        screen.type("SELECT 1")
        screen.await_text("SELECT 1")
        assert b"\x1b[0;38" not in screen.raw
        assert b";34" not in screen.raw
