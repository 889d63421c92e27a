"""Runs docs/recipes.md: its commands, one section after the other, on an embedded server with events."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from opensea_metrics.deploy import cli, commands
from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.commands import ApplyChoice
from opensea_metrics.deploy.demo import wait_until_read
from opensea_metrics.deploy.embedded import server
from opensea_metrics.producer import sample
from opensea_metrics.producer.replay import replay
from opensea_metrics.producer.sinks import ArchiveSink
from opensea_metrics.sql.language.project.project import packaged_root

PAGE = Path("docs/recipes.md").resolve()
SECTIONS = {
    title: text for title, _, text in (part.partition("\n") for part in PAGE.read_text().split("\n## ")[1:])
}
ONE_WINDOW = '{"windows": "[{size: 1 MINUTE}]"}'


def copied_project(folder: Path) -> Path:
    """A copy of the packaged project."""
    for name in ("macros", "migrations"):
        shutil.copytree(packaged_root() / name, folder / "sql" / name)
    shutil.copy(packaged_root() / "settings.yml", folder / "sql")
    return folder / "sql"


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KsqlClient]:
    """A server with 1,500 events on which the packaged migrations are applied, with one window."""
    folder = tmp_path_factory.mktemp("recipes")
    with pytest.MonkeyPatch.context() as patch, server.running(folder / "data") as url:
        root = copied_project(folder)
        patch.chdir(folder)
        patch.setenv("KSQLDB_URL", url)
        patch.setenv("OPENSEA_METRICS_VARIABLES", ONE_WINDOW)
        client = KsqlClient(url)
        commands.apply(client, root, {"windows": "[{size: 1 MINUTE}]"})
        sink = ArchiveSink(folder / "data")
        replay(sample.frames(1_500, 1, sample.BUNDLED_START, sample.HOUR // 4, 0.3), sink)
        sink.close()
        wait_until_read(client, 60)
        yield client


Recipe = Callable[[str], list[str]]


@pytest.fixture
def recipe(live: KsqlClient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Recipe:
    """Runs a section, and checks exit codes and the outputs that the page shows. Returns the output of each command."""

    def runs(title: str) -> list[str]:
        outputs = []
        (block,) = re.findall(r"```sh\n(.*?)```", SECTIONS[title], re.DOTALL)
        for line in block.splitlines():
            if not line.startswith("opensea-metrics "):
                subprocess.run(line, shell=True, check=True)
                continue
            monkeypatch.setattr(sys, "argv", shlex.split(line, comments=True))
            with pytest.raises(SystemExit) as ended:
                cli.main()
            out, err = capsys.readouterr()
            expected = re.search(r"# exit code (\d)", line)
            assert (ended.value.code or 0) == int(expected[1] if expected else 0), f"{line}\n{out}\n{err}"
            outputs.append(out)
        shown = [line.rstrip() for out in outputs for line in out.splitlines()]
        for text in re.findall(r"```text\n(.*?)```", SECTIONS[title], re.DOTALL):
            for line in text.splitlines():
                assert line in shown, line
        return outputs

    return runs


def test_add_a_window(live: KsqlClient, recipe: Recipe) -> None:
    before = {each.version: each.changed for each in commands.status(live, None, {"windows": "[{size: 1 MINUTE}]"})}
    recipe("Add a window")
    (day,) = live.pull("SELECT * FROM global_1_day;")
    minutes = live.pull("SELECT * FROM global_1_minute;")
    assert day["EVENTS"] == sum(minute["EVENTS"] for minute in minutes) > 1_400
    after = {each.version: each.changed for each in commands.status(live, None, {"windows": "[{size: 1 MINUTE}]"})}
    assert after == {**before, 6: False}


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


def test_reconcile_reads_the_version_that_serves(
    live: KsqlClient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It recomputes the changed definition, and the server's windows agree with it."""
    archive = "data/topics/OpenSeaRawEvents"
    arguments = ["reconcile", "--table", "collection_1_minute", "--source", archive, "--engine", "duckdb"]
    monkeypatch.setattr(sys, "argv", ["opensea-metrics", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    out, err = capsys.readouterr()
    assert not ended.value.code, f"{out}\n{err}"


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
    _, paused, resumed, listed, _ = recipe("Pause, resume and end queries")
    assert "paused" in paused
    assert resumed.startswith("resumed CTAS_TRADING_1_MINUTE")
    assert "MIGRATION" not in listed
    assert listed.count("RUNNING") > 20


def test_drop_an_orphan(live: KsqlClient, recipe: Recipe) -> None:
    live.execute("CREATE STREAM scratch AS SELECT usd FROM sales EMIT CHANGES;")
    recipe("Drop an object that no migration created")
    assert "SCRATCH" not in {each.name for each in live.streams()}
    assert "SCRATCH" in {each.name for each in live.topics()}


def test_a_new_server_gets_changed_families_too(tmp_path: Path) -> None:
    """A version that replaces what the same run creates waits for its own plan."""
    root = copied_project(tmp_path)
    variables = {"windows": "[{size: 1 MINUTE}]"}
    commands.new_change("top_5", "top_collections", root, variables)
    beside = ApplyChoice(side_by_side=True)
    with server.running(tmp_path / "data") as url:
        client = KsqlClient(url)
        plan = commands.plan(client, root, variables, choice=beside)
        assert ([each.version for each in plan.versions], plan.later) == ([1, 2, 3, 4, 5], (6,))
        applied = commands.apply(client, root, variables, choice=beside)
        assert [each.version for each in applied.versions] == [1, 2, 3, 4, 5, 6]
        assert commands.serving_names(client) == {
            "TOP_COLLECTIONS_1_MINUTE": "TOP_COLLECTIONS_1_MINUTE_V2",
            "TOP_COLLECTIONS_1_MINUTE_CHANGES": "TOP_COLLECTIONS_1_MINUTE_CHANGES_V2",
        }
