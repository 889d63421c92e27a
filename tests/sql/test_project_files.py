"""What is read of a project: names of files, DEFINE and variables, and what --var makes of settings."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from opensea_metrics.core.errors import SqlError
from opensea_metrics.sql.language.project.project import load_project, load_settings

STREAM = "CREATE STREAM a (x VARCHAR) WITH (KAFKA_TOPIC='{topic}', VALUE_FORMAT='JSON');"


def project(root: Path, *names: str) -> Path:
    (root / "migrations").mkdir()
    (root / "settings.yml").write_text("n: 1")
    for name in names:
        (root / "migrations" / name).write_text("DROP STREAM a;")
    return root


@pytest.mark.parametrize(
    ("name", "better"),
    [
        ("V004__x.SQL", "V004__x.sql"),
        ("v004__x.sql", "V004__x.sql"),
        ("V004__x.Down.Sql", "V004__x.down.sql"),
        ("V4__x.sql", "V004__x.sql"),
        ("V004_x.sql", "V004__x.sql"),
        ("V004-x y.sql", "V004__x y.sql"),
        ("V004__x.sql ", "V004__x.sql"),
        ("V004__x", "V004__x.sql"),
        ("V004__x.txt", "V004__x.sql"),
        ("V004__x+y.sql", "V004__x_y.sql"),
        ("x.sql", None),
        ("V٠٠٤__x.sql", None),
    ],
)
def test_a_misnamed_file_is_refused(tmp_path: Path, name: str, better: str | None) -> None:
    root = project(tmp_path, "V001__a.sql", name)
    with pytest.raises(SqlError, match="is not a valid name for a migration") as caught:
        load_project(root)
    assert f"'{name}'" in caught.value.message
    hint = caught.value.hint or ""
    assert hint.startswith(f"rename it to '{better}'" if better else "migrations are named V###__name.sql")


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    root = project(tmp_path, "V001__a.sql", "README.md", "V001__a.sql~", "V001__a.sql.bak", ".V001__a.sql.swp")
    (root / "migrations" / "V2_old").mkdir()
    assert [each.path.name for each in load_project(root).migrations] == ["V001__a.sql"]


@pytest.mark.parametrize("other", ["V004__b.sql", "V0004__a.sql"])
def test_two_files_of_one_version_are_named(tmp_path: Path, other: str) -> None:
    with pytest.raises(SqlError, match="version 4 has two files") as caught:
        load_project(project(tmp_path, "V004__a.sql", other))
    assert "'V004__a.sql'" in caught.value.message
    assert f"'{other}'" in caught.value.message


DEFINITIONS = {
    "in a literal": ("DEFINE t='x';\n" + STREAM, "${t}", "x"),
    "in a later value": ("DEFINE env='dev'; DEFINE t='${env}_x';\n" + STREAM, "${t}", "dev_x"),
    "several on a line": ("DEFINE a='1'; DEFINE b='2'; " + STREAM, "${a}${b}-${a}", "12-1"),
    "escaped": (STREAM, "$${t}", "${t}"),
    "a quote": ("DEFINE t='it''s';\n" + STREAM, "${t}", "it''s"),
    "a quote in a later value": ("DEFINE a='it''s'; DEFINE t='${a}';" + STREAM, "${t}", "it''s"),
    "in a comment": ("-- DEFINE t='y'; ${nosuch}\n/* ${nosuch} UNDEFINE t; */" + STREAM, "${given}", "v"),
    "text that looks like one": ("DEFINE t='; DEFINE given=''y'';';\n" + STREAM, "${given}", "v"),
    "defined anew": ("DEFINE given='w'; " + STREAM, "${GIVEN}", "w"),
    "a setting": (STREAM, "${given}", "v"),
}


@pytest.mark.parametrize("is_foreign", [False, True])
@pytest.mark.parametrize("case", DEFINITIONS)
def test_definitions(tmp_path: Path, case: str, is_foreign: bool) -> None:
    text, topic, expected = DEFINITIONS[case]
    root = project(tmp_path, "V001__a.sql")
    (root / "migrations/V001__a.sql").write_text(text.replace("{topic}", topic))
    if is_foreign:
        (root / "settings.yml").rename(root / "ksql-migrations.properties")
    (statement,) = load_project(root, {"given": "v"}).migrations[0].statements
    assert statement.text == STREAM.replace("{topic}", expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-- ${a}\nDROP STREAM ${a};", ":2:13: ${a} is not defined"),
        ("DEFINE a='x'; UNDEFINE a;\nDROP STREAM ${a};", ":2:13: ${a} is not defined"),
        ("DEFINE b='${a}';", ":1:11: ${a} is not defined"),
        ("DEFINE a='x; DROP STREAM y';\nDROP STREAM ${a};", ":2:13: Illegal argument at Line: 2, Col: 13."),
    ],
)
def test_wrong_variables(tmp_path: Path, text: str, expected: str) -> None:
    root = project(tmp_path, "V001__a.sql")
    (root / "migrations/V001__a.sql").write_text(text)
    with pytest.raises(SqlError) as caught:
        load_project(root)
    assert str(caught.value).removeprefix(str(root / "migrations/V001__a.sql")).startswith(expected)


def test_an_adopted_file_is_no_template(tmp_path: Path) -> None:
    root = project(tmp_path, "V001__a.sql")
    (root / "settings.yml").rename(root / "ksql-migrations.properties")
    text = "INSERT INTO a (x) VALUES ('{#1} open');\nDROP STREAM a;\nINSERT INTO a (x) VALUES ('close #} {{ y }} {%');"
    (root / "migrations/V001__a.sql").write_text(text)
    (migration,) = load_project(root).migrations
    assert [each.text for each in migration.statements] == text.split("\n")


SETTINGS = """
release: "1.9"
count: 2
rate: 1.5
flag: true
empty:
windows: [{size: 1 MINUTE}]
sizes: {a: 1}
"""


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        *(("release", text, text) for text in ("1.10", "0123", "no", "12:30", "", "~", "[1]", "2026-01-01", "'a'")),
        *(("new", text, text) for text in ("1.10", "0123", "no", "12:30")),
        ("count", "0123", 123),
        ("count", "-1", -1),
        ("rate", "2", 2.0),
        ("rate", "1e3", 1000.0),
        ("flag", "no", False),
        ("flag", "TRUE", True),
        ("empty", "3", 3),
        ("windows", "[{size: 1 HOUR}]", [{"size": "1 HOUR"}]),
        ("sizes", "{b: 2}", {"b": 2}),
    ],
)
def test_a_variable_keeps_the_type_of_its_setting(tmp_path: Path, name: str, text: str, expected: Any) -> None:
    (tmp_path / "settings.yml").write_text(SETTINGS)
    value = load_settings(tmp_path, {name: text})[name]
    assert (type(value), value) == (type(expected), expected)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("count", "two", "--var count=two: 'count' in settings.yml is a whole number, such as 2"),
        ("count", "1.0", "--var count=1.0: 'count' in settings.yml is a whole number, such as 2"),
        ("count", "12:30", "--var count=12:30: 'count' in settings.yml is a whole number, such as 2"),
        ("rate", "nan", "--var rate=nan: 'rate' in settings.yml is a number, such as 1.5"),
        ("flag", "1", "--var flag=1: 'flag' in settings.yml is true or false"),
        ("windows", "1 HOUR", "--var windows=1 HOUR: 'windows' in settings.yml is a list in YAML, such as"),
        ("windows", "[", "--var windows: not YAML: "),
        ("sizes", "[1]", "--var sizes=[1]: 'sizes' in settings.yml is names and values in YAML"),
    ],
)
def test_a_variable_of_another_type_is_refused(tmp_path: Path, name: str, text: str, expected: str) -> None:
    (tmp_path / "settings.yml").write_text(SETTINGS)
    with pytest.raises(SqlError) as caught:
        load_settings(tmp_path, {name: text})
    assert str(caught.value).startswith(expected)


@pytest.mark.parametrize("text", ["- 1", "1: a", "a: 2026-13-01", "a: ["])
def test_wrong_settings_are_errors_with_a_place(tmp_path: Path, text: str) -> None:
    (tmp_path / "settings.yml").write_text(text)
    with pytest.raises(SqlError) as caught:
        load_settings(tmp_path, {})
    assert str(caught.value.place).startswith(f"{tmp_path}/settings.yml:")


def test_settings_that_are_nested_too_deeply(tmp_path: Path) -> None:
    deep = 400 * "[" + 400 * "]"
    (tmp_path / "settings.yml").write_text("windows: []")
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(500)
    try:
        with pytest.raises(SqlError, match="--var windows: not YAML: "):
            load_settings(tmp_path, {"windows": deep})
        (tmp_path / "settings.yml").write_text(f"windows: {deep}")
        with pytest.raises(SqlError, match=r"settings\.yml:1:59: not YAML: "):
            load_settings(tmp_path, {})
    finally:
        sys.setrecursionlimit(limit)


def test_settings_may_be_empty(tmp_path: Path) -> None:
    root = project(tmp_path, "V001__a.sql")
    (root / "settings.yml").write_text("# none\n")
    assert load_project(root).settings == {}
