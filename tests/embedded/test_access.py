"""Access to the embedded server: credentials and TLS, and the settings that `serve` requires."""

from __future__ import annotations

import base64
import json
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from opensea_metrics.deploy.cli import server_access, serving
from opensea_metrics.deploy.cli.app import whole_app
from opensea_metrics.deploy.client import Access, KsqlClient, KsqlError
from opensea_metrics.deploy.config import ServeSettings
from opensea_metrics.deploy.embedded import server
from opensea_metrics.deploy.embedded.rest import access, web_server
from opensea_metrics.deploy.embedded.rest.policy import Certificate, Credentials, Policy
from opensea_metrics.deploy.embedded.storage import StorageError
from tests.embedded import h2c

USER, PASSWORD, TOKEN = "anna", "s3cret:ü", "t0ken"
BOTH = Credentials(USER, PASSWORD, TOKEN)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    policy = Policy(credentials=BOTH)
    with server.running(tmp_path_factory.mktemp("data"), policy=policy) as running:
        yield running


def basic(pair: str) -> str:
    return "Basic " + base64.b64encode(pair.encode()).decode()


RIGHT = [basic(f"{USER}:{PASSWORD}"), f"bearer  {TOKEN}"]
WRONG = [
    None, "", basic(f"{USER}:wrong"), basic(f"wrong:{PASSWORD}"), basic(USER), basic(f"{USER}:"), basic(":"),
    "Basic !!", f"Bearer {TOKEN}x", "Bearer", f"Basic {TOKEN}", TOKEN, f"Digest {TOKEN}",
    "Bearer " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode(),
]  # fmt: skip


@pytest.mark.parametrize("authorization", RIGHT)
def test_requests_with_the_credentials_are_accepted(url: str, authorization: str) -> None:
    reply = httpx.get(f"{url}/info", headers={"Authorization": authorization})
    assert reply.status_code == 200


@pytest.mark.parametrize("authorization", WRONG)
def test_requests_without_the_credentials_are_refused(url: str, authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    reply = httpx.post(f"{url}/ksql", headers=headers, json={"ksql": "SHOW STREAMS;"})
    assert reply.status_code == 401
    assert (reply.json()["@type"], reply.json()["error_code"]) == ("generic_error", 40100)
    assert reply.json()["message"].startswith("Unauthorized\n")
    assert reply.headers.get_list("www-authenticate") == [
        'Basic realm="opensea-metrics"', 'Bearer realm="opensea-metrics"',
    ]  # fmt: skip
    assert not any(secret in reply.text for secret in (USER, PASSWORD, TOKEN))


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"), ("GET", "/info"), ("GET", "/healthcheck"), ("GET", "/v1/metadata"),
        ("POST", "/ksql"), ("POST", "/query"), ("POST", "/query-stream"), ("POST", "/inserts-stream"),
        ("POST", "/close-query"), ("GET", "/status"), ("GET", "/nothing"), ("OPTIONS", "/ksql"),
    ],
)  # fmt: skip
def test_every_route_needs_the_credentials(url: str, method: str, path: str) -> None:
    assert httpx.request(method, url + path).status_code == 401
    with h2c.connected(url) as connection:
        assert connection.finished(connection.request(method, path, body=b"{}")).status == 401


def test_two_headers_with_credentials_are_refused() -> None:
    check = access.check(BOTH)
    header = (b"authorization", b"Bearer t0ken")
    assert check({"headers": [header]}) is None
    assert check({"headers": [header, header]}) is not None


def test_only_the_configured_credentials_are_accepted() -> None:
    by_token = access.check(Credentials(token=TOKEN))
    refusal = by_token({"headers": [(b"authorization", basic(":").encode())]})
    assert refusal is not None
    assert [value for _, value in refusal.headers] == [b'Bearer realm="opensea-metrics"']
    assert access.check(None)({"headers": []}) is None


def test_the_tools_own_client(url: str) -> None:
    for let_in in (
        Access(user=USER, password=PASSWORD),
        Access(token=TOKEN),
        Access(headers={"Authorization": f"Bearer {TOKEN}"}),
    ):
        client = KsqlClient(url, access=let_in)
        assert client.info().version == "7.9.1"
        assert [source.name for source in client.streams()] == ["KSQL_PROCESSING_LOG"]
        assert list(client.push("SELECT * FROM KSQL_PROCESSING_LOG EMIT CHANGES LIMIT 0;")) == []
    with pytest.raises(KsqlError, match="Unauthorized"):
        KsqlClient(url, access=Access(token="wrong")).info()


