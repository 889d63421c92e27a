"""What people see, from plain data."""

from __future__ import annotations

import json

import pytest

from deploy.migrations.execute import Progress
from deploy.output.progress import Reporter
from deploy.output.rows import show_json, show_push, show_reply, show_rows
from deploy.replies import Column, Rows
from tests.deploy.stub import REPLIES


def reply(name: str) -> list[dict[str, object]]:
    case = json.loads((REPLIES / f"{name}.json").read_text(encoding="utf-8"))
    found: list[dict[str, object]] = case["response"]
    return found


def rows() -> Rows:
    columns = (Column("A", "STRING"), Column("B [x]", "BIGINT"), Column("C", "ARRAY<STRING>"))
    return Rows(columns, iter([["[bold]ape[/]", 1, ["ä"]], [None, 2.5, None]]))


def test_rows(capsys: pytest.CaptureFixture[str]) -> None:
    show_rows(rows())
    lines = capsys.readouterr().out.splitlines()
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if "│" in line]
    assert cells == [["[bold]ape[/]", "1", '["ä"]'], ["NULL", "2.5", "NULL"]]
    assert "B [x]" in lines[1]


def test_rows_as_they_come(capsys: pytest.CaptureFixture[str]) -> None:
    show_push(rows())
    assert capsys.readouterr().out.splitlines() == [
        "A               B [x]           C",
        '[bold]ape[/]    1               ["ä"]',
        "NULL            2.5             NULL",
    ]


def test_rows_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    show_json(rows())
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [
        {"A": "[bold]ape[/]", "B [x]": 1, "C": ["ä"]},
        {"A": None, "B [x]": 2.5, "C": None},
    ]


def test_a_description(capsys: pytest.CaptureFixture[str]) -> None:
    show_reply(reply("describe_stream"))
    out = capsys.readouterr().out
    lines = [line.split("│")[1:-1] for line in out.splitlines()]
    cells = [[cell.strip() for cell in line] for line in lines]
    assert ["topic", "ssrc"] in cells
    assert ["ID", "STRING", "KEY"] in cells
    assert ["PRICE", "DOUBLE", ""] in cells
    assert "CTAS_VOL_CHG_3" in out


def test_a_list(capsys: pytest.CaptureFixture[str]) -> None:
    show_reply(reply("show_streams"))
    out = capsys.readouterr().out
    assert "S_CHG_W" in out
    assert "@type" not in out


def test_progress_goes_to_stderr_in_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    news = Progress(2, "sales", 1, 3, "create stream SALES")
    with Reporter() as report:
        report(news)
        report(Progress(2, "sales", 1, 3, "create stream SALES", seconds=1.26))
    out, err = capsys.readouterr()
    assert (out, err) == ("", "V002 sales  1/3  create stream SALES  1.3 s\n")
