"""The server as a client sees it: durability, files that grow, refusals."""

from __future__ import annotations

import base64
import gzip
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.embedded import rounds, server
from opensea_metrics.deploy.embedded.rest import web_server
from opensea_metrics.deploy.embedded.storage import Storage, StorageError

SETUP = (
    "CREATE STREAM raw (t BIGINT, k VARCHAR, a BIGINT)"
    " WITH (KAFKA_TOPIC='raw', VALUE_FORMAT='JSON', PARTITIONS=1, TIMESTAMP='t');",
    "CREATE STREAM flat WITH (KAFKA_TOPIC='flat') AS SELECT k, a FROM raw EMIT CHANGES;",
    "CREATE TABLE sums AS SELECT k, COUNT(*) AS n, SUM(a) AS total FROM flat GROUP BY k EMIT CHANGES;",
)


def line(k: str, a: int, t: int = 1_789_467_000_000) -> bytes:
    return f'{{"t":{t},"k":"{k}","a":{a}}}\n'.encode()


def write(data: Path, name: str, content: bytes) -> Path:
    path = data / "topics/raw/year=2026" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    hidden = path.with_name("." + path.name)
    hidden.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    hidden.rename(path)
    return path


def eventually(look: Callable[[], object], expected: object) -> None:
    deadline = time.monotonic() + 20
    while look() != expected and time.monotonic() < deadline:
        time.sleep(0.1)
    assert look() == expected


def sums(client: KsqlClient) -> dict[str, tuple[int, int]]:
    return {row["K"]: (row["N"], row["TOTAL"]) for row in client.pull("SELECT * FROM sums;")}


def test_a_restarted_server_continues_and_counts_nothing_twice(tmp_path: Path) -> None:
    with server.running(tmp_path) as url:
        client = KsqlClient(url)
        for statement in SETUP:
            client.execute(statement)
        write(tmp_path, "raw+0+0000000000.json.gz", line("x", 1) + line("y", 5))
        eventually(lambda: sums(client), {"x": (1, 1), "y": (1, 5)})
    write(tmp_path, "raw+0+0000000002.json.gz", line("x", 10))
    with server.running(tmp_path) as url:
        client = KsqlClient(url)
        eventually(lambda: sums(client), {"x": (2, 11), "y": (1, 5)})
        write(tmp_path, "raw+0+0000000003.json.gz", line("z", 7))
        eventually(lambda: sums(client), {"x": (2, 11), "y": (1, 5), "z": (1, 7)})
        assert [query.id for query in client.queries()] == ["CSAS_FLAT_2", "CTAS_SUMS_3"]


def test_whole_lines_of_a_growing_file_are_read(tmp_path: Path) -> None:
    with server.running(tmp_path) as url:
        client = KsqlClient(url)
        for statement in SETUP:
            client.execute(statement)
        path = write(tmp_path, "raw.json", line("x", 1) + line("x", 2)[:9])
        eventually(lambda: sums(client), {"x": (1, 1)})
        with path.open("ab") as file:
            file.write(line("x", 2)[9:])
        eventually(lambda: sums(client), {"x": (2, 3)})


def test_files_that_a_client_finds_first_are_counted(tmp_path: Path) -> None:
    with server.running(tmp_path) as url:
        client = KsqlClient(url)
        for statement in SETUP:
            client.execute(statement)
        eventually(lambda: sums(client), {})
        for number in range(30):
            write(tmp_path, f"raw+0+{number:010}.json.gz", line("x", 1))
            client.ask("DESCRIBE flat EXTENDED;")  # looks for new files, to tell the lag
            time.sleep(0.02)
        eventually(lambda: sums(client), {"x": (30, 30)})


def test_bad_lines_and_a_damaged_file_stop_nothing(tmp_path: Path) -> None:
    with server.running(tmp_path) as url:
        client = KsqlClient(url)
        for statement in SETUP:
            client.execute(statement)
        path = write(tmp_path, "a.json.gz", line("x", 1) * 5_000)
        path.write_bytes(path.read_bytes()[:-12])
        os.utime(path, (1, 1))
        write(tmp_path, "b.json.gz", b"{broken\n\xff\xfe\n[1]\n" + line("y", 2) + b'{"t":1,"a":"no"}\n')
        eventually(lambda: sums(client).get("y"), (1, 2))
        assert client.healthcheck()
        log = client.pull(
            "SELECT message->deserializationError->errorMessage AS reason,"
            " message->deserializationError->recordB64 AS record FROM KSQL_PROCESSING_LOG;"
        )
        reasons = [row["REASON"].split("raw. ")[1] for row in log]
        assert [reason.split(" (")[0].split(";")[0] for reason in reasons] == [
            "not JSON", "not JSON", "not a JSON object", "A is not a valid BIGINT",
            "this file is damaged: its end is missing",
        ]  # fmt: skip
        assert "a.json.gz" in reasons[4]
        assert base64.b64decode(log[3]["RECORD"]) == b'{"t":1,"a":"no"}'
        assert log[4]["RECORD"] is None
        assert sums(client)["x"][0] > 4_000  # what stands before the damage


def test_a_table_may_be_dropped_before_its_source_only(tmp_path: Path) -> None:
    with server.running(tmp_path) as url:
        client = KsqlClient(url)
        for statement in SETUP:
            client.execute(statement)
        reply = httpx.post(f"{url}/ksql", json={"ksql": "DROP STREAM flat;"})
        assert reply.status_code == 400
        assert "read from this source: [SUMS]" in reply.json()["message"]
        client.execute("DROP TABLE sums;")
        client.execute("DROP STREAM flat;")
        assert {source.name for source in client.streams()} == {"RAW", "KSQL_PROCESSING_LOG"}


