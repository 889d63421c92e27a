from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.parts import kafka


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[kafka.Broker]:
    with kafka.running(tmp_path_factory.mktemp("kafka")) as running:
        yield running
