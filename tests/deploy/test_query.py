"""The verb ``query``, run as users run it: rows as they come, and every way in which it ends."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import IO

import pyarrow.parquet as pq
import pytest

from opensea_metrics.core.errors import SqlError
from opensea_metrics.deploy.client import KsqlClient, KsqlError, QueryEnded
from opensea_metrics.deploy.embedded.server import running
from opensea_metrics.deploy.output.forms import Form
from opensea_metrics.deploy.query.user_statements import Action, UserStatement, statements_in
from opensea_metrics.deploy.shell.runner import Runner, View, refusing
from tests.deploy.stub import Canned, Stub

COMMAND = [sys.executable, "-c", "from opensea_metrics.deploy.cli import main; main()", "query"]
Start = Callable[..., "subprocess.Popen[str]"]
HEADER = "ID              N\n"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("data")) as found:
        yield found


@pytest.fixture
def client(url: str) -> Iterator[KsqlClient]:
    """Of a server with an empty stream S."""
    made = KsqlClient(url)
    made.execute(
        "CREATE STREAM s (id VARCHAR, n BIGINT)"
        " WITH (KAFKA_TOPIC='s', PARTITIONS=1, VALUE_FORMAT='JSON');"
    )
    yield made
    made.execute("DROP STREAM s DELETE TOPIC;")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts the command beside the test, which sees what it prints while it runs."""
    started: list[subprocess.Popen[str]] = []

    def run(
        url: str, *arguments: str, terminal: int | None = None, stdin: int = subprocess.DEVNULL
    ) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*COMMAND, "--server", url, *arguments],
            stdin=stdin,
            stdout=subprocess.PIPE if terminal is None else terminal,
            stderr=subprocess.PIPE if terminal is None else terminal,
            text=True,
            env={**os.environ, "PYTHONPATH": os.getcwd()},
            cwd=tmp_path,  # away from a developer's .env
            # A shell starts its background jobs with Ctrl-C ignored, which their children inherit.
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        )
        started.append(process)
        return process

    yield run
    for each in started:
        each.kill()
        each.wait()


def insert(client: KsqlClient, name: str, number: int) -> None:
    client.execute(f"INSERT INTO s (id, n) VALUES ('{name}', {number});")


def out(process: subprocess.Popen[str]) -> IO[str]:
    assert process.stdout is not None
    return process.stdout


def test_a_row_is_shown_before_the_next_one_exists(client: KsqlClient, start: Start) -> None:
    process = start(client.url, "SELECT * FROM s EMIT CHANGES")
    assert out(process).readline() == HEADER
    insert(client, "a", 1)
    assert out(process).readline() == "a               1\n"
    insert(client, "b", 2)
    assert out(process).readline() == "b               2\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate() == ("", "")
    assert process.returncode == 130


def test_rows_as_json_until_the_limit(client: KsqlClient, start: Start) -> None:
    process = start(client.url, "--json", "SELECT * FROM s EMIT CHANGES LIMIT 2;  -- two")
    insert(client, "a", 1)
    assert out(process).readline() == '{"ID": "a", "N": 1}\n'
    insert(client, "b", 2)
    assert process.communicate() == ('{"ID": "b", "N": 2}\n', "")
    assert process.returncode == 0


def test_a_reader_that_goes_away(client: KsqlClient, start: Start) -> None:
    process = start(client.url, "SELECT * FROM s EMIT CHANGES")
    assert out(process).readline() == HEADER
    out(process).close()
    insert(client, "a", 1)
    assert process.stderr is not None
    assert process.stderr.read() == ""
    assert process.wait() == 141


def test_a_server_that_goes_away(tmp_path: Path, start: Start) -> None:
    with running(tmp_path) as url:
        client = KsqlClient(url)
        client.execute(
            "CREATE STREAM s (id VARCHAR, n BIGINT)"
            " WITH (KAFKA_TOPIC='s', PARTITIONS=1, VALUE_FORMAT='JSON');"
        )
        process = start(url, "SELECT * FROM s EMIT CHANGES")
        assert out(process).readline() == HEADER
    rest, err = process.communicate()
    assert (rest, process.returncode) == ("", 1)
    assert err.startswith("error: the server is stopping; ask again when it is up")
    assert "Traceback" not in err


