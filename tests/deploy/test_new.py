"""opensea-metrics new: a window for every family of tables, and another definition of a family."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from opensea_metrics.deploy import commands
from opensea_metrics.deploy.migrations.errors import MigrationError
from opensea_metrics.spark_batch.period import PeriodError
from opensea_metrics.sql.language.project.project import Project, load_project, packaged_root
from tests.deploy.stub import Write

FAMILIES = ["global", "collection", "asset", "top_collections", "top_assets", "long_form", "trading"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A copy of the packaged project."""
    for folder in ("macros", "migrations"):
        shutil.copytree(packaged_root() / folder, tmp_path / "sql" / folder)
    shutil.copy(packaged_root() / "settings.yml", tmp_path / "sql")
    return tmp_path / "sql"


def created(project: Project, version: int) -> list[str]:
    """The names of the tables that a migration creates or replaces."""
    (migration,) = (each for each in project.migrations if each.version == version)
    return [str(each.name) for each in migration.statements if "TABLE" in each.text[:30]]


def test_a_window_has_one_line_for_each_family(root: Path) -> None:
    before = load_project(root)
    path = commands.new_window("1 day", root=root)
    assert path == root / "migrations/V006__window_1_day.sql"
    lines = [line for line in path.read_text().splitlines() if "create(window)" in line]
    assert [line.split("'")[1] for line in lines] == [f"families/{name}.sql" for name in FAMILIES]
    after = load_project(root)
    assert created(after, 6) == [
        f"{name}_1_DAY" for name in ("GLOBAL", "COLLECTION", "ASSET", "TOP_COLLECTIONS", "TOP_ASSETS", "TRADING")
    ]
    assert sum(each.kind.value == "insert into … select" for each in after.migrations[5].statements) == 4
    assert [each.checksum for each in after.migrations[:5]] == [each.checksum for each in before.migrations]
    assert commands.validate(root).migrations == 6


def test_a_long_window_is_kept_long_enough(root: Path) -> None:
    """ksqlDB refuses a retention below the size and the grace period together."""
    path = commands.new_window("7 days", root=root)
    assert "RETENTION 8 DAYS, GRACE PERIOD 1 DAY" in load_project(root).migrations[5].text.text
    assert "RETENTION 2 DAYS" in load_project(root).migrations[1].text.text
    path.unlink()
    commands.new_window("1 day", root=root)
    assert "RETENTION 2 DAYS, GRACE PERIOD 1 DAY" in load_project(root).migrations[5].text.text


def test_a_sliding_window(root: Path) -> None:
    path = commands.new_window("1 hour", "10 minutes", root=root)
    assert path.name == "V006__window_1_hour_by_10_minutes.sql"
    assert "COLLECTION_1_HOUR_BY_10_MINUTES" in created(load_project(root), 6)


def test_a_new_deployment_may_have_the_window_already(root: Path) -> None:
    """recompute sets the windows, too."""
    commands.new_window("1 day", root=root)
    project = load_project(root, {"windows": "[{size: 1 DAY}]"})
    assert created(project, 6) == []
    assert commands.validate(root, {"windows": "[{size: 1 DAY}]"}).migrations == 6


def test_another_definition_goes_to_all_windows(root: Path) -> None:
    """The windows of settings.yml and those of migrations."""
    commands.new_window("7 days", root=root)
    copy, path = commands.new_change("top 5", "top_collections", root)
    assert (copy.name, path.name) == ("top_collections_v2.sql", "V007__top_5.sql")
    assert copy.read_text() == (copy.parent / "top_collections.sql").read_text()
    copy.write_text(copy.read_text().replace("{{ top_collections }}", "5"))
    names = ["30_SECONDS", "1_MINUTE", "5_MINUTES", "30_MINUTES", "7_DAYS"]
    project = load_project(root)
    assert created(project, 7) == [f"TOP_COLLECTIONS_{name}" for name in names]
    assert project.migrations[6].text.text.count("RETENTION 8 DAYS") == 1
    assert "5) AS by_usd_volume" in project.migrations[6].text.text
    assert commands.validate(root).migrations == 7


def test_a_later_window_has_the_newest_definition(root: Path) -> None:
    commands.new_change("top_5", "top_collections", root)
    text = commands.new_window("1 day", root=root).read_text()
    assert "families/top_collections_v2.sql" in text
    assert "families/top_collections.sql" not in text
    second, _ = commands.new_change("top_3", "TOP_COLLECTIONS", root)
    assert second.name == "top_collections_v3.sql"


@pytest.mark.parametrize(
    ("size", "error", "message"),
    [
        ("1 minute", MigrationError, "already has a window of 1 MINUTE"),
        ("soon", PeriodError, "'soon' is not a duration"),
    ],
)
def test_a_window_that_is_none_or_exists(root: Path, size: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        commands.new_window(size, root=root)
    assert len(list((root / "migrations").iterdir())) == 5


def test_a_window_is_added_once(root: Path) -> None:
    commands.new_window("7 days", root=root)
    with pytest.raises(MigrationError, match="already has a window of 7 DAYS"):
        commands.new_window("7 DAYS", root=root)


def test_a_family_that_is_unknown_or_has_no_table(root: Path) -> None:
    with pytest.raises(MigrationError, match=r"'tops' in use\n  hint: .*global, collection, asset, top_collections"):
        commands.new_change("x", "tops", root)
    with pytest.raises(MigrationError, match=r"long_form.sql has no macro replace\(window\)"):
        commands.new_change("x", "long_form", root)


def test_a_project_without_families(write_project: Write) -> None:
    root = write_project({"V001__a.sql": "CREATE STREAM s (a INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON');"})
    with pytest.raises(MigrationError, match=r"nothing to add\n  hint: .*macros/families/NAME\.sql"):
        commands.new_window("1 day", root=root)
