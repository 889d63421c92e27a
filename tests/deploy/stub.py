"""A server that gives recorded or made-up replies."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from opensea_metrics.deploy.client import KsqlClient

Write = Callable[[Mapping[str, str]], Path]
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
    accepted: list[str] = field(default_factory=list)  # the media types that requests ask for

    def will_reply(self, *replies: Canned) -> KsqlClient:
        """A client of this server, whose next requests get these replies."""
        self.replies = list(replies)
        return KsqlClient(self.url, timeout=2, patience=3)
