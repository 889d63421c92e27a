"""Requests of HTTP/2 with late or unexpected bodies."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from opensea_metrics.deploy.embedded import server
from opensea_metrics.deploy.embedded.rest.policy import Limits, Policy
from tests.embedded import h2c

LIMIT = 50_000


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    policy = Policy(limits=Limits(body=LIMIT))
    with server.running(tmp_path_factory.mktemp("data"), policy=policy) as running:
        yield running


@pytest.mark.parametrize("path", ["/info", "/healthcheck", "/nothing", "/status", "/"])
def test_forty_gets_with_a_body_on_one_connection(url: str, path: str) -> None:
    """The Java client sends /info like this. A reply that overtook the body used to end the connection."""
    with h2c.connected(url) as connection:
        numbers = [connection.request("GET", path, body=b"") for _ in range(20)]
        late = [connection.request("GET", path, is_over=False) for _ in range(20)]
        connection.finished(connection.request("GET", path))  # the server has seen all heads
        for number in reversed(late):
            connection.send(number, b"x", is_over=True)
        statuses = {connection.finished(number).status for number in numbers + late}
    assert statuses == {{"/nothing": 404, "/": 307}.get(path, 200)}


def test_no_reply_overtakes_its_body(url: str) -> None:
    with h2c.connected(url) as connection:
        waiting = connection.request("GET", "/info", is_over=False)
        for _ in range(5):
            assert connection.finished(connection.request("GET", "/info")).status == 200
        assert connection.replies[waiting].status == 0
        connection.send(waiting, b"", is_over=True)
        assert connection.finished(waiting).status == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"origin": "http://evil.example"}, 403), ({"content-length": str(LIMIT + 1)}, 413)],
)
def test_a_refused_request_that_continues_does_not_harm_others(
    url: str, headers: dict[str, str], status: int
) -> None:
    with h2c.connected(url) as connection:
        number = connection.request("POST", "/ksql", headers, is_over=False)
        part = b" " * 10_000
        for _ in range(4):
            connection.send(number, part)
        assert connection.finished(connection.request("GET", "/info")).status == 200
        connection.send(number, part)
        connection.send(number, b" ", is_over=True)
        assert connection.finished(number).status == status
        assert connection.finished(connection.request("GET", "/info")).status == 200
