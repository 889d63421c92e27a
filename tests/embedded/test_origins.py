"""Web pages cannot use the server: the Host, Origin and Sec-Fetch-Site headers that it accepts."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import httpx
import pytest

from opensea_metrics.deploy.embedded import server
from opensea_metrics.deploy.embedded.rest import bodies, origins
from opensea_metrics.deploy.embedded.rest.policy import Policy

LOOPBACK = ("127.0.0.1", 50000)
AFAR = ("192.0.2.7", 50000)

Headers = dict[str, str]


def refused(
    headers: Headers,
    *,
    allowed: tuple[str, ...] = (),
    listens_on: str = "127.0.0.1",
    arrived: str = "127.0.0.1",
    client: tuple[str, int] = LOOPBACK,
) -> bool:
    """Whether a request with these headers gets the 403."""
    scope = {
        "type": "http",
        "method": "POST",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "server": (arrived, 8088),
        "client": client,
    }
    refusal = origins.check(allowed, listens_on)(scope)
    assert refusal is None or (refusal.status, refusal.code) == (403, 40300)
    return refusal is not None


@pytest.mark.parametrize(
    "host",
    [
        "localhost", "localhost:8088", "LOCALHOST:1", "localhost.:8088", "127.0.0.1", "127.0.0.1:8088",
        "127.9.8.7:1", "[::1]", "[::1]:8088",
    ],
)  # fmt: skip
def test_loopback_names_are_accepted(host: str) -> None:
    assert not refused({"Host": host})


@pytest.mark.parametrize(
    "host",
    [
        "evil.example", "evil.example:8088", "localhost.evil.example", "127.0.0.1.evil.example",
        "evil-localhost", "user@localhost", "localhost:8088:1", "localhost:x", "localhost/x", "[::1",
        "::1", "192.0.2.1", "0.0.0.0:8088", "127.1", "2130706433", "localhost evil.example", "[evil]",
    ],
)  # fmt: skip
def test_foreign_hosts_are_refused(host: str) -> None:
    assert refused({"Host": host})


def test_names_of_the_user_are_accepted() -> None:
    assert refused({"Host": "metrics.internal:8088"})
    assert not refused({"Host": "Metrics.Internal:8088"}, allowed=("a", "metrics.internal"))
    assert not refused({"Host": "metrics.internal."}, listens_on="metrics.internal")
    assert not refused({"Host": "10.0.0.5:8088"}, listens_on="10.0.0.5", arrived="10.0.0.5")
    assert refused({"Host": "10.0.0.6:8088"}, listens_on="10.0.0.5", arrived="10.0.0.6")


@pytest.mark.parametrize("everywhere", ["0.0.0.0", "::"])
def test_a_server_on_all_addresses_answers_to_the_address_of_the_connection(everywhere: str) -> None:
    """A page can give its own name any address (DNS rebinding), but its name cannot be an address."""
    assert not refused({"Host": "10.0.0.5:8088"}, listens_on=everywhere, arrived="10.0.0.5")
    assert not refused({"Host": "10.0.0.5"}, listens_on=everywhere, arrived="::ffff:10.0.0.5")
    assert not refused({"Host": "[fd00::5]:8088"}, listens_on=everywhere, arrived="fd00::5")
    assert refused({"Host": "10.0.0.6:8088"}, listens_on=everywhere, arrived="10.0.0.5")
    assert refused({"Host": "evil.example:8088"}, listens_on=everywhere, arrived="10.0.0.5")


@pytest.mark.parametrize("headers", [{}, {"Host": ""}])
def test_a_missing_host_is_accepted_on_this_machine_only(headers: Headers) -> None:
    """Every browser sends a Host header. An HTTP/1.0 client need not."""
    assert not refused(headers)
    assert refused(headers, client=AFAR)


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example", "null", "http://localhost", "http://localhost:3000",
        "https://localhost:8088.evil.example", "http://127.0.0.1:8088", "localhost:8088", "",
        "ftp://localhost:8088", "http://localhost:8088@evil.example", "chrome-extension://abc",
    ],
)  # fmt: skip
def test_pages_of_another_origin_are_refused(origin: str) -> None:
    assert refused({"Host": "localhost:8088", "Origin": origin})


def test_a_page_of_the_server_itself_is_accepted() -> None:
    assert not refused({"Host": "localhost:8088", "Origin": "http://localhost:8088"})
    assert not refused({"Host": "localhost", "Origin": "http://localhost:80"})
    assert not refused(
        {"Host": "metrics.example", "Origin": "https://metrics.example"}, allowed=("metrics.example",)
    )


@pytest.mark.parametrize(
    ("site", "expected"),
    [("cross-site", True), ("same-site", True), ("same-origin", False), ("none", False), ("x", True)],
)
def test_the_site_that_a_browser_sends(site: str, expected: bool) -> None:
    assert refused({"Host": "localhost:8088", "Sec-Fetch-Site": site}) is expected


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("POST", {}, None),
        ("POST", {"Content-Type": "application/json"}, None),
        ("POST", {"Content-Type": "application/vnd.ksql.v1+json; charset=utf-8"}, None),
        ("POST", {"Content-Type": "application/x-www-form-urlencoded"}, None),
        ("POST", {"Content-Type": "text/plain"}, 415),
        ("POST", {"Content-Type": " Text/Plain;charset=UTF-8"}, 415),
        ("POST", {"Content-Type": "multipart/form-data; boundary=x"}, 415),
        ("GET", {"Content-Type": "text/plain"}, None),
        ("POST", {"Content-Encoding": "identity"}, None),
        ("POST", {"Content-Encoding": "gzip"}, 415),
    ],
)
def test_kinds_of_bodies(method: str, headers: Headers, status: int | None) -> None:
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    refusal = bodies.check_kind({"type": "http", "method": method, "headers": raw})
    assert (refusal and refusal.status) == status


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    policy = Policy(allowed_hosts=("metrics.internal",))
    with server.running(tmp_path_factory.mktemp("data"), policy=policy) as running:
        yield running


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"), ("GET", "/info"), ("GET", "/healthcheck"), ("GET", "/is_valid_property/x"),
        ("GET", "/v1/metadata"), ("GET", "/v1/metadata/id"), ("POST", "/ksql"), ("POST", "/query"),
        ("POST", "/query-stream"), ("POST", "/inserts-stream"), ("POST", "/close-query"),
        ("GET", "/status"), ("GET", "/status/a/b/c"), ("GET", "/nothing"), ("DELETE", "/ksql"),
        ("OPTIONS", "/ksql"),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Origin": "http://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
    ids=["host", "origin", "site"],
)
def test_every_route_refuses_foreign_pages(
    url: str, method: str, path: str, headers: Headers
) -> None:
    reply = httpx.request(method, url + path, headers=headers, content=b'{"ksql":"SHOW STREAMS;"}')
    assert (reply.status_code, reply.headers["content-type"]) == (403, "application/json")
    body = reply.json()
    assert (body["@type"], body["error_code"]) == ("generic_error", 40300)


def test_curl_is_answered_for_every_body(url: str) -> None:
    body = b'{"ksql":"SHOW STREAMS;"}'
    for headers in ({}, {"Content-Type": "application/x-www-form-urlencoded"}, {"Host": "metrics.internal"}):
        assert httpx.post(f"{url}/ksql", content=body, headers=headers).status_code == 200
    reply = httpx.post(f"{url}/ksql", content=body, headers={"Content-Type": "text/plain"})
    assert (reply.status_code, reply.json()["error_code"]) == (415, 41500)


def test_the_authority_of_http2_counts_as_host(url: str) -> None:
    with httpx.Client(http1=False, http2=True) as client:
        assert client.get(f"{url}/info").status_code == 200
        assert client.get(f"{url}/info", headers={"Host": "evil.example"}).status_code == 403


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ("GET /info HTTP/1.0\r\n", b"200"),
        (
            "GET /ws/query HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n",
            b"403",
        ),
    ],
    ids=["HTTP/1.0 without Host", "a websocket of a foreign page"],
)
def test_requests_that_no_library_makes(url: str, head: str, expected: bytes) -> None:
    with socket.create_connection(("127.0.0.1", int(url.rsplit(":", 1)[1])), timeout=10) as raw:
        raw.sendall(f"{head}\r\n".encode())
        reply = raw.makefile("rb")
        assert reply.readline().split()[1] == expected
        if expected == b"403":
            while reply.readline().strip():
                pass
            assert json.loads(reply.readline())["error_code"] == 40300
