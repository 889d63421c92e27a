"""The servers that the conformance tests run against."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from opensea_metrics.deploy.embedded import server

SERVERS = ("embedded", "ksqldb")


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """URLs by kind: an embedded server, and the real server at KSQLDB_URL if this is set."""
    with server.running(tmp_path_factory.mktemp("server")) as url:
        urls = {"embedded": url}
        if real := os.environ.get("KSQLDB_URL"):
            urls["ksqldb"] = real.rstrip("/")
        yield urls
