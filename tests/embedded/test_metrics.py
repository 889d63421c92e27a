"""Every metric of every window on the embedded server equals the oracle's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from opensea_metrics.deploy import commands
from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.demo import wait_until_read
from opensea_metrics.deploy.embedded import server
from opensea_metrics.producer.replay import replay
from opensea_metrics.producer.sinks import ArchiveSink
from tests import oracle
from tests.metrics import (
    TABLES,
    averages,
    averages_in_long_form,
    frames,
    long_form,
    table_on_server,
)

TUMBLING = {"30_SECONDS": 30_000, "1_MINUTE": 60_000, "5_MINUTES": 300_000, "30_MINUTES": 1_800_000}
HOPPING = {"2_MINUTES_BY_30_SECONDS": (120_000, 30_000)}


def replay_sample(data: Path) -> None:
    sink = ArchiveSink(data)
    try:
        replay(frames(), sink)
    finally:
        sink.close()
    # Lines that no producer writes, but that a topic may hold.
    odd = data / "topics/OpenSeaRawEvents/year=2026/month=09/day=15/hour=13"
    odd.mkdir(parents=True)
    (odd / "OpenSeaRawEvents+0+9999999999.json").write_bytes(
        b'{bad\n5\n{"event_time":1789470000000,"event":"item_sold","payload":7}\n'
        b'{"event_time":"1789470000000","event":"item_sold"}\n{"event_time":null}\n\xff\xfe\n'
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def client(data: Path) -> Iterator[KsqlClient]:
    windows = '[{size: 30 SECONDS}, {size: 1 MINUTE}, {size: 5 MINUTES}, {size: 30 MINUTES}, '
    windows += '{size: 2 MINUTES, slide: 30 SECONDS}]'
    with server.running(data) as url:
        client = KsqlClient(url)
        commands.apply(client, Path("sql"), {"windows": windows})
        replay_sample(data)
        wait_until_read(client, 120)
        yield client


@pytest.fixture(scope="module")
def records(client: KsqlClient, data: Path) -> list[Any]:
    good, bad = oracle.read(data / "topics/OpenSeaRawEvents")
    assert bad > 4  # the odd lines above, and those of the sample
    return good


@pytest.fixture(scope="module", params=[*TUMBLING, *HOPPING])
def window(request: pytest.FixtureRequest, records: list[Any]) -> tuple[str, oracle.Metrics]:
    name: str = request.param
    if name in TUMBLING:
        return name, oracle.compute(records, TUMBLING[name])
    return name, oracle.compute(records, *HOPPING[name])


@pytest.mark.parametrize("kind", TABLES)
def test_tables(client: KsqlClient, window: tuple[str, oracle.Metrics], kind: str) -> None:
    table_on_server(client, kind, *window)


def test_long_form(client: KsqlClient, window: tuple[str, oracle.Metrics]) -> None:
    long_form(client, *window)


def test_sales_without_a_price_do_not_count_in_averages(client: KsqlClient) -> None:
    averages(list(client.pull("SELECT * FROM collection_30_minutes;")))
    stored = client.pull("SELECT * FROM enriched_collections_events;")
    averages_in_long_form(list(stored), "30_MINUTES")


def test_the_sample_has_all_cases_that_trading_distinguishes(window: tuple[str, oracle.Metrics]) -> None:
    groups = window[1].trading.values()
    assert any(group.organic_usd_volume < group.usd_volume - 1 for group in groups)
    assert any(group.mints for group in groups)
    assert any(group.burns for group in groups)
