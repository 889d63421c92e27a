"""A topic whose files a test changes. The tests of a module share the engine."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from opensea_metrics.deploy.embedded import health, rounds
from opensea_metrics.deploy.embedded.engine import Engine
from tests.embedded.topic import CountedTopic, running

_NAMES = itertools.count()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with running(tmp_path_factory.mktemp("data")) as running_engine:
        yield running_engine


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server retries immediately."""
    monkeypatch.setattr(rounds, "_AGAIN", 0.0)
    monkeypatch.setattr(health, "_LONGEST_PAUSE", 0.0)


@pytest.fixture
def topic(server: Engine) -> Iterator[CountedTopic]:
    counted = CountedTopic(server, f"t{next(_NAMES)}")
    yield counted
    server.work()
    assert server.faults() == {}
    counted.drop()
