"""Readers keep the names in the files: the version that serves is looked up in the record."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from opensea_metrics.deploy import commands
from opensea_metrics.deploy.client import KsqlClient, KsqlError
from opensea_metrics.deploy.client.topics import deleting
from opensea_metrics.deploy.commands import QueryAction, Site
from opensea_metrics.deploy.dashboard.ask import ask
from opensea_metrics.deploy.dashboard.tables import RowSelection, ServerTables
from opensea_metrics.deploy.migrations.errors import MigrationError
from opensea_metrics.deploy.migrations.plan.drift import Drift
from opensea_metrics.deploy.replies import ServerQuery
from tests.deploy.stub import Write
from tests.deploy.test_apply import client
from tests.deploy.test_sidebyside import BESIDE, CHANGED, SITE, live

__all__ = ["client", "live"]  # fixtures
NAMES = {"VOLUME": "VOLUME_V2", "own": "own_V2"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT * FROM volume;", "SELECT * FROM `VOLUME_V2`;"),
        ("DESCRIBE Volume EXTENDED", "DESCRIBE `VOLUME_V2` EXTENDED"),
        ("SELECT v.x FROM `VOLUME` v", "SELECT v.x FROM `VOLUME_V2` v"),
        ("SELECT * FROM `volume`", "SELECT * FROM `volume`"),
        ("SELECT * FROM `own`", "SELECT * FROM `own_V2`"),
        ("SELECT * FROM own", "SELECT * FROM own"),
        ("SELECT 'volume' FROM volumes -- volume", "SELECT 'volume' FROM volumes -- volume"),
        ("SELECT 'it''s", "SELECT 'it''s"),
    ],
)
def test_only_names_are_replaced(text: str, expected: str) -> None:
    assert commands.with_serving_names(text, NAMES) == expected


def test_the_old_version_serves_until_it_is_dropped(live: KsqlClient, write_project: Write) -> None:
    query = "SELECT sales FROM oms_by_coll WHERE coll = 'ape';"
    assert commands.serving_names(live) == {}
    commands.apply(live, write_project({"V002__top.sql": CHANGED}), choice=BESIDE, site=SITE)
    assert commands.serving_names(live) == {"OMS_BY_COLL": "OMS_BY_COLL_V2", "OMS_CHANGES": "OMS_CHANGES_V2"}
    rows = commands.reading(live, query, live.pull)
    assert sum(row["SALES"] for row in rows) == 3
    with pytest.raises(KsqlError, match="OMS_BY_COLL_V2 serves as OMS_BY_COLL"):
        commands.reading(live, "SELECT nothing FROM oms_by_coll;", live.pull)
    with pytest.raises(KsqlError, match="NOWHERE"):
        commands.reading(live, "SELECT * FROM nowhere;", live.pull)
    (query_of,) = commands.queries(live, ["oms_by_coll"])
    assert query_of.sinks == ("OMS_BY_COLL_V2",)


def test_the_dashboard_reads_the_version_that_serves(live: KsqlClient, write_project: Write) -> None:
    tables = ServerTables(live)
    selection = RowSelection("OMS_BY_COLL", ("SALES",), (("COLL", "ape"),))
    assert "OMS_BY_COLL_V2" not in asyncio.run(tables.names())
    before = asyncio.run(tables.rows(selection))
    assert sum(sales for (sales,) in before) == 3
    commands.apply(live, write_project({"V002__top.sql": CHANGED}), choice=BESIDE, site=SITE)
    assert {"OMS_BY_COLL", "OMS_BY_COLL_V2"} <= asyncio.run(tables.names())
    assert asyncio.run(tables.rows(selection)) == before
    assert tables.serving(selection).push().endswith("FROM OMS_BY_COLL_V2 WHERE COLL = 'ape' EMIT CHANGES;")
    assert ask(live, "SELECT sales FROM oms_by_coll WHERE coll = 'ape';").rows == before


def test_queries_are_paused_resumed_and_ended(live: KsqlClient) -> None:
    asked: list[tuple[ServerQuery, ...]] = []

    def refused(chosen: tuple[ServerQuery, ...]) -> bool:
        asked.append(chosen)
        return False

    known = commands.queries(live)
    assert {sink for query in known for sink in query.sinks} >= {"OMS_BY_COLL", "OMS_LONG"}
    assert not [query for query in known if "MIGRATION" in query.id]
    (table,) = commands.queries(live, ["oms_by_coll"])
    commands.change_queries(live, QueryAction.PAUSE, [table.id.lower()], refused)
    assert commands.queries(live, ["OMS_BY_COLL"])[0].paused
    commands.change_queries(live, QueryAction.RESUME, ["OMS_BY_COLL"], refused)
    assert not commands.queries(live, ["OMS_BY_COLL"])[0].paused
    assert asked == []
    with pytest.raises(MigrationError, match="no consent"):
        commands.change_queries(live, QueryAction.TERMINATE, ["oms_long"], refused)
    assert [[query.sinks for query in chosen] for chosen in asked] == [[("OMS_LONG",)]]
    commands.change_queries(live, QueryAction.TERMINATE, ["oms_long"], lambda _: True)
    with pytest.raises(MigrationError, match="no query has the id oms_long, and none writes into oms_long"):
        commands.queries(live, ["oms_long"])
    with pytest.raises(MigrationError, match="name the queries to pause"):
        commands.change_queries(live, QueryAction.PAUSE, [], refused)


def test_only_extra_objects_are_dropped(live: KsqlClient, write_project: Write) -> None:
    root: Path = write_project({})
    live.execute("CREATE STREAM oms_scratch AS SELECT id, coll FROM oms_raw EMIT CHANGES;")

    def refused(_: Drift) -> bool:
        return False

    with pytest.raises(MigrationError, match=r"oms_by_coll is not dropped.*\n  hint: .*OMS_SCRATCH"):
        commands.drop_extra(live, "oms_by_coll", lambda _: True, root, site=Site())
    with pytest.raises(MigrationError, match="no consent"):
        commands.drop_extra(live, "oms_scratch", refused, root)
    assert commands.drop_extra(live, "oms_scratch", lambda _: True, root).name == "OMS_SCRATCH"
    assert "OMS_SCRATCH" not in {each.name for each in live.streams()}
    for text in deleting("OMS_SCRATCH"):  # the topic stays
        live.execute(text)
