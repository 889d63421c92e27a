"""docs/python-api.md: its table has every exported name. tests/docs runs its program."""

from __future__ import annotations

from pathlib import Path

import pytest

import opensea_metrics

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/python-api.md").read_text(encoding="utf-8")


def test_the_table_has_every_exported_name() -> None:
    table = "\n".join(line for line in TEXT.splitlines() if line.startswith("|"))
    assert {name for name in opensea_metrics.__all__ if f"`{name}" not in table} == set()


@pytest.mark.parametrize("name", opensea_metrics.__all__)
def test_every_exported_name_is_there(name: str) -> None:
    assert getattr(opensea_metrics, name).__name__ == name
