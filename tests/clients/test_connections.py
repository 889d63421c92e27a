"""Connections: many requests on one, HTTP/2 frames, websockets, and requests of several clients at once."""

from __future__ import annotations

import http.client
import json
import threading
from contextlib import suppress
from urllib.parse import quote, urlsplit

import httpx
import pytest
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.sync.client import connect

from tests.clients.conftest import EARLIEST, Target
from tests.embedded import h2c

MANY = 5_000


def test_many_requests_on_one_connection_of_http_1(target: Target) -> None:
    parts = urlsplit(target.url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=60)
    connection.connect()
    opened = connection.sock
    for _ in range(MANY):
        connection.request("GET", "/info")
        reply = connection.getresponse()
        reply.read()
        assert reply.status == 200
    assert connection.sock is opened  # http.client opens a new one if the server closes the old one
    connection.close()


def test_many_requests_on_one_connection_of_http_2(target: Target) -> None:
    with h2c.connected(target.url) as connection:
        for _ in range(MANY // 50):
            numbers = [connection.request("GET", "/info") for _ in range(50)]
            assert {connection.finished(number).status for number in numbers} == {200}


def test_rows_of_a_push_query_arrive_as_they_are_inserted(target: Target) -> None:
    with h2c.connected(target.url, timeout=60) as connection:
        sql = {"sql": f"SELECT * FROM {target.stream} WHERE k = 'h2' EMIT CHANGES;", "properties": EARLIEST}
        query = connection.request("POST", "/query-stream", body=json.dumps(sql).encode())
        assert json.loads(connection.line(query))["columnNames"] == ["K", "V"]
        inserts = connection.request("POST", "/inserts-stream", is_over=False)
        connection.send(inserts, json.dumps({"target": target.stream}).encode() + b"\n")
        for number in range(3):
            connection.send(inserts, json.dumps({"K": "h2", "V": number}).encode() + b"\n")
            assert json.loads(connection.line(inserts)) == {"status": "ok", "seq": number}
            assert json.loads(connection.line(query)) == ["h2", number]
        connection.send(inserts, b"", is_over=True)
        assert connection.finished(inserts).status == 200


def test_an_insert_stream_that_is_cut_keeps_the_rows_that_were_acknowledged(target: Target) -> None:
    with h2c.connected(target.url, timeout=60) as connection:
        inserts = connection.request("POST", "/inserts-stream", is_over=False)
        connection.send(inserts, json.dumps({"target": target.stream}).encode() + b"\n")
        connection.send(inserts, b'{"K":"cut","V":5}\n')
        assert json.loads(connection.line(inserts)) == {"status": "ok", "seq": 0}
        connection.send(inserts, b'{"K":"cut","V":')  # half a row
    assert target.sum_of("cut") == 5


def messages(target: Target, request: str) -> tuple[list[object], int | None]:
    """The messages of a websocket until the server closes it, and the code with which it does."""
    url = target.url.replace("http", "ws", 1)
    with connect(f"{url}/ws/query{request}", open_timeout=60) as websocket:
        received: list[object] = []
        with suppress(ConnectionClosedError):
            for message in websocket:
                received.append(json.loads(message))
        return received, websocket.close_code


def requested(sql: str) -> str:
    return f"?request={quote(json.dumps({'ksql': sql, 'streamsProperties': EARLIEST}))}"


def test_a_websocket_gives_the_columns_and_each_row(target: Target) -> None:
    text = {"type": "STRING", "fields": None, "memberSchema": None}
    number = {"type": "INTEGER", "fields": None, "memberSchema": None}
    received, code = messages(target, requested(f"SELECT * FROM {target.stream} EMIT CHANGES LIMIT 2;"))
    columns = [{"name": "K", "schema": text}, {"name": "V", "schema": number}]
    rows = [{"row": {"columns": ["a", 1]}}, {"row": {"columns": ["b", 2]}}]
    assert (received, code) == ([columns, *rows, {"error": "done"}], 1000)
    received, _ = messages(target, requested(f"SELECT k FROM {target.table} WHERE k = 'a';"))
    assert received == [
        [{"name": "K", "schema": text, "type": "KEY"}], {"row": {"columns": ["a"]}}, {"error": "done"}
    ]  # fmt: skip


def test_a_websocket_prints_a_topic(target: Target) -> None:
    topic = target.stream.removesuffix("S") + "s"
    received, code = messages(target, requested(f"PRINT {topic} FROM BEGINNING LIMIT 1;"))
    line, last = received
    assert str(line).endswith(' Z, key: a, value: {"V":1}, partition: 0')
    assert (last, code) == ({"error": "done"}, 1000)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ("", "Error parsing request: missing request parameter"),
        (requested(""), 'Error parsing request: "ksql" field of "request" must be populated'),
        (
            requested("SELECT * FROM NOPE;"),
            "Error parsing query: Exception while preparing statement: NOPE does not exist.",
        ),
        (requested("PRINT nope;"), "Topic does not exist, or KSQL does not have permission to list the topic: nope"),
        (requested("SHOW TYPES;") + "&version=2", "Received invalid api version: 2"),
    ],
)
def test_a_websocket_that_is_refused(target: Target, request_: str, message: str) -> None:
    assert messages(target, request_) == ([{"error": message}], 1003)


def test_a_websocket_to_another_path(target: Target) -> None:
    with pytest.raises(InvalidStatus):
        connect(f"{target.url.replace('http', 'ws', 1)}/info").close()


def test_variables_and_properties_of_clients_never_mix(target: Target) -> None:
    """Each client sends its own variables and properties, and gets what it sent."""
    wrong: list[object] = []

    def client(number: int) -> None:
        with httpx.Client(timeout=120) as http:
            for turn in range(20):
                variables = {"mine": f"{number}_{turn}"}
                body = {
                    "ksql": "DEFINE other = '${mine}'; SHOW VARIABLES; SHOW PROPERTIES;",
                    "sessionVariables": variables,
                    "streamsProperties": {"ksql.query.pull.max.allowed.offset.lag": str(number)},
                }
                shown, listed = http.post(f"{target.url}/ksql", json=body).json()
                given = {item["name"]: item["value"] for item in shown["variables"]}
                if given != {"mine": f"{number}_{turn}", "other": f"{number}_{turn}"}:
                    wrong.append(given)
                lag = [p["value"] for p in listed["properties"] if p["name"].endswith("allowed.offset.lag")]
                if lag != [str(number)]:
                    wrong.append(lag)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    shown = target.run().ask({"ksql": "SHOW VARIABLES;"}).body
    assert shown[0]["variables"] == []  # nothing is left of them


def test_command_sequence_numbers(target: Target) -> None:
    """A statement waits for the command that its client has seen, and a number that no command has is refused."""
    run = target.run()
    created = run.ask({"ksql": f"CREATE TYPE {target.stream}_TYPE AS INT;"}).body
    run.ask({"ksql": f"DROP TYPE {target.stream}_TYPE;"})
    number = created[0]["commandSequenceNumber"]
    for sent, status in ((number, 200), (number - 1, 200), (-1, 200), (None, 200)):
        body = {"ksql": "SHOW TYPES;", "commandSequenceNumber": sent}
        assert run.ask({"post": "/ksql", "body": json.dumps(body)}).status == status
    body = {"ksql": "SHOW TYPES;", "commandSequenceNumber": number + 1_000}
    reply = run.ask({"post": "/ksql", "body": json.dumps(body)})
    assert (reply.status, reply.body["error_code"]) == (503, 50301)
