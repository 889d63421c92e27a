"""Who may use the dashboard, and what every answer says to the browser. Without a browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from opensea_metrics.deploy.cli import serving
from opensea_metrics.deploy.client import Access, KsqlClient
from opensea_metrics.deploy.config import DashboardSettings
from opensea_metrics.deploy.dashboard import server as web
from opensea_metrics.deploy.dashboard.options import BadImageHost, DashboardOptions, safe_url
from opensea_metrics.deploy.dashboard.tables import ServerTables
from opensea_metrics.deploy.embedded import server
from opensea_metrics.deploy.embedded.rest.policy import Credentials, Policy

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; font-src 'self'; img-src 'self'{};"
    " base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
STATEMENT = {"sql": "SHOW TABLES;"}


@pytest.fixture(scope="module")
def ksqldb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with server.running(tmp_path_factory.mktemp("data")) as url:
        yield url


def options(url: str, **chosen: Any) -> DashboardOptions:
    return DashboardOptions(ServerTables(KsqlClient(url)), url, **chosen)


@pytest.fixture(scope="module")
def dashboard(ksqldb: str) -> Iterator[str]:
    with web.running(options(ksqldb, has_ask=True, image_hosts=("i.seadn.io",))) as url:
        yield url


@pytest.mark.parametrize(
    "path", ["/", "/collection", "/lineage", "/ask", "/nothing", "/static/base.css", "/static/../app.py"]
)
def test_every_answer_has_the_policy(dashboard: str, path: str) -> None:
    reply = httpx.get(f"{dashboard}{path}")
    assert reply.headers["content-security-policy"] == POLICY.format(" https://i.seadn.io")
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["referrer-policy"] == "no-referrer"
    assert (reply.status_code == 200) == (path not in ("/nothing", "/static/../app.py"))


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
    ],
)
def test_only_links_of_foreign_pages_are_answered(dashboard: str, headers: dict[str, str], status: int) -> None:
    reply = httpx.get(dashboard, headers=headers)
    assert reply.status_code == status
    assert "content-security-policy" in reply.headers


@pytest.mark.parametrize(
    ("origin", "kind", "status"),
    [
        (None, "application/json", 403),
        ("https://evil.example", "application/json", 403),
        ("own", "application/json", 200),
    ],
)
def test_a_query_must_come_from_an_own_page(dashboard: str, origin: str | None, kind: str, status: int) -> None:
    headers = {"Content-Type": kind} | ({"Origin": dashboard if origin == "own" else origin} if origin else {})
    reply = httpx.post(f"{dashboard}/api/ask", json=STATEMENT, headers=headers)
    assert reply.status_code == status


@pytest.mark.parametrize(
    "sql",
    ["DROP TABLE t;", "SELECT 1; DROP TABLE t;", "INSERT INTO t VALUES (1);", "TERMINATE ALL;",
     "SELECT * FROM KSQL_PROCESSING_LOG EMIT CHANGES;", "SET 'a'='b';", ""],
)  # fmt: skip
def test_a_query_only_reads_and_ends(dashboard: str, sql: str) -> None:
    reply = httpx.post(f"{dashboard}/api/ask", json={"sql": sql}, headers={"Origin": dashboard})
    assert reply.json()["error"]


def test_without_a_box_nobody_can_ask(ksqldb: str) -> None:
    with web.running(options(ksqldb, has_ask=False)) as url:
        assert httpx.get(f"{url}/ask").status_code == 404
        assert "/ask" not in httpx.get(url).text
        assert httpx.post(f"{url}/api/ask", json=STATEMENT, headers={"Origin": url}).status_code == 404


def test_a_password_is_needed_if_one_is_set(ksqldb: str) -> None:
    policy = Policy(credentials=Credentials("ann", "s3cret"))
    with web.running(options(ksqldb), policy=policy) as url:
        refused = httpx.get(url)
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, 'Basic realm="opensea-metrics"')
        assert httpx.get(f"{url}/live/market").status_code == 401
        assert httpx.get(url, auth=("ann", "s3cret")).status_code == 200


def test_other_machines_need_a_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(serving.AccessNotSet, match="OPENSEA_METRICS_DASHBOARD_USER"):
        serving.policy(DashboardSettings(), "0.0.0.0", (), False)
    monkeypatch.setenv("OPENSEA_METRICS_DASHBOARD_USER", "ann")
    monkeypatch.setenv("OPENSEA_METRICS_DASHBOARD_PASSWORD", "s3cret")
    policy, warnings = serving.policy(DashboardSettings(), "0.0.0.0", (), True)
    assert policy.credentials == Credentials("ann", "s3cret")
    assert len(warnings) == 1  # plain text


@pytest.mark.parametrize(
    ("access", "setting", "has_ask"),
    [
        (Access(), None, True),
        (Access(token="t"), None, False),
        (Access(token="t"), True, True),
        (Access(), False, False),
    ],
)
def test_the_box_is_off_where_the_server_needs_credentials(access: Access, setting: bool | None, has_ask: bool) -> None:
    from opensea_metrics.deploy.cli.dashboard import of_server

    settings = DashboardSettings(ask=setting)
    assert of_server(KsqlClient("http://127.0.0.1:1", access=access), settings, None).has_ask == has_ask
    if access == Access():
        assert not of_server(KsqlClient("http://a:b@127.0.0.1:1"), DashboardSettings(), None).has_ask


@pytest.mark.parametrize(
    "host", ["", "*", "https://a.example", "a.example/x", "a.example; script-src *", "a.example:80"]
)
def test_a_host_for_pictures_is_a_host_name(host: str) -> None:
    with pytest.raises(BadImageHost, match="host name"):
        options("http://127.0.0.1:1", image_hosts=(host,))


@pytest.mark.parametrize(
    ("url", "is_safe"),
    [
        ("https://i.seadn.io/a.png", True),
        ("https://i.seadn.io/a.SVG", False),
        ("https://i.seadn.io/a.svgz?x=1", False),
        ("https://i.seadn.io:444/a.png", False),
        ("https://i.seadn.io.evil.example/a.png", False),
        ("https://x@i.seadn.io/a.png", False),
        ("http://i.seadn.io/a.png", False),
        ("https://i.seadn.io/a b.png", False),
        ("https://[::1/a.png", False),
        (None, False),
        ({"a": 1}, False),
    ],
)
def test_pictures_are_https_of_a_named_host_and_no_svg(url: object, is_safe: bool) -> None:
    assert (safe_url(url, ("i.seadn.io",)) is not None) == is_safe


def test_secrets_of_the_server_are_on_no_page(tmp_path: Path) -> None:
    policy = Policy(credentials=Credentials("ann", "s3cret"))
    with server.running(tmp_path, policy=policy) as url:
        client = KsqlClient(url.replace("//", "//ann:s3cret@"))
        with web.running(DashboardOptions(ServerTables(client), client.url)) as dashboard:
            pages = [httpx.get(f"{dashboard}{path}").text for path in ("/", "/collection", "/lineage")]
            with httpx.stream("GET", f"{dashboard}/live/market") as reply:
                begin = next(text for text in reply.iter_text() if "catalog" in text)
    assert "migrations are missing" in begin  # the dashboard has the credentials
    assert not any("s3cret" in text for text in [*pages, begin])
