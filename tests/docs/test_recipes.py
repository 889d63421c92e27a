"""Runs docs/recipes.md, one section after the other, on an embedded server with events, and compares values."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from opensea_metrics.deploy import commands
from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.commands import ApplyChoice
from opensea_metrics.deploy.embedded import server
from opensea_metrics.producer import metrics
from opensea_metrics.producer.sinks import Sink
from tests.docs.conftest import Open, Start, copy_project
from tests.docs.markdown import ROOT, Block, blocks
from tests.docs.session import Session

PAGE = ROOT / "docs/recipes.md"
SECTIONS = {
    title: list(blocks(text))
    for title, _, text in (part.partition("\n") for part in PAGE.read_text(encoding="utf-8").split("\n## ")[1:])
}
TESTED: set[str] = set()
LAST_CHANGE = list(SECTIONS).index("Drop an object that no migration created")
"""The sections after this one connect the project to other tools. The page shows all of their outputs."""


@pytest.fixture(scope="module")
def session(opened: Open) -> Iterator[Session]:
    """A shell beside a server with 1,500 events, to which the packaged migrations are applied, with one window."""
    with opened(Start.MARKET) as session:
        yield session


@pytest.fixture
def live(session: Session) -> KsqlClient:
    return KsqlClient(f"http://127.0.0.1:{session.ports['8088']}")


Recipe = Callable[[str], str]


@pytest.fixture
def recipe(session: Session) -> Recipe:
    """Runs a section. Returns what the last command printed that the page does not show."""

    def runs(title: str) -> str:
        TESTED.add(title)
        for block in SECTIONS[title]:
            if not block.not_run and (block.language != "yaml" or block.path):
                session.run(block)
        return session.output

    return runs


def test_add_a_window(session: Session, live: KsqlClient, recipe: Recipe) -> None:
    before = {each.record.version: each.changed for each in commands.status(live, session.folder / "sql")}
    recipe("Add a window")
    (day,) = live.pull("SELECT * FROM global_1_day;")
    minutes = live.pull("SELECT * FROM global_1_minute;")
    assert day["EVENTS"] == sum(minute["EVENTS"] for minute in minutes) > 1_400
    after = {each.record.version: each.changed for each in commands.status(live, session.folder / "sql")}
    assert after == {**before, 6: False}


@pytest.mark.parametrize("title", ["Use a field that OpenSea added", "Use a Python function"])
def test_recipes_whose_outputs_the_page_shows(recipe: Recipe, title: str) -> None:
    recipe(title)


def test_change_a_setting(live: KsqlClient, recipe: Recipe) -> None:
    def longest() -> int:
        query = "SELECT by_usd_volume FROM top_collections_1_minute WHERE scope = 'all';"
        rows = commands.reading(live, query, live.pull)
        return max(len(row["BY_USD_VOLUME"]) for row in rows)

    assert longest() == 10
    recipe("Change a setting: 5 top collections instead of 10")
    assert longest() == 5
    assert commands.serving_names(live)["TOP_COLLECTIONS_1_DAY"] == "TOP_COLLECTIONS_1_DAY_V2"


def test_change_a_definition(live: KsqlClient, recipe: Recipe) -> None:
    query = "SELECT collection, ws, avg_usd FROM collection_1_minute;"

    def averages() -> dict[tuple[str, int], float]:
        rows = commands.reading(live, query, live.pull)
        return {(row["COLLECTION"], row["WS"]): row["AVG_USD"] for row in rows}

    rows = averages()
    recipe("Change a definition: the average price")
    changed = averages()
    assert rows.keys() == changed.keys()
    differing = [key for key, value in rows.items() if value and abs(value - changed[key]) > 0.01]
    assert differing
    assert all(changed[key] > rows[key] for key in differing), "a sale of several items has a higher price"


def test_add_a_column(live: KsqlClient, recipe: Recipe) -> None:
    recipe("Add a column to a family")
    query = "SELECT floor_usd, highest_usd, sales FROM collection_1_minute;"
    rows = [row for row in commands.reading(live, query, live.pull) if row["FLOOR_USD"] is not None]
    assert all(row["HIGHEST_USD"] >= row["FLOOR_USD"] for row in rows)
    assert any(row["HIGHEST_USD"] > row["FLOOR_USD"] for row in rows)


def test_reconcile_reads_the_version_that_serves(session: Session) -> None:
    """It recomputes the changed definition, and the server's windows agree with it."""
    command = "opensea-metrics reconcile --table collection_1_minute --engine duckdb\n"
    session.run(Block("sh", command, 0, None, False))
    assert "are equal" in session.output.replace("\n", "")  # the terminal has broken the line


def test_roll_back_and_wait(live: KsqlClient, recipe: Recipe) -> None:
    wanted = "SELECT collection, ws, avg_usd FROM collection_1_minute;"

    def averages() -> list[tuple[object, ...]]:
        rows = commands.reading(live, wanted, live.pull)
        return sorted(tuple(row.values()) for row in rows)

    before = averages()
    recipe("Roll back, and wait")
    assert averages() == before, "the version before it has the same averages, and all of them at once"
    assert commands.serving_names(live)["COLLECTION_1_MINUTE"] == "COLLECTION_1_MINUTE_V2"


def test_pause_and_resume(recipe: Recipe) -> None:
    listed = recipe("Pause, resume and end queries")
    assert "MIGRATION" not in listed
    assert listed.count("RUNNING") > 20


def test_drop_an_orphan(live: KsqlClient, recipe: Recipe) -> None:
    recipe("Drop an object that no migration created")
    assert "SCRATCH" not in {each.name for each in live.streams()}
    assert "SCRATCH" in {each.name for each in live.topics()}


@pytest.mark.parametrize("title", [title for title in SECTIONS if list(SECTIONS).index(title) > LAST_CHANGE])
def test_recipes_that_connect_other_tools(recipe: Recipe, title: str) -> None:
    recipe(title)


def test_a_new_server_gets_changed_families_too(tmp_path: Path) -> None:
    """A version that replaces what the same run creates waits for its own plan."""
    copy_project(tmp_path)
    root = tmp_path / "sql"
    commands.new_change("top_5", "top_collections", root)
    beside = ApplyChoice(side_by_side=True)
    with server.running(tmp_path / "data") as url:
        client = KsqlClient(url)
        plan = commands.plan(client, root, choice=beside)
        assert ([each.version for each in plan.versions], plan.later) == ([1, 2, 3, 4, 5], (6,))
        applied = commands.apply(client, root, choice=beside)
        assert [each.version for each in applied.versions] == [1, 2, 3, 4, 5, 6]
        assert commands.serving_names(client) == {
            "TOP_COLLECTIONS_1_MINUTE": "TOP_COLLECTIONS_1_MINUTE_V2",
            "TOP_COLLECTIONS_1_MINUTE_CHANGES": "TOP_COLLECTIONS_1_MINUTE_CHANGES_V2",
        }


def test_every_recipe_is_run() -> None:
    assert SECTIONS.keys() - TESTED == set()


def test_the_metrics_for_prometheus_are_those_of_the_producer() -> None:
    sink = cast(Sink, SimpleNamespace(queued=0, delivered=0, dead_letters=0))
    families = list(metrics._Collector(metrics.Stats(), sink).collect())
    served = {f"{family.name}_total" if family.type == "counter" else family.name for family in families}
    assert set(re.findall(r"opensea_producer_\w+", PAGE.read_text(encoding="utf-8"))) == served