def test_a_push_query_returns_later_rows(tmp_path: Path) -> None:
    with server.running(tmp_path) as url:
        client = KsqlClient(url)
        for statement in SETUP:
            client.execute(statement)
        write(tmp_path, "a.json.gz", line("x", 1) + line("x", 2))
        rows = list(client.push("SELECT k, a FROM flat EMIT CHANGES LIMIT 2;"))
        assert [row["A"] for row in rows] == [1, 2]


def test_whole_structs_have_the_names_that_were_declared(tmp_path: Path) -> None:
    """The case of the names in the JSON does not matter: ksqlDB writes a STRUCT's fields as declared."""
    with server.running(tmp_path) as url:
        client = KsqlClient(url)
        client.execute(
            "CREATE STREAM nested (s STRUCT<a VARCHAR, l ARRAY<STRUCT<`b` BIGINT, c VARCHAR>>, m MAP<VARCHAR,"
            " STRUCT<d BIGINT>>>) WITH (KAFKA_TOPIC='raw', VALUE_FORMAT='JSON', PARTITIONS=1);"
        )
        record = b'{"s":{"a":"x","l":[{"b":1,"c":"y"},null],"m":{"k":{"d":2}}}}\n'
        write(tmp_path, "a.json.gz", record + b'{"s":{"a":"z"}}\n')
        query = "SELECT s, s->l[1] AS e, TO_JSON_STRING(s->l) AS j FROM nested EMIT CHANGES LIMIT 2;"
        assert list(client.push(query)) == [
            {
                "S": {"A": "x", "L": [{"b": 1, "C": "y"}, None], "M": {"k": {"D": 2}}},
                "E": {"b": 1, "C": "y"},
                "J": '[{"C":"y","b":1},null]',
            },
            {"S": {"A": "z", "L": None, "M": None}, "E": None, "J": "null"},
        ]


def test_late_rows_are_left_out(tmp_path: Path) -> None:
    minute = 60_000
    with server.running(tmp_path) as url:
        client = KsqlClient(url)
        client.execute(SETUP[0])
        client.execute(
            "CREATE TABLE w AS SELECT k, COUNT(*) AS n FROM raw WINDOW TUMBLING (SIZE 1 MINUTE, "
            "RETENTION 1 HOUR, GRACE PERIOD 1 MINUTE) GROUP BY k EMIT CHANGES;"
        )
        # The second row arrives a minute and a half late and counts. The last row arrives too late.
        times = [2 * minute, minute + 1, 10 * minute, minute]
        write(tmp_path, "a.json.gz", b"".join(line("x", 1, t) for t in times))
        counts = {minute: 1, 2 * minute: 1, 10 * minute: 1}
        eventually(lambda: {r["WINDOWSTART"]: r["N"] for r in client.pull("SELECT * FROM w;")}, counts)


def test_a_used_port_and_a_used_directory_are_reported(tmp_path: Path) -> None:
    with server.running(tmp_path) as url:
        port = int(url.rsplit(":", 1)[1])
        with pytest.raises(web_server.PortInUse, match="--port"), server.running(tmp_path / "b", port):
            pass
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(StorageError, match="--data-dir"):
        Storage(file / "data")


def test_a_replaced_query_continues_at_the_old_position(tmp_path: Path) -> None:
    with server.running(tmp_path) as url:
        client = KsqlClient(url)
        for statement in SETUP:
            client.execute(statement)
        write(tmp_path, "a.json.gz", line("x", 1) + line("x", 200))
        eventually(lambda: sums(client), {"x": (2, 201)})
        client.execute(
            "CREATE OR REPLACE STREAM flat WITH (KAFKA_TOPIC='flat') AS"
            " SELECT k, a FROM raw WHERE a < 100 EMIT CHANGES;"
        )
        client.execute(SETUP[2].replace("CREATE", "CREATE OR REPLACE"))
        write(tmp_path, "b.json.gz", line("x", 3) + line("x", 400))
        eventually(lambda: sums(client), {"x": (3, 204)})
    with server.running(tmp_path) as url:
        assert sums(KsqlClient(url)) == {"x": (3, 204)}


def test_a_checkpoint_is_written_in_a_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A COMMIT would write it only after 64 MB."""
    monkeypatch.setattr(rounds, "_MUCH_WAL", 1)
    wal = tmp_path / "embedded.duckdb.wal"
    with server.running(tmp_path) as url:
        client = KsqlClient(url)
        for statement in SETUP:
            client.execute(statement)
        write(tmp_path, "a.json.gz", line("x", 1))
        eventually(lambda: sums(client), {"x": (1, 1)})
        eventually(lambda: wal.exists() and wal.stat().st_size, False)


def test_the_database_is_closed_when_the_last_statement_has_ended(tmp_path: Path) -> None:
    """A request goes on in its thread although the web server has stopped."""
    storage = Storage(tmp_path)
    begun, may_end = threading.Event(), threading.Event()

    def wait(value: int) -> int:
        begun.set()
        may_end.wait(60)
        return value

    cursor = storage.cursor()
    cursor.create_function("wait_for_test", wait, ["BIGINT"], "BIGINT")
    with ThreadPoolExecutor(2) as threads:
        rows = threads.submit(lambda: cursor.execute("SELECT wait_for_test(7)").fetchall())
        assert begun.wait(60)
        closing = threads.submit(storage.close)
        with pytest.raises(TimeoutError):
            closing.result(0.2)
        may_end.set()
        assert rows.result(60) == [(7,)]
        closing.result(60)
    Storage(tmp_path).close()  # the directory is free
