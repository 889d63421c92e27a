"""YAML within limits: every excess is an error with its place, found in time proportional to the text."""

from __future__ import annotations

from pathlib import Path

import pytest

from opensea_metrics.core.errors import SqlError
from opensea_metrics.sql.language.project.project import load_settings
from opensea_metrics.sql.language.project.yaml_text import DEPTH, NotYaml, read_yaml
from tests.sql.counting import calls_of


def test_what_is_allowed() -> None:
    deep = "[" * DEPTH + "]" * DEPTH
    assert str(read_yaml(deep)) == deep
    assert read_yaml("a: &x {b: 1}\nc: *x\nd: '<<'") == {"a": {"b": 1}, "c": {"b": 1}, "d": "<<"}
    assert read_yaml(f"a: '{'9' * 5_000}'") == {"a": "9" * 5_000}
    assert read_yaml("a b " * 400) == ("a b " * 400).strip()


@pytest.mark.parametrize(
    ("text", "problem", "line", "column"),
    [
        ("a: 1\nb: " + "[" * 9_000, "nested more than 50 levels deep", 2, 4 + DEPTH - 1),
        ("[" * 51 + "]" * 51, "nested more than 50 levels deep", 1, 51),
        ("{a: " * 51 + "1" + "}" * 51, "nested more than 50 levels deep", 1, 201),
        ("- " * 9_000, "nested more than 50 levels deep", 1, 101),
        ("\n".join(" " * n + "a:" for n in range(60)), "nested more than 50 levels deep", 51, 51),
        ("a: " + "9" * 5_000, "a number of more than 1,000 characters", 1, 4),
        ("a: 0x" + "f" * 5_000, "a number of more than 1,000 characters", 1, 4),
        ("a: 1" + ":59" * 5_000, "a number of more than 1,000 characters", 1, 4),
        ("a: &a {x: 1}\nb: {<<: [*a, *a]}", "a merge key", 2, 5),
        ("a: " + "x" * (1 << 20), "more than 1,048,576 characters", 1, 1),
        ("a: 2026-13-01", "month must be in 1..12", 1, 1),
        ("a: [", "did not find expected|expected the node content", 1, 5),
    ],
    ids=lambda value: str(value)[:16],
)
def test_what_is_refused(text: str, problem: str, line: int, column: int) -> None:
    with pytest.raises(NotYaml, match=problem) as caught:
        read_yaml(text)
    assert (caught.value.line, caught.value.column) == (line, column)


@pytest.mark.parametrize("unit", ["[", "{", "- ", "? ", "[{a: ", "a: [", "&a ", "'", "<<: "], ids=repr)
def test_the_steps_grow_with_the_text(unit: str) -> None:
    def read(size: int) -> None:
        with pytest.raises(NotYaml):
            read_yaml(unit * (size // len(unit)) + "]")

    assert calls_of(lambda: read(16_000)) < 5 * calls_of(lambda: read(4_000))


def test_settings_and_variables(tmp_path: Path) -> None:
    (tmp_path / "settings.yml").write_text("windows: []\n")
    with pytest.raises(SqlError, match="--var windows: not YAML: lists and mappings are nested more than 50"):
        load_settings(tmp_path, {"windows": "[" * 9_000})
    (tmp_path / "settings.yml").write_text("a: 1\nwindows: " + "[" * 9_000)
    with pytest.raises(SqlError, match="lists and mappings are nested more than 50") as caught:
        load_settings(tmp_path, {})
    assert str(caught.value.place) == f"{tmp_path}/settings.yml:2:59"