@pytest.mark.parametrize(
    "lines",
    [
        f"OPENSEA_METRICS_KSQLDB_USER={USER}\nOPENSEA_METRICS_KSQLDB_PASSWORD={PASSWORD}\n",
        f"OPENSEA_METRICS_KSQLDB_TOKEN={TOKEN}\n",
        f'OPENSEA_METRICS_KSQLDB_HEADERS={{"Authorization": "Bearer {TOKEN}"}}\n',
    ],
    ids=["user", "token", "headers"],
)
def test_the_tools_settings(
    url: str, lines: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KSQLDB_URL", raising=False)
    (tmp_path / ".env").write_text(f"KSQLDB_URL={url}\n{lines}", encoding="utf-8")
    assert server_access.client(None).info().version == "7.9.1"


# -- what `serve` requires ----------------------------------------------------------------------


def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, **given: str) -> ServeSettings:
    monkeypatch.chdir(tmp_path)
    for name in ServeSettings.model_fields:
        monkeypatch.delenv(f"OPENSEA_METRICS_SERVE_{name.upper()}", raising=False)
    lines = (f"OPENSEA_METRICS_SERVE_{name.upper()}={value}\n" for name, value in given.items())
    (tmp_path / ".env").write_text("".join(lines), encoding="utf-8")
    return ServeSettings()


def test_loopback_needs_no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for host in ("127.0.0.1", "localhost", "::1", "127.0.0.2"):
        policy, warnings = serving.policy(settings(monkeypatch, tmp_path), host, ["a"], False)
        assert (policy, warnings) == (Policy(allowed_hosts=("a",)), [])


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "metrics.internal"])
def test_other_addresses_need_credentials(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, host: str
) -> None:
    none = settings(monkeypatch, tmp_path)
    needed = "SERVE_USER and .*SERVE_PASSWORD, or .*SERVE_TOKEN and .*SERVE_CERT_FILE and .*SERVE_KEY_FILE"
    with pytest.raises(serving.AccessNotSet, match=rf"{needed} .*--insecure, .* a proxy that asks for credentials"):
        serving.policy(none, host, (), False)
    policy, (everybody, plain) = serving.policy(none, host, (), True)
    assert policy == Policy()
    assert "can read, change and delete all data" in everybody
    assert "data cross the network" in plain


@pytest.mark.parametrize("given", [{"user": USER, "password": "p"}, {"token": TOKEN}], ids=["user", "token"])
def test_other_addresses_need_a_certificate_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given: dict[str, str]
) -> None:
    plain = settings(monkeypatch, tmp_path, **given)
    with pytest.raises(serving.AccessNotSet, match=r"hint: set .*SERVE_CERT_FILE and .*SERVE_KEY_FILE ") as caught:
        serving.policy(plain, "0.0.0.0", (), False)
    assert "SERVE_USER" not in str(caught.value)
    policy, (warning,) = serving.policy(plain, "0.0.0.0", (), True)
    assert policy.credentials is not None
    assert "data and credentials cross the network to 0.0.0.0 as plain text" in warning
    encrypted = settings(monkeypatch, tmp_path, cert_file="c.pem", **given)
    for insecure in (False, True):
        policy, warnings = serving.policy(encrypted, "0.0.0.0", (), insecure)
        assert policy.certificate == Certificate(Path("c.pem"))
        assert warnings == []


def test_a_certificate_alone_is_not_enough(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    certified = settings(monkeypatch, tmp_path, cert_file="c.pem")
    with pytest.raises(serving.AccessNotSet, match="SERVE_TOKEN") as caught:
        serving.policy(certified, "0.0.0.0", (), False)
    assert "CERT_FILE" not in str(caught.value)


def test_credentials_count_on_loopback_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given = settings(
        monkeypatch, tmp_path, user=USER, password=PASSWORD, token=TOKEN, cert_file="c", key_file="k",
        key_password="k3y",
    )  # fmt: skip
    policy, _ = serving.policy(given, "127.0.0.1", (), False)
    assert policy.credentials == BOTH
    assert policy.certificate == Certificate(Path("c"), Path("k"), "k3y")
    for shown in (repr(given), repr(policy)):
        assert not any(secret in shown for secret in (USER, PASSWORD, TOKEN, "k3y"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"user": "a"}, "SERVE_PASSWORD is not set"),
        ({"user": "a", "password": ""}, "SERVE_PASSWORD is not set"),
        ({"password": "s3cret"}, "SERVE_USER is not set"),
        ({"user": "a:b", "password": "s3cret"}, "SERVE_USER has a colon"),
        ({"key_file": "k.pem"}, "SERVE_CERT_FILE is not"),
        ({"user": "", "password": "", "token": ""}, "other machines can reach this server"),
    ],
)
def test_settings_that_do_not_fit_together(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given: dict[str, str], message: str
) -> None:
    with pytest.raises(serving.AccessNotSet, match=message) as caught:
        serving.policy(settings(monkeypatch, tmp_path, **given), "0.0.0.0", (), False)
    assert "s3cret" not in str(caught.value)


def test_serve_names_missing_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings(monkeypatch, tmp_path)
    result = CliRunner().invoke(whole_app(), ["serve", "--host", "0.0.0.0", "--data-dir", "data"])
    assert isinstance(result.exception, serving.AccessNotSet)
    assert not (tmp_path / "data").exists()


