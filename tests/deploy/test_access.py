"""Authentication, headers and TLS; and that nothing of it is ever shown."""

from __future__ import annotations

import base64
import json
import os
import shutil
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from opensea_metrics.deploy.cli import options, server_access
from opensea_metrics.deploy.client import Access, AccessError, KsqlClient, ServerUnreachable
from opensea_metrics.deploy.client import access as access_module
from opensea_metrics.deploy.client.client import KsqlClient as Client
from opensea_metrics.deploy.config import Settings
from opensea_metrics.deploy.doctor import web
from opensea_metrics.producer.environment import SettingsError, variable

INFO = {"KsqlServerInfo": {"version": "7.9.1", "ksqlServiceId": "x", "serverStatus": "RUNNING"}}
Serve = Callable[[ssl.SSLContext | None], tuple[str, list[dict[str, str]]]]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a server that answers /info and notes the headers of requests."""
    servers: list[ThreadingHTTPServer] = []

    def start(tls: ssl.SSLContext | None) -> tuple[str, list[dict[str, str]]]:
        seen: list[dict[str, str]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                seen.append({name.lower(): value for name, value in self.headers.items()})
                body = json.dumps(INFO).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        scheme = "http" if tls is None else "https"
        return f"{scheme}://127.0.0.1:{server.server_port}", seen

    yield start
    for each in servers:
        each.shutdown()
        each.server_close()


def test_basic_authentication(serve: Serve) -> None:
    url, seen = serve(None)
    KsqlClient(url, access=Access(user="anna", password="s3cret")).info()
    KsqlClient(url.replace("//", "//anna:s3cret@")).info()
    expected = "Basic " + base64.b64encode(b"anna:s3cret").decode()
    assert [each["authorization"] for each in seen] == [expected, expected]


def test_a_bearer_token_and_headers(serve: Serve) -> None:
    url, seen = serve(None)
    KsqlClient(url, access=Access(token="t0ken", headers={"X-Tenant": "nft"})).info()
    assert (seen[0]["authorization"], seen[0]["x-tenant"]) == ("Bearer t0ken", "nft")


def test_certificates_are_read_only_for_tls(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client without TLS trusts nobody, so reading the usual certificates would only cost time."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    url, _ = serve(None)
    plain = access_module._trusting_nobody()
    monkeypatch.setattr(access_module, "_usual_certificates", lambda: pytest.fail("the certificates were read"))
    KsqlClient(url).info()
    assert web.get(url, "info")
    assert (plain.check_hostname, plain.verify_mode, plain.get_ca_certs()) == (True, ssl.CERT_REQUIRED, [])
    for server, proxy in (("https://a", None), (url, "https://b")):
        if proxy is not None:
            monkeypatch.setenv("HTTP_PROXY", proxy)
        with pytest.raises(pytest.fail.Exception, match="the certificates were read"):
            KsqlClient(server)
        with pytest.raises(pytest.fail.Exception, match="the certificates were read"):
            web.get(server, "info")


def test_either_user_or_token() -> None:
    with pytest.raises(AccessError, match="not both"):
        KsqlClient("http://a", access=Access(user="anna", token="t0ken"))


def test_nothing_is_shown() -> None:
    access = Access("anna", "s3cret", key_password="k3y", headers={"X-Key": "h3ader"})
    client = KsqlClient("http://bert:pa55@127.0.0.1:1", access=access, wait=0.01)
    with pytest.raises(ServerUnreachable) as caught:
        client.info()
    with pytest.raises(AccessError) as wrong:
        KsqlClient("http://a", access=Access(headers={"X-Key": "h3ader\n"})).info()
    said = f"{client!r} {access!r} {caught.value} {caught.value!r} {wrong.value}"
    for secret in ("s3cret", "k3y", "h3ader", "pa55", "anna", "bert"):
        assert secret not in said


def test_without_variables_all_settings_have_their_defaults(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without them, commands do not import the classes of settings. So each variable must be noticed."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.upper().startswith(("OPENSEA_METRICS_", "KSQLDB_URL"))]:
        monkeypatch.delenv(name)
    client, settings = server_access.client(None), Settings()
    assert (client.url, client.access, server_access.site().delete_by_broker) == (settings.ksqldb_url, Access(), None)
    assert not settings.delete_by_broker
    assert options.data_dir() == settings.data_dir
    for field, info in Settings.model_fields.items():
        for name in getattr(info.validation_alias, "choices", [variable(Settings, field)]):
            monkeypatch.setenv(name, "x")
            assert options.has_settings(), name
            monkeypatch.delenv(name)
            assert not options.has_settings()


def test_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KSQLDB_URL", raising=False)
    (tmp_path / ".env").write_text(
        "KSQLDB_URL=http://ksqldb:8088\n"
        "OPENSEA_METRICS_KSQLDB_USER=anna\n"
        "OPENSEA_METRICS_KSQLDB_PASSWORD=s3cret\n"
        'OPENSEA_METRICS_KSQLDB_HEADERS={"X-Tenant": "nft"}\n'
        "OPENSEA_METRICS_DELETE_BY_BROKER=true\n"
    )
    client = server_access.client(None)
    assert isinstance(client, Client)
    assert client.url == "http://ksqldb:8088"
    assert (client.access.user, client.access.password) == ("anna", "s3cret")
    assert client.access.headers == {"X-Tenant": "nft"}
    assert options.is_configured()
    assert server_access.site().delete_by_broker is not None
    assert "s3cret" not in repr(Settings())
    (tmp_path / ".env").write_text("OPENSEA_METRICS_KSQLDB_HEADERS=s3cret\n")
    with pytest.raises(SettingsError) as caught:
        server_access.client(None)
    assert "s3cret" not in str(caught.value)
    assert "OPENSEA_METRICS_KSQLDB_HEADERS cannot be used: it must be a JSON object" in str(
        caught.value
    )


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    """A CA, and certificates of a server and of a client signed by it."""
    if shutil.which("openssl") is None:
        pytest.skip("the command openssl is not there to make certificates")

    def run(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=tmp_path, check=True, capture_output=True)

    run("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem",
        "-subj", "/CN=test CA", "-days", "2")  # fmt: skip
    (tmp_path / "san").write_text("subjectAltName=IP:127.0.0.1\n")
    for name, password in (("server", []), ("client", ["-aes256", "-pass", "pass:k3y"])):
        run("genpkey", "-algorithm", "RSA", "-out", f"{name}.key", *password)
        given = ["-passin", "pass:k3y"] if password else []
        run("req", "-new", "-key", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}", *given)
        run("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
            "-CAcreateserial", "-out", f"{name}.pem", "-days", "2", "-extfile", "san")  # fmt: skip
    return tmp_path


def test_tls_with_own_ca_and_client_certificate(serve: Serve, certificates: Path) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificates / "server.pem", certificates / "server.key")
    tls.load_verify_locations(certificates / "ca.pem")
    tls.verify_mode = ssl.CERT_REQUIRED
    url, _ = serve(tls)
    ca, cert, key = (certificates / each for each in ("ca.pem", "client.pem", "client.key"))
    access = Access(ca_file=ca, cert_file=cert, key_file=key, key_password="k3y")
    assert KsqlClient(url, access=access).info().version == "7.9.1"
    for wrong in (Access(), Access(ca_file=ca)):
        with pytest.raises(ServerUnreachable):
            KsqlClient(url, access=wrong, wait=0.01).info()
    with pytest.raises(AccessError, match=r"client\.pem with the key .*client\.key") as caught:
        KsqlClient(url, access=Access(ca_file=ca, cert_file=cert, key_file=key, key_password="no"))
    assert "k3y" not in str(caught.value)
    with pytest.raises(AccessError, match=r"cannot use the CA file .*nothing\.pem"):
        KsqlClient(url, access=Access(ca_file=certificates / "nothing.pem"))
