"""What people see, from plain data."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from opensea_metrics.deploy.migrations.plan.files import VersionStatus
from opensea_metrics.deploy.migrations.record.records import VersionRecord, VersionState
from opensea_metrics.deploy.migrations.run.progress import CatchUpProgress, StepProgress
from opensea_metrics.deploy.output.progress import Reporter
from opensea_metrics.deploy.output.rows import show_json, show_push, show_reply, show_rows
from opensea_metrics.deploy.output.server_state import show_status
from opensea_metrics.deploy.replies import Rows
from opensea_metrics.deploy.reply_columns import ServerColumn
from tests.deploy.stub import REPLIES


def reply(name: str) -> list[dict[str, object]]:
    case = json.loads((REPLIES / f"{name}.json").read_text(encoding="utf-8"))
    found: list[dict[str, object]] = case["response"]
    return found


def rows() -> Rows:
    columns = (ServerColumn("A", "STRING"), ServerColumn("B [x]", "BIGINT"), ServerColumn("C", "ARRAY<STRING>"))
    return Rows(columns, iter([["[bold]ape[/]", 1, ["ä"]], [None, 2.5, None]]))


def test_rows(capsys: pytest.CaptureFixture[str]) -> None:
    show_rows(rows())
    lines = capsys.readouterr().out.splitlines()
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if "│" in line]
    assert cells == [["[bold]ape[/]", "1", '["ä"]'], ["NULL", "2.5", "NULL"]]
    assert "B [x]" in lines[1]


def test_lists_of_structs_have_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    top = [{"KEY": "ape", "DETAIL": '{"SALES":2}'}, {"KEY": "cat", "DETAIL": None}]
    show_rows(Rows((ServerColumn("TOP", "ARRAY<STRUCT<…>>"),), iter([[top]])))
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("│")]
    cells = [line.strip("│ ") for line in lines]
    assert cells == ['{KEY=ape, DETAIL={"SALES":2}}', "{KEY=cat, DETAIL=NULL}"]


def test_rows_one_after_another_where_a_table_would_cut_them(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    columns = tuple(ServerColumn(f"AMOUNT_{number}", "DOUBLE") for number in range(12))
    values = [901102.2135418539 + number for number in range(12)]
    monkeypatch.setattr("opensea_metrics.deploy.output.console.PIPED_WIDTH", 12 * (len("901102.2135418539") + 3))
    show_rows(Rows(columns, iter([values, values])))
    first, *fields = capsys.readouterr().out.splitlines()[:13]
    assert first.startswith("row 1 ─")
    assert [field.split() for field in fields] == [
        [column.name, str(value)] for column, value in zip(columns, values, strict=True)
    ]
    monkeypatch.setattr("opensea_metrics.deploy.output.console.PIPED_WIDTH", 12 * (len("901102.2135418539") + 3) + 1)
    show_rows(Rows(columns, iter([values])))
    assert "row 1" not in capsys.readouterr().out


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
    news = StepProgress(2, "sales", 1, 3, "create stream SALES", 4, 9)
    with Reporter() as report:
        report(news)
        report(StepProgress(2, "sales", 1, 3, "create stream SALES", 4, 9, seconds=1.26))
    out, err = capsys.readouterr()
    assert (out, err) == ("", "V002 sales  1/3  create stream SALES  1.3 s\n")


@pytest.mark.parametrize("verbose", [False, True])
def test_progress_on_a_terminal_is_one_line(
    verbose: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bar, done and total of the whole run, seconds, and the statement or the queries."""
    for name, value in (("FORCE_COLOR", "1"), ("TERM", "xterm-256color"), ("COLUMNS", "80")):
        monkeypatch.setenv(name, value)
    step = StepProgress(2, "sales", 1, 3, "create stream SALES", 4, 9)
    with Reporter(verbose) as report:
        report(step)
        report(replace(step, seconds=1.26))
        report(CatchUpProgress("CTAS_A_1", 5, 10))
        report(CatchUpProgress("CTAS_B_2", 90, 90))
    err = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", capsys.readouterr().err)
    lines = [line.strip() for line in re.split(r"[\r\n]+", err) if line.strip()]
    assert ("V002 sales  1/3  create stream SALES  1.3 s" in lines) is verbose
    shown = [line.lstrip("━╸╺ ") for line in lines if "━" in line]
    assert shown[-1] == "95/100 0:00:00 1 of 2 queries catch up: CTAS_A_1"
    assert max(map(len, lines)) <= 80


def test_a_status_fits_80_characters(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("opensea_metrics.deploy.output.console.PIPED_WIDTH", 80)
    record = VersionRecord(1, "long_form", VersionState.MIGRATED, "", started_on=0, completed_on=4400)
    second = replace(record, version=2, state=VersionState.ERROR, error_reason="no topic " + "t" * 90)
    third, fourth = replace(record, version=3), replace(record, version=4)
    show_status(
        [
            VersionStatus(record, 18, 18, who="root@vm"),
            VersionStatus(second, 3, 18, who="root@vm"),
            VersionStatus(third, 18, 18, changed=True, who="root@vm"),
            VersionStatus(fourth, 18, None, who="root@vm"),
        ]
    )
    out = capsys.readouterr().out
    lines = [line.split() for line in out.splitlines() if "root@vm" in line]
    rest = ["root@vm", "1970-01-01", "00:00:00", "4.4"]
    assert lines == [
        ["V001", "long_form", "MIGRATED", "18/18", *rest],
        ["V002", "long_form", "ERROR", "3/18", *rest],
        ["V003", "long_form", "MIGRATED", "18/18", *rest],
        ["V004", "long_form", "MIGRATED", "18/?", *rest],
    ]
    notes = out.replace("\n", "").partition("V002: ")[2]
    assert notes == (
        f"no topic {'t' * 90}V003: the file was changed after it was appliedV004: its file is missing"
    )