def test_serve_uses_the_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    served: list[tuple[object, ...]] = []
    monkeypatch.setattr(server, "serve", lambda *arguments: served.append(arguments))
    settings(monkeypatch, tmp_path, token=TOKEN)
    options = ["--host", "0.0.0.0", "--port", "1", "--data-dir", "d", "--allow-host", "a", "--allow-host", "b"]
    refused = CliRunner().invoke(whole_app(), ["serve", *options])
    assert isinstance(refused.exception, serving.AccessNotSet)
    assert served == []
    result = CliRunner().invoke(whole_app(), ["serve", *options, "--insecure"])
    assert result.exit_code == 0, result.output
    policy = Policy(allowed_hosts=("a", "b"), credentials=Credentials(token=TOKEN))
    assert [call[:4] for call in served] == [(Path("d"), "0.0.0.0", 1, policy)]
    assert TOKEN not in result.output
    assert "plain text" in result.output


# -- TLS ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    if shutil.which("openssl") is None:
        pytest.skip("the command openssl is not there to make a certificate")
    folder = tmp_path_factory.mktemp("certificate")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-passout", "pass:k3y", "-keyout", "key.pem", "-out",
         "cert.pem", "-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    return Certificate(folder / "cert.pem", folder / "key.pem", "k3y")


def test_tls(certificate: Certificate, tmp_path: Path) -> None:
    policy = Policy(credentials=BOTH, certificate=certificate)
    with server.running(tmp_path, policy=policy) as url:
        assert url.startswith("https://127.0.0.1:")
        client = KsqlClient(url, access=Access(token=TOKEN, ca_file=certificate.cert_file))
        assert client.info().version == "7.9.1"
        with httpx.Client(http2=True, verify=str(certificate.cert_file)) as http:
            rows = b'{"target":"nope"}\n'
            reply = http.post(f"{url}/inserts-stream", content=rows, headers={"Authorization": RIGHT[1]})
        assert (reply.http_version, reply.json()["error_code"]) == ("HTTP/2", 40001)
        assert json.loads(reply.text)["@type"] == "generic_error"


@pytest.mark.parametrize("password", [None, "wrong"])
def test_a_certificate_that_cannot_be_used(
    certificate: Certificate, tmp_path: Path, password: str | None
) -> None:
    wrong = Certificate(certificate.cert_file, certificate.key_file, password)
    with (
        pytest.raises(web_server.CertificateError, match=r"cert\.pem with the key .*key\.pem") as caught,
        server.running(tmp_path, policy=Policy(certificate=wrong)),
    ):
        pass
    assert "wrong" not in str(caught.value)
    missing = Policy(certificate=Certificate(tmp_path / "nothing.pem"))
    with (
        pytest.raises(web_server.CertificateError, match=r"nothing\.pem.*No such file"),
        server.running(tmp_path, policy=missing),
    ):
        pass


@pytest.mark.parametrize("name", ["", "*", "http://x", "a.b:80", "a/b", "a b", "a..b", "[::1]:80", "x" * 64])
def test_impossible_host_names_are_refused(name: str) -> None:
    with pytest.raises(serving.NoHostName, match="is not a host name"):
        serving.policy(ServeSettings(), "127.0.0.1", [name], insecure=False)


@pytest.mark.parametrize("name", ["metrics.example.org", "metrics_1", "example.org.", "10.0.0.1", "[::1]", "::1"])
def test_names_and_addresses_are_allowed_as_hosts(name: str) -> None:
    policy, _ = serving.policy(ServeSettings(), "127.0.0.1", [name], insecure=False)
    assert policy.allowed_hosts == (name,)


def test_serve_says_that_it_serves_once_it_does(tmp_path: Path) -> None:
    """The message has the port that the system chose."""
    command = [sys.executable, "-c", "from opensea_metrics.deploy import cli; cli.main()", "serve", "--port", "0"]
    command += ["--no-dashboard", "--data-dir", str(tmp_path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        line = process.stderr.readline()
        match = re.fullmatch(rf"serving on (http://127\.0\.0\.1:[0-9]+), data in {tmp_path}\n", line)
        assert match, line
        assert httpx.get(f"{match[1]}/info").status_code == 200
        process.terminate()
        assert re.fullmatch(r"disk: database [0-9.]+ MB \([0-9.]+ MB of it free\).*\n", process.stderr.read())


@pytest.mark.parametrize(
    ("host", "port", "words"),
    [("127.0.0.1", None, "stop the program that uses the port"), ("a..b", 0, "not an address of this machine")],
)
def test_serve_says_nothing_but_the_error_if_it_cannot(
    tmp_path: Path, host: str, port: int | None, words: str
) -> None:
    said: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1] if port is None else port
        with pytest.raises(web_server.PortInUse, match=words):
            server.serve(tmp_path, host, number, ready=said.append)
    assert said == []


def test_serve_says_nothing_but_the_error_if_its_directory_cannot_be_written(tmp_path: Path) -> None:
    said: list[str] = []
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot write to the data directory"):
        server.serve(tmp_path / "file", port=0, ready=said.append)
    assert said == []
