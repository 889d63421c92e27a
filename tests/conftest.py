"""What all tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog

from tests.parts import kafka


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """The command configures logging for its process; the next test must not inherit that."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[kafka.Broker]:
    """A real Kafka broker; skips without Java."""
    with kafka.running(tmp_path_factory.mktemp("kafka")) as running:
        yield running
