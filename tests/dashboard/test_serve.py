"""``serve`` brings the dashboard up, with the server's own credentials and certificate."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from opensea_metrics.deploy.cli.dashboard import beside
from opensea_metrics.deploy.embedded import server
from opensea_metrics.deploy.embedded.rest.policy import Certificate, Credentials, Policy
from opensea_metrics.deploy.embedded.rest.web_server import PortInUse
from tests.parts.ports import free_port


@contextmanager
def taken() -> Iterator[int]:
    """A port that somebody else listens on."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def test_serve_shows_the_address_of_its_dashboard(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from opensea_metrics.deploy import cli; cli.main()", "serve", "--port", "0"]
    port = free_port()
    command += ["--data-dir", str(tmp_path), "--dashboard-port", str(port)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        lines = [process.stderr.readline() for _ in range(2)]
        url = re.fullmatch(r"serving on (http://[0-9.:]+), data in .*\n", lines[0])
        assert url, lines
        assert lines[1] == f"dashboard at http://127.0.0.1:{port}\n"
        page = httpx.get(f"http://127.0.0.1:{port}/")
        assert f"<bdi>{url[1]}</bdi>" in page.text
        assert ">Ask</a>" in page.text
        process.terminate()
        assert process.wait(20) == 0


def begin(url: str) -> str:
    """The first catalog that a page gets."""
    with httpx.stream("GET", f"{url}/live/market", timeout=20) as reply:
        text = ""
        for piece in reply.iter_text():
            text += piece
            if "event: catalog" in text:
                return text
    return text


@pytest.mark.parametrize("credentials", [Credentials("ann", "s3cret"), Credentials(token="t0ken")])
def test_the_dashboard_has_the_credentials_of_its_server(tmp_path: Path, credentials: Credentials) -> None:
    policy = Policy(credentials=credentials)
    with server.running(tmp_path, policy=policy) as url, beside(url, policy, 0) as pages:
        assert "V002, V003, V005" in begin(pages)
        assert httpx.get(f"{pages}/ask").status_code == 404


def test_the_dashboard_trusts_the_certificate_of_its_server(tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=metrics.example",
         "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    policy = Policy(certificate=Certificate(certificate, key))
    with server.running(tmp_path / "data", policy=policy) as url, beside(url, policy, 0) as pages:
        assert url.startswith("https://")
        assert "V002, V003, V005" in begin(pages)


def test_a_port_that_is_taken_is_replaced_only_if_nobody_named_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with server.running(tmp_path) as url, taken() as port:
        monkeypatch.setattr("opensea_metrics.deploy.dashboard.server.PORT", port)
        with beside(url, Policy(), None) as pages:
            assert httpx.get(pages).status_code == 200
        with pytest.raises(PortInUse, match=str(port)), beside(url, Policy(), port):
            pass
