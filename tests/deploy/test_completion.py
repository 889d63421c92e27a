"""What completion offers at the cursor."""

from __future__ import annotations

from pathlib import Path

import pytest

from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.shell.completion import ServerNames, candidates, names_of
from opensea_metrics.deploy.shell.session import is_complete

NAMES = ServerNames(
    columns={"VOLUME": ("SLUG", "USD", "WINDOWSTART"), "SALES": ("SLUG", "chain id", "USDC")},
    functions=("UCASE", "SUBSTRING"),
    queries=("CTAS_VOLUME_3",),
    topics=("sales", "opensea.volume"),
)


@pytest.mark.parametrize(
    ("before", "after", "word", "expected"),
    [
        ("sel", "", "sel", ["SELECT"]),
        ("SELECT 1; DES", "", "DES", ["DESCRIBE"]),
        ("SELECT us", " FROM volume", "us", ["usd"]),
        ("SELECT us", "", "us", ["usd", "usdc"]),
        ("SELECT slug FROM vol", "", "vol", ["volume"]),
        ("SELECT v.u", " FROM volume v JOIN sales s", "u", ["usd"]),
        ("SELECT s.", " FROM volume v JOIN sales AS s ON v.slug = s.slug", "", ["slug", "`chain id`", "usdc"]),
        ("SELECT uc", " FROM sales", "uc", ["UCASE("]),
        ("SELECT slug FROM volume WHERE win", "", "win", ["windowstart", "WINDOW"]),
        ("SELECT * FROM volume ord", "", "ord", ["ORDER BY"]),
        ("SELECT 'us", "", "us", []),
        ("TERMINATE ct", "", "ct", ["CTAS_VOLUME_3"]),
        ("DESCRIBE s", "", "s", ["sales"]),
        ("\\d vo", "", "vo", ["volume"]),
        ("\\d", "", "\\d", ["\\d", "\\dt", "\\ds", "\\df", "\\dq"]),
        ("SELECT rank", " FROM volume", "rank", ["RANK("]),
    ],
)
def test_candidates(before: str, after: str, word: str, expected: list[str]) -> None:
    assert candidates(before, after, NAMES) == (word, expected)


def test_files(tmp_path: Path) -> None:
    (tmp_path / "report.sql").touch()
    (tmp_path / "reports").mkdir()
    (tmp_path / ".report").touch()
    start = f"{tmp_path}/rep"
    assert candidates(f"\\i {start}", "", NAMES) == (start, [f"{tmp_path}/report.sql", f"{tmp_path}/reports/"])
    assert candidates("\\i /no/such/x", "", NAMES) == ("/no/such/x", [])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT 1;", True), ("SELECT 1", False), ("SELECT 1; -- end", False), ("SELECT ';", False), ("", True),
        ("SELECT 1;\n", True), ("/* ; */", False), ("\\dt", True), ("SELECT 1; SELECT 2", False),
    ],
)  # fmt: skip
def test_enter_runs_whole_statements_only(text: str, expected: bool) -> None:
    assert is_complete(text) == expected


def test_a_server_that_fails_leaves_the_functions() -> None:
    names = names_of(KsqlClient("http://127.0.0.1:9", patience=0, wait=0))
    assert names.columns == {}
    assert "LCASE" in names.functions
