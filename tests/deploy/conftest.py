"""What the tests of this folder share: a stub server, a server to migrate, projects on disk."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from deploy.client import KsqlClient

REPLIES = Path(__file__).parent / "replies"


@dataclass(frozen=True)
class Canned:
    """A reply; ``delay`` in seconds, ``cut``: the connection is closed before all is sent."""

    status: int
    body: bytes
    delay: float = 0.0
    cut: bool = False

    @classmethod
    def recorded(cls, name: str) -> Canned:
        """A reply of a real ksqlDB 7.9.1, from the folder ``replies``."""
        case = json.loads((REPLIES / f"{name}.json").read_text(encoding="utf-8"))
        if "response_lines" in case:
            return cls(case["status"], "\n".join(case["response_lines"]).encode())
        reply = case["response"]
        text = reply if isinstance(reply, str) else json.dumps(reply)
        return cls(case["status"], text.encode())

    @classmethod
    def json(cls, body: Any, status: int = 200) -> Canned:
        """Any object as the reply."""
        return cls(status, json.dumps(body).encode())


@dataclass
class Stub:
    """A server that gives the replies that it was told to, in order."""

    url: str = ""
    replies: list[Canned] = field(default_factory=list)
    requests: list[tuple[str, Any]] = field(default_factory=list)

    def will_reply(self, *replies: Canned) -> KsqlClient:
        """A client of this server, whose next requests get these replies."""
        self.replies = list(replies)
        return KsqlClient(self.url, timeout=2, patience=3)


@pytest.fixture
def stub() -> Iterator[Stub]:
    """A running stub server."""
    made = Stub()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            made.requests.append((self.path, json.loads(body) if body else None))
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
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield made
    server.shutdown()
    server.server_close()


@pytest.fixture
def server_url(tmp_path: Path) -> Iterator[str]:
    """A server to migrate: the real one at KSQLDB_URL if that is set, else an embedded one."""
    if url := os.environ.get("KSQLDB_URL"):
        yield url
        return
    from deploy.embedded.server import running

    with running(tmp_path / "data") as url:
        yield url


Write = Callable[[Mapping[str, str]], Path]


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
