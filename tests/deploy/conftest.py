"""What the tests of this folder share: a stub server, a server to migrate, projects on disk."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from opensea_metrics.deploy import commands
from opensea_metrics.deploy.client import KsqlClient
from tests.deploy.stub import Stub, Write


@pytest.fixture
def stub() -> Iterator[Stub]:
    """A running stub server."""
    made = Stub()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            made.requests.append((self.path, json.loads(body) if body else None))
            made.accepted.append(self.headers.get("Accept", ""))
            reply = made.replies.pop(0)
            threading.Event().wait(reply.delay)
            self.send_response(reply.status)
            self.send_header("Content-Length", str(len(reply.body) + reply.cut))
            self.end_headers()
            self.wfile.write(reply.body)

        do_POST = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield made
    server.shutdown()
    server.server_close()


@contextmanager
def migrated_server(data: Path) -> Iterator[str]:
    """The URL of a server to migrate: the real one at KSQLDB_URL if that is set, else an embedded one over ``data``.

    Nothing is applied there at first. On the real one, nothing is applied afterwards either.
    """
    if url := os.environ.get("KSQLDB_URL"):
        _roll_back_all(url, data)
        yield url
        _roll_back_all(url, data)
        return
    from opensea_metrics.deploy.embedded.server import running

    with running(data) as url:
        yield url


def _roll_back_all(url: str, folder: Path) -> None:
    """Undo all migrations, whichever tests have applied them. ``folder`` becomes a project without any."""
    (folder / "migrations").mkdir(parents=True, exist_ok=True)
    (folder / "settings.yml").write_text("{}\n", encoding="utf-8")
    commands.rollback(KsqlClient(url), lambda _: True, root=folder, target=0)


@pytest.fixture(scope="module")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server for all tests of a module. A test finds what the tests before it left there."""
    with migrated_server(tmp_path_factory.mktemp("server")) as url:
        yield url


@pytest.fixture
def new_server_url(tmp_path: Path) -> Iterator[str]:
    """A server on which nothing was applied yet."""
    with migrated_server(tmp_path / "data") as url:
        yield url


@pytest.fixture
def write_project(tmp_path: Path) -> Write:
    """Writes migrations (file name → text) into a project, and returns its folder."""
    root = tmp_path / "project"

    def write(files: Mapping[str, str]) -> Path:
        (root / "migrations").mkdir(parents=True, exist_ok=True)
        (root / "settings.yml").write_text("{}\n", encoding="utf-8")
        for name, text in files.items():
            (root / "migrations" / name).write_text(text, encoding="utf-8")
        return root

    return write
