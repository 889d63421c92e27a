"""Every request gets JSON as its answer. The answer says what is wrong with the request or with the server."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import httpx
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.types import ASGIApp, Receive, Scope, Send
from structlog.testing import capture_logs

from opensea_metrics.deploy.embedded.engine import Engine
from opensea_metrics.deploy.embedded.rest import app, open_queries, web_server
from opensea_metrics.deploy.embedded.rest.open_requests import OpenRequests
from opensea_metrics.deploy.embedded.rest.policy import Credentials, Policy
from opensea_metrics.deploy.embedded.statements import listings, replies
from opensea_metrics.deploy.embedded.storage import Storage
from opensea_metrics.sql.language.statements.parser import parse_statement


class Client:
    """Sends requests to an application within this process, as if over HTTP/2."""

    def __init__(self, portal: BlockingPortal, inner: ASGIApp, headers: Mapping[str, str]) -> None:
        async def as_http2(scope: Scope, receive: Receive, send: Send) -> None:
            await inner({**scope, "http_version": "2"}, receive, send)

        transport = httpx.ASGITransport(as_http2, raise_app_exceptions=False)
        self._portal = portal
        self._http = httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=headers)

    def request(self, method: str, path: str, **content: Any) -> httpx.Response:
        return self._portal.call(partial(self._http.request, method, path, **content))

    def get(self, path: str) -> httpx.Response:
        return self.request("GET", path)

    def post(self, path: str, **content: Any) -> httpx.Response:
        return self.request("POST", path, **content)


SETUP = (
    "CREATE STREAM s (k VARCHAR KEY, a INT, d DOUBLE, t TIMESTAMP, m MAP<VARCHAR, INT>)"
    " WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);",
    "CREATE TABLE n AS SELECT k, COUNT(*) AS n FROM s GROUP BY k;",
)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    engine = Engine(Storage(tmp_path_factory.mktemp("data")))
    for statement in SETUP:
        engine.execute(parse_statement(statement), {})
    yield engine
    engine.stop()


@pytest.fixture(scope="module")
def portal() -> Iterator[BlockingPortal]:
    with start_blocking_portal() as portal:
        yield portal


@pytest.fixture(scope="module")
def client(engine: Engine, portal: BlockingPortal) -> Client:
    return Client(portal, app.create(engine, OpenRequests(10), Policy(), web_server.LOOPBACK), {})


# -- wrong types, field by field ----------------------------------------------------------------

WRONG: dict[str, list[Any]] = {
    "text": [[], {}, ["x"]],
    "an object": [5, "x", True, [], ["x"]],
    "a whole number": ["x", True, [], {}, 1e300, 2**70],
}
FIELDS = [
    ("/ksql", "ksql", "text"),
    ("/ksql", "streamsProperties", "an object"),
    ("/ksql", "sessionVariables", "an object"),
    ("/ksql", "commandSequenceNumber", "a whole number"),
    ("/query", "ksql", "text"),
    ("/query", "streamsProperties", "an object"),
    ("/query-stream", "sql", "text"),
    ("/query-stream", "properties", "an object"),
    ("/close-query", "queryId", "text"),
    ("/inserts-stream", "target", "text"),
    ("/inserts-stream", "properties", "an object"),
]
REQUIRED: dict[str, dict[str, Any]] = {
    "/query-stream": {"sql": "SELECT * FROM n;"},
    "/inserts-stream": {"target": "s"},
    "/close-query": {"queryId": "x"},
}


@pytest.mark.parametrize(
    ("path", "field", "kind", "value"),
    [(*field, value) for field in FIELDS for value in WRONG[field[2]]],
)
def test_a_field_of_the_wrong_type_is_named(
    client: Client, path: str, field: str, kind: str, value: Any
) -> None:
    reply = client.post(path, content=json.dumps({**REQUIRED.get(path, {}), field: value}))
    assert (reply.status_code, reply.json()["error_code"]) == (400, 40000)
    message = reply.json()["message"]
    assert message.startswith(f"Invalid JSON in request: the field '{field}' must be {kind}, not ")


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/ksql", "streamsProperties"), ("/ksql", "sessionVariables"), ("/query", "streamsProperties"),
        ("/query-stream", "properties"), ("/inserts-stream", "properties"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("value", [[], {}, None])
def test_a_value_inside_an_object_is_named(
    client: Client, path: str, field: str, value: Any
) -> None:
    reply = client.post(path, json={**REQUIRED.get(path, {}), field: {"a.b": value}})
    assert reply.status_code == 400
    assert f"the field '{field}.a.b' must be text, a number or a flag" in reply.json()["message"]


@pytest.mark.parametrize("path", ["/query-stream", "/close-query", "/inserts-stream"])
def test_a_missing_field_is_named(client: Client, path: str) -> None:
    (field,) = REQUIRED[path]
    for body in ({}, {field: None}):
        reply = client.post(path, json=body)
        assert reply.status_code == 400
        assert f"'{field}'" in reply.json()["message"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/ksql", {"ksql": "\ufeffSHOW STREAMS;"}),
        ("/query", {"ksql": "\ufeffSELECT * FROM n;"}),
        ("/query-stream", {"sql": "\ufeffSELECT * FROM n;"}),
    ],
)
def test_a_byte_order_mark_is_not_part_of_a_statement(
    client: Client, path: str, body: dict[str, str]
) -> None:
    assert client.post(path, json=body).status_code == 200


def test_flags_and_numbers_are_texts_of_properties(client: Client) -> None:
    sent = {"ksql": "SHOW VARIABLES;", "sessionVariables": {"a": True, "b": 1, "c": 1.5, "d": "x"}}
    (entity,) = client.post("/ksql", json=sent).json()
    shown = {variable["name"]: variable["value"] for variable in entity["variables"]}
    assert shown == {"a": "true", "b": "1", "c": "1.5", "d": "x"}


@pytest.mark.parametrize("path", ["/ksql", "/query", "/query-stream", "/close-query", "/inserts-stream"])
@pytest.mark.parametrize(
    "body",
    [
        b"\xff\xfe{}", b'{"ksql":"\xff"}', b'{"ksql":"\\ud800"}', b'{"ksql":"\\udc00\\ud800"}',
        b'{"ksql":"\xed\xa0\x80"}', b"[" * 100_000, b'{"a":' * 100_000, b'{"ksql":1e999}', b'{"ksql":NaN}',
        b"null", b"1", b'"x"', b"[]", b'{"ksql":"SHOW STREAMS;"', b"\x00", b"\xef\xbb\xbf{",
    ],
)  # fmt: skip
def test_bodies_that_are_not_objects(client: Client, path: str, body: bytes) -> None:
    reply = client.post(path, content=body)
    assert (reply.status_code, reply.json()["error_code"]) == (400, 40000)
    assert reply.json()["message"].startswith("Invalid JSON in request: ")


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/ksql"), ("DELETE", "/ksql"), ("OPTIONS", "/query"), ("POST", "/info"), ("PUT", "/query-stream")],
)
def test_a_method_that_a_path_does_not_accept(client: Client, method: str, path: str) -> None:
    reply = client.request(method, path)
    assert (reply.status_code, reply.text, reply.headers.get("content-type")) == (405, "", None)
    assert reply.headers["allow"]


@pytest.mark.parametrize("number", ["-1", -1.5, -1])
def test_numbers_and_texts_are_read_as_each_other(client: Client, number: Any) -> None:
    """As Jackson reads them on a real server."""
    reply = client.post("/ksql", json={"ksql": "SHOW TYPES;", "commandSequenceNumber": number})
    assert reply.status_code == 200
    reply = client.post("/ksql", json={"ksql": 5})
    assert (reply.status_code, reply.json()["statementText"]) == (400, "5")


# -- anything at all ------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
WORDS = st.lists(
    st.sampled_from(
        [
            "SELECT", "FROM", "WHERE", "s", "n", "k", "a", "d", "t", "m", "*", ",", ";", "(", ")", "[", "]",
            "'x'", "`a`", '"a"', "1", "1.5", "=", "<", "->", "=>", ":=", "${x}", "--", "/*", "*/", "NULL",
            "CAST", "AS", "COUNT", "LIMIT", "INSERT", "INTO", "VALUES", "SHOW", "DESCRIBE", "STREAMS",
            "EXTENDED", "EXPLAIN", "CREATE", "STREAM", "TABLE", "WITH", "DROP", "AND", "OR", "CASE", "WHEN",
            "THEN", "END", "IN", "BETWEEN", "LIKE", "ARRAY", "MAP", "STRUCT", "UCASE(", "DEFINE", "SET",
            "PAUSE", "TERMINATE", "'a.b'", "ASSERT",
        ]
    ),
    max_size=12,
).map(" ".join)  # fmt: skip
STATEMENTS = st.one_of(
    st.text(max_size=40),
    WORDS,
    WORDS.map(lambda text: f"SELECT {text} FROM n;"),
    WORDS.map(lambda text: f"INSERT INTO s (k, a) VALUES ({text});"),
)
VALUES = JSON | STATEMENTS
NAMES = st.sampled_from(
    ["ksql", "sql", "streamsProperties", "properties", "sessionVariables", "commandSequenceNumber",
     "queryId", "target", "k", "a"]
)  # fmt: skip
OBJECTS = st.dictionaries(NAMES, VALUES, max_size=4).map(
    lambda value: json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
)
BODIES = st.one_of(st.binary(max_size=60), JSON.map(lambda v: json.dumps(v).encode()), OBJECTS)


def check(reply: httpx.Response) -> None:
    """The reply is JSON, or lines of JSON, and does not report a fault of the server."""
    parts = reply.text.splitlines() or ["[]"]
    whole = parts if "delimited" in reply.headers.get("content-type", "") else [reply.text or "[]"]
    values = [json.loads(part) for part in whole]
    assert reply.status_code < 600
    codes = [part["error_code"] for part in values if isinstance(part, dict) and "error_code" in part]
    # ksqlDB uses the code of a failure for an unknown property, too.
    assert 50000 not in codes or "Not recognizable as" in reply.text, reply.text
    assert reply.status_code != 500 or codes


FUZZ = settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.mark.parametrize("path", ["/ksql", "/query", "/query-stream", "/close-query"])
def test_any_body(client: Client, path: str) -> None:
    @FUZZ
    @given(BODIES)
    def post(body: bytes) -> None:
        check(client.post(path, content=body))

    post()


@pytest.mark.parametrize(("path", "field"), [("/ksql", "ksql"), ("/query", "ksql"), ("/query-stream", "sql")])
def test_any_statement(client: Client, path: str, field: str) -> None:
    @FUZZ
    @given(STATEMENTS)
    def post(text: str) -> None:
        if "EMIT" not in text.upper():  # that would not end
            body = json.dumps({field: text}, ensure_ascii=False).encode("utf-8", "surrogatepass")
            check(client.post(path, content=body))

    post()


def test_any_rows(client: Client) -> None:
    rows = st.lists(BODIES | st.just(b'{"k":"x"}'), max_size=4).map(b"\n".join)

    @FUZZ
    @given(rows)
    def post(body: bytes) -> None:
        reply = client.post("/inserts-stream", content=b'{"target":"s"}\n' + body)
        assert reply.status_code == 200
        for line in reply.content.splitlines():
            answer = json.loads(line)
            assert answer["status"] == "ok" or answer["error_code"] == 40000

    post()


@pytest.mark.parametrize("path", ["/is_valid_property/{}", "/status/{}", "/nothing/{}"])
def test_any_path(client: Client, path: str) -> None:
    @FUZZ
    @given(st.text(max_size=20))
    def get(text: str) -> None:
        quoted = "".join(f"%{byte:02x}" for byte in text.encode("utf-8", "surrogatepass"))
        reply = client.get(path.format(quoted))
        assert reply.status_code in (200, 400, 404), reply.text

    get()


# -- faults of the server -------------------------------------------------------------------------


def number(message: str) -> str:
    match = re.search(r"\(error ([0-9a-f]{8}); its log has", message)
    assert match, message
    return match[1]


def failing(*_: Any, **__: Any) -> Any:
    raise RuntimeError("boom\nsecond line")


@pytest.fixture
def guarded(engine: Engine, portal: BlockingPortal) -> Client:
    policy = Policy(credentials=Credentials(token="t0ken"))
    application = app.create(engine, OpenRequests(10), policy, web_server.LOOPBACK)
    return Client(portal, application, {"Authorization": "Bearer t0ken"})


@pytest.mark.parametrize(
    ("module", "name", "ask", "status"),
    [
        (replies, "healthcheck", lambda c: c.get("/healthcheck"), 500),
        (listings, "listing", lambda c: c.post("/ksql", json={"ksql": "SHOW STREAMS;"}), 500),
        (open_queries, "TransientQuery", lambda c: c.post("/query", json={"ksql": "SELECT * FROM n;"}), 500),
        (open_queries, "_take", lambda c: c.post("/query-stream", json={"sql": "SELECT * FROM n;"}), 200),
    ],
    ids=["a handler", "a statement", "a query that cannot begin", "a query under way"],
)
def test_a_fault_of_the_server_has_a_number_that_the_log_repeats(
    guarded: Client,
    monkeypatch: pytest.MonkeyPatch,
    module: Any,
    name: str,
    ask: Callable[[Client], httpx.Response],
    status: int,
) -> None:
    monkeypatch.setattr(module, name, failing)
    with capture_logs() as logs:
        reply = ask(guarded)
    assert reply.status_code == status
    error = json.loads(reply.text.splitlines()[-1])
    assert error["error_code"] == 50000
    assert error["message"].endswith(": RuntimeError: boom")
    (entry,) = logs
    assert entry["error_id"] == number(error["message"])
    assert "RuntimeError: boom" in entry["exception"]
    assert "in failing" in entry["exception"]
    assert "t0ken" not in str(logs)


def test_a_fault_while_rows_are_stored(
    client: Client, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "insert", failing)
    with capture_logs() as logs:
        reply = client.post("/inserts-stream", content=b'{"target":"s"}\n{"k":"x"}\n')
    assert reply.json()["error_code"] == 50000
    assert logs[0]["error_id"] == number(reply.json()["message"])