def test_on_a_terminal_columns_grow(client: KsqlClient, start: Start) -> None:
    insert(client, "a-collection-with-a-long-name", 1)
    insert(client, "日本", 2)
    insert(client, "x" * 60, 3)
    ours, theirs = pty.openpty()
    process = start(client.url, "SELECT * FROM s EMIT CHANGES LIMIT 3", terminal=theirs)
    assert process.wait() == 0
    assert os.read(ours, 10_000).decode().replace("\r", "") == (
        HEADER
        + "a-collection-with-a-long-name  1\n"
        + "日本                           2\n"
        + "x" * 60
        + "  3\n"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT * FROM s EMIT CHANGES", True),
        ("-- of all\nselect * from s emit /* all */ changes limit 3;", True),
        ("SELECT * FROM s EMIT FINAL;", True),
        ("SELECT * FROM s WHERE id = 'EMIT CHANGES';", False),
        ("SELECT * FROM s -- EMIT CHANGES", False),
        ("SELECT `EMIT CHANGES` FROM s", False),
    ],
)
def test_what_is_a_push_query(text: str, expected: bool) -> None:
    (statement,) = statements_in(text)
    assert statement.action == (Action.PUSH if expected else Action.PULL)


def test_a_comment_at_the_end_takes_nothing_with_it() -> None:
    assert list(statements_in("-- all\nSELECT id FROM s;; -- all")) == [UserStatement("SELECT id FROM s;", Action.PULL)]


@pytest.mark.parametrize(
    ("text", "actions"),
    [
        ("SHOW STREAMS; DROP STREAM s;", [Action.ASK, Action.CHANGE]),
        ("select 1 from s emit changes; print 't'", [Action.PUSH, Action.PRINT]),
        ("SET 'a'='b';; UNSET 'a'; DEFINE x = '1';", [Action.SESSION] * 3),
        ("INSERT INTO s VALUES ('SELECT;'); WHATEVER x;", [Action.CHANGE] * 2),
        ("-- nothing", []),
    ],
)
def test_what_statements_do(text: str, actions: list[Action]) -> None:
    assert [statement.action for statement in statements_in(text)] == actions


def test_text_that_cannot_be_read() -> None:
    with pytest.raises(SqlError, match="cannot be read: ' is never closed"):
        list(statements_in("SHOW TABLES; SELECT 'a"))


@pytest.mark.parametrize("arguments", [["DROP STREAM s"], ["--read-only", "DROP STREAM s"], ["CREATE TYPE t AS INT"]])
def test_a_change_needs_consent(client: KsqlClient, start: Start, arguments: list[str]) -> None:
    process = start(client.url, *arguments)
    printed, err = process.communicate()
    assert (printed, process.returncode) == ("", 1)
    assert "changes the server, and there is no terminal to ask on\n  hint: write it into a migration" in err
    assert [stream.name for stream in client.streams() if stream.name == "S"] == ["S"]


def test_a_change_with_consent(client: KsqlClient, start: Start) -> None:
    process = start(client.url, "--yes", "INSERT INTO s (id, n) VALUES ('a', 5); SELECT n FROM s;", "--json")
    assert process.communicate() == ('{"N": 5}\n', "")


def test_a_refused_query(client: KsqlClient, start: Start) -> None:
    process = start(client.url, "SELECT * FROM nope EMIT CHANGES;")
    printed, err = process.communicate()
    assert (printed, process.returncode) == ("", 1)
    assert err.startswith("error: ")
    assert "NOPE does not exist" in err


def test_a_file_of_statements_and_stdin(client: KsqlClient, start: Start, tmp_path: Path) -> None:
    insert(client, "a", 1)
    (tmp_path / "report.sql").write_text("-- both\nSELECT COUNT(*) AS many FROM s;\nSELECT id FROM s;\n")
    process = start(client.url, "-f", "report.sql", "--format", "csv")
    assert process.communicate() == ("MANY\n1\nID\na\n", "grouped here, 1 row pulled\n")
    piped = start(client.url, "--json", stdin=subprocess.PIPE)
    assert piped.communicate("SELECT n FROM s ORDER BY n;") == ('{"N": 1}\n', "sorted here, 1 row pulled\n")
    assert (process.returncode, piped.returncode) == (0, 0)


def test_a_failure_ends_a_file_of_statements(client: KsqlClient, start: Start) -> None:
    process = start(client.url, "SELECT id FROM s; SELECT nope FROM s ORDER BY 1; SELECT id FROM s;", "--json")
    printed, err = process.communicate()
    assert (printed, process.returncode) == ("", 1)
    assert "  1 | SELECT nope FROM s ORDER BY 1;\n    |        ^\n" in err


def test_out_writes_exact_values(client: KsqlClient, start: Start, tmp_path: Path) -> None:
    client.execute("INSERT INTO s (id, n, ROWTIME) VALUES ('a', 1, 1789466400000);")
    query = "SELECT id, n, ROWTIME AS seen FROM s"
    for name in ("s.csv", "s.parquet", "s.txt"):
        assert start(client.url, query, "--out", name).communicate() == ("", "")
    assert (tmp_path / "s.csv").read_text() == "ID,N,SEEN\na,1,1789466400000\n"
    assert "│ a  │ 1 │ 1789466400000 │" in (tmp_path / "s.txt").read_text()
    (row,) = pq.read_table(tmp_path / "s.parquet").to_pylist()
    assert row == {"ID": "a", "N": 1, "SEEN": datetime(2026, 9, 15, 10, tzinfo=UTC)}


