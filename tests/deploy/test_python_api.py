"""docs/python-api.md: its program prints what it says, and its table has every exported name."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import opensea_metrics

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/python-api.md").read_text(encoding="utf-8")


def test_the_program_prints_what_the_page_says(tmp_path: Path) -> None:
    ((program,), (printed,)) = (re.findall(rf"```{kind}\n(.*?)```", TEXT, re.DOTALL) for kind in ("python", "text"))
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert (done.stdout, done.returncode) == (printed, 0), done.stderr


def test_the_table_has_every_exported_name() -> None:
    table = "\n".join(line for line in TEXT.splitlines() if line.startswith("|"))
    assert {name for name in opensea_metrics.__all__ if f"`{name}" not in table} == set()


@pytest.mark.parametrize("name", opensea_metrics.__all__)
def test_every_exported_name_is_there(name: str) -> None:
    assert getattr(opensea_metrics, name).__name__ == name
