"""opensea-metrics init and new: projects of users."""

from __future__ import annotations

from pathlib import Path

import pytest

from opensea_metrics.deploy import commands
from opensea_metrics.deploy.migrations.errors import MigrationError
from opensea_metrics.sql.language.project.project import load_project

FILES = [
    ".env.example", ".gitignore", "README.md", "sql/macros/families/volume.sql", "sql/macros/windows.sql",
    "sql/migrations/V001__volume.sql", "sql/settings.yml", "tests/test_volume.py", "tests/volume.sql",
]  # fmt: skip


def test_a_new_project_is_valid(tmp_path: Path) -> None:
    """tests/docs runs the commands of its README, with its tests in SQL and in Python."""
    project = tmp_path / "my metrics"
    written = commands.init(project)
    assert sorted(str(path.relative_to(project)) for path in written) == FILES
    assert sorted(str(path.relative_to(project)) for path in project.rglob("*") if path.is_file()) == FILES
    validation = commands.validate(project / "sql")
    assert (validation.migrations, validation.unsupported) == (1, ())


def test_a_project_is_never_written_over(tmp_path: Path) -> None:
    (tmp_path / "sql").mkdir()
    (tmp_path / "sql/settings.yml").write_text("mine: 1\n")
    with pytest.raises(MigrationError, match=r"settings\.yml already exists; nothing was written"):
        commands.init(tmp_path)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["settings.yml"]


def test_new_adds_a_migration_to_the_project_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands.init(tmp_path)
    monkeypatch.chdir(tmp_path)
    path = commands.new("floor price")
    assert path == Path("sql/migrations/V002__floor_price.sql")
    path.write_text(path.read_text() + "DROP TABLE IF EXISTS floor_price;\n")
    assert commands.validate().migrations == 2


def test_a_window_is_added_to_a_new_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands.init(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert commands.new_window("1 day", "1 hour") == Path("sql/migrations/V002__window_1_day_by_1_hour.sql")
    commands.new_change("more", "volume")
    project = load_project()
    assert [each.name for each in project.migrations[1].statements if each.name] == ["VOLUME_1_DAY_BY_1_HOUR"]
    names = ["VOLUME_1_MINUTE", "VOLUME_1_HOUR", "VOLUME_1_DAY_BY_1_HOUR"]
    assert [each.name for each in project.migrations[2].statements if each.name] == names
    assert commands.validate().migrations == 3


def test_new_outside_a_project_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MigrationError, match=r"no project here.*\n.*opensea-metrics init DIR.*--sql DIR"):
        commands.new("floor")