def test_an_empty_result_says_why(client: KsqlClient, start: Start) -> None:
    process = start(client.url, "SELECT * FROM s")
    assert process.communicate()[1] == "no rows: nothing in the topic s\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--format", "parquet", "SELECT * FROM s"], "hint: name a file: --out FILE.parquet"),
        (["--out", "x.csv", "SELECT * FROM s; SELECT * FROM s"], "--out holds one result"),
        (["-f", "x.sql", "SHOW TABLES"], "give either QUERY or --file"),
        (["--yes", "--read-only", "SHOW TABLES"], "contradict each other"),
        (["/* nothing */"], "there is no statement"),
        (["-f", "nowhere.sql"], "error: nowhere.sql: No such file or directory"),
    ],
)
def test_options_that_do_not_go_together(
    client: KsqlClient, start: Start, arguments: list[str], message: str
) -> None:
    process = start(client.url, *arguments)
    printed, err = process.communicate()
    assert (printed, process.returncode) == ("", 1)
    assert message in " ".join(err.replace("│", " ").split())


def test_print(stub: Stub, capsys: pytest.CaptureFixture[str]) -> None:
    lines = "Key format: JSON\nrowtime: 2026/09/15, key: é, value: {}\n\n".encode()
    runner = Runner(stub.will_reply(Canned(200, lines)), View(), refusing(False))
    (statement,) = statements_in("PRINT 'sales' FROM BEGINNING;")
    runner.run(statement)
    assert capsys.readouterr().out == "Key format: JSON\nrowtime: 2026/09/15, key: é, value: {}\n"
    assert stub.requests[0][0] == "/query"
    assert stub.requests[0][1]["ksql"] == "PRINT 'sales' FROM BEGINNING;"


def test_print_fails(stub: Stub) -> None:
    refused = Canned.json({"@type": "statement_error", "error_code": 40001, "message": "no topic"}, 400)
    with pytest.raises(KsqlError, match="no topic"):
        list(stub.will_reply(refused).printed("PRINT 'x';"))
    with pytest.raises(QueryEnded, match="PRINT"):
        list(stub.will_reply(Canned(200, b"Key format: JSON\n", cut=True)).printed("PRINT 'x';"))


@pytest.mark.parametrize("query", ["SELECT * FROM amounts", "SELECT * FROM amounts ORDER BY id"])
def test_a_decimal_keeps_all_its_digits(
    url: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, query: str
) -> None:
    """A DOUBLE holds 17 of them."""
    client = KsqlClient(url)
    client.execute(
        "CREATE STREAM amounts (id VARCHAR, wei DECIMAL(38, 2), l ARRAY<DECIMAL(20, 0)>, d DOUBLE,"
        " m MAP<STRING, DOUBLE>) WITH (KAFKA_TOPIC='amounts', PARTITIONS=1, VALUE_FORMAT='JSON');"
    )
    client.execute(
        "INSERT INTO amounts (id, wei, l, d, m) VALUES ('a', 123456789012345678901234567890123456.78,"
        " ARRAY[CAST('12345678901234567890' AS DECIMAL(20, 0))], 1.50E0, MAP('k' := 2.50E0));"
    )
    try:
        shown = {}
        for form in (Form.JSON, Form.CSV, Form.TABLE):
            Runner(client, View(form), refusing(False)).run(UserStatement(query, Action.PULL))
            shown[form] = capsys.readouterr().out
        parquet = View(out=tmp_path / "a.parquet")
        Runner(client, parquet, refusing(False)).run(UserStatement(query, Action.PULL))
    finally:
        client.execute("DROP STREAM amounts DELETE TOPIC;")
    assert shown[Form.JSON] == (
        '{"ID": "a", "WEI": 123456789012345678901234567890123456.78, "L": [12345678901234567890], "D": 1.5,'
        ' "M": {"k": 2.5}}\n'
    )
    assert shown[Form.CSV].splitlines()[1] == (
        'a,123456789012345678901234567890123456.78,[12345678901234567890],1.5,"{""k"": 2.5}"'
    )
    assert "│ 123456789012345678901234567890123456.78 │" in shown[Form.TABLE]
    (row,) = pq.read_table(tmp_path / "a.parquet").to_pylist()
    assert (row["WEI"], row["L"]) == (Decimal("123456789012345678901234567890123456.78"), [12345678901234567890])
