"""Texts that strangers chose reach a terminal without anything that it would obey."""

from __future__ import annotations

import ast
import doctest
import io
import json
import logging
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from opensea_metrics.core.errors import OpenSeaMetricsError, Place
from opensea_metrics.deploy import cli
from opensea_metrics.deploy.cli.logs import log_to_stderr
from opensea_metrics.deploy.doctor import Check
from opensea_metrics.deploy.migrations.plan.drift import Drift, DriftKind, DriftObject
from opensea_metrics.deploy.migrations.plan.files import FileChange, FileChangeKind, VersionStatus
from opensea_metrics.deploy.migrations.plan.impact import DataEffect, Impact, Verdict
from opensea_metrics.deploy.migrations.plan.repair import Correction, RepairReason
from opensea_metrics.deploy.migrations.plan.steps import (
    ApplyStep,
    Plan,
    Restoration,
    RollbackPlan,
    UndoStep,
    VersionPlan,
    planned,
)
from opensea_metrics.deploy.migrations.record.records import VersionRecord, VersionState
from opensea_metrics.deploy.migrations.run.progress import CatchUpProgress, StepProgress
from opensea_metrics.deploy.output import plain
from opensea_metrics.deploy.output.archive import show_groups, show_outcome, show_report
from opensea_metrics.deploy.output.batch import show_counts
from opensea_metrics.deploy.output.console import console
from opensea_metrics.deploy.output.doctor import check_objects, show_checks
from opensea_metrics.deploy.output.plain import CONTROL, one_line, say, say_json, visible
from opensea_metrics.deploy.output.plans import show_plan, show_rollback
from opensea_metrics.deploy.output.progress import Reporter
from opensea_metrics.deploy.output.rows import show_json, show_push, show_reply, show_rows
from opensea_metrics.deploy.output.server_state import show_status
from opensea_metrics.deploy.output.upkeep import correction_sentence, show_drift
from opensea_metrics.deploy.output.validation import show_changed
from opensea_metrics.deploy.replies import Rows
from opensea_metrics.deploy.reply_columns import ServerColumn
from opensea_metrics.producer.archive.damage import Damage
from opensea_metrics.spark_batch.job import Counts
from opensea_metrics.spark_batch.upkeep.outcome import CompactionOutcome
from opensea_metrics.spark_batch.upkeep.report import ArchiveFinding, ArchiveReport, FindingKind
from opensea_metrics.spark_batch.upkeep.runs import Left
from opensea_metrics.sql.language.statements.parser import parse_statement
from opensea_metrics.sql.language.statements.statements import dropping

EVIL = (
    "\x1b]0;title\x07\x1b[2J\x9b31m\x00\x7f\u202egnp\u2066[bold red]x[/] [/] :smile: {task} \ud800"
    "\x1b[8mhidden"
)
RICH = re.compile(r"\x1b\[([0-9;]*m|\?25[lh]|2K|1A)|\r")  # its colours, and how it writes in place


def reply() -> list[dict[str, object]]:
    body: dict[str, object] = {"@type": "x", EVIL: EVIL, "list": [{"name": EVIL, EVIL: [EVIL]}], "map": {EVIL: EVIL}}
    field = {"name": EVIL, "schema": {"type": EVIL}}
    return [body, {"@type": "sourceDescription", "sourceDescription": {"name": EVIL, "fields": [field]}}]


def rows() -> Rows:
    columns = (ServerColumn(EVIL, "STRING"), ServerColumn("B", "ARRAY<STRUCT<…>>"))
    return Rows(columns, iter([[EVIL, [{EVIL: EVIL}]], [{EVIL: [EVIL]}, None]]))


def status() -> None:
    version = VersionStatus(VersionRecord(1, EVIL, VersionState.ERROR, "", error_reason=EVIL), 1, 2, who=EVIL)
    show_status([version])


def plan() -> None:
    statement = dropping("STREAM", EVIL, Place("f.sql", 1, 1))
    steps = tuple(
        ApplyStep(statement, planned(statement, 1, 1), Impact(verdict, effect, EVIL, EVIL, EVIL, subject=EVIL))
        for verdict in (Verdict.NEW, Verdict.REFUSED)
        for effect in DataEffect
    )
    record = VersionRecord(1, EVIL, VersionState.RUNNING, "")
    show_plan(Plan((VersionPlan(record, steps),)))


def rollback() -> None:
    steps = (
        UndoStep(dropping("STREAM", EVIL)),
        UndoStep(keeps=EVIL, readers=(EVIL,)),
        UndoStep(parse_statement("DROP STREAM s;"), restored=EVIL, restoration=Restoration.FROM_START),
        UndoStep(deletes=EVIL),
    )
    version = VersionRecord(1, EVIL, VersionState.MIGRATED, EVIL)
    show_rollback(RollbackPlan((VersionPlan(version, steps),)))


def progress() -> None:
    with Reporter() as report:
        report(StepProgress(1, EVIL, 1, 3, EVIL, 1, 3))
        report(StepProgress(1, EVIL, 1, 3, EVIL, 1, 3, seconds=1.0))
        report(CatchUpProgress(EVIL, 1, 2))


def archive() -> None:
    show_report(ArchiveReport(EVIL, (), (ArchiveFinding(FindingKind.STRANGE, EVIL, EVIL),), 0, 0, 1.0))
    show_outcome(CompactionOutcome(left=[Left(EVIL, EVIL)]))
    show_groups([])


SHOWN: dict[str, Callable[[], object]] = {
    "rows": lambda: show_rows(rows()),
    "push": lambda: show_push(rows()),
    "json": lambda: show_json(rows()),
    "reply": lambda: show_reply(reply()),
    "status": status,
    "plan": plan,
    "rollback": rollback,
    "drift": lambda: show_drift(
        [Drift(kind, each, EVIL, None, (EVIL,), reason=EVIL) for kind in DriftKind for each in DriftObject]
    ),
    "correction": lambda: say(correction_sentence(Correction(RepairReason.LEFT_OVER, EVIL))),
    "changed": lambda: show_changed([FileChange(1, kind, EVIL, 1, (f"-{EVIL}",)) for kind in FileChangeKind]),
    "progress": progress,
    "doctor": lambda: show_checks([Check(EVIL, EVIL, "failed", EVIL, EVIL)]),
    "doctor json": lambda: say_json(check_objects([Check(EVIL, EVIL, "failed", EVIL, EVIL)])),
    "archive": archive,
    "counts": lambda: show_counts(EVIL, EVIL, Counts(1, 1, 1, {EVIL: 1}, {EVIL: Damage(EVIL)}), 1.0),
    "console": lambda: console().print(EVIL),
    "line": lambda: say(EVIL),
}


@pytest.mark.parametrize("on_terminal", [False, True], ids=["pipe", "terminal"])
@pytest.mark.parametrize("name", SHOWN)
def test_nothing_that_a_terminal_would_obey(
    name: str, on_terminal: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if on_terminal:
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("TERM", "xterm-256color")
        monkeypatch.setenv("COLUMNS", "400")
    SHOWN[name]()
    out, err = capsys.readouterr()
    text = RICH.sub("", out + err) if on_terminal else out + err
    assert CONTROL.search(text) is None
    assert "\\u001b" in text
    assert "[bold red]x[/]" in text.replace("\n", "")
    assert ":smile:" in text


def test_json_keeps_values_exactly(capsys: pytest.CaptureFixture[str]) -> None:
    say_json({EVIL: [EVIL]})
    assert json.loads(capsys.readouterr().out) == {EVIL: [EVIL]}


@given(st.text(st.characters(exclude_categories=())))
def test_any_text(text: str) -> None:
    assert CONTROL.search(visible(text)) is None
    assert not set("\n\t") & set(one_line(text))
    visible(text).encode()


def test_the_examples_in_docstrings() -> None:
    assert tuple(doctest.testmod(plain)) == (0, 2)


def test_an_error_of_the_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise OpenSeaMetricsError(EVIL)

    monkeypatch.setattr(cli.app, "_load", fails)
    monkeypatch.setattr(sys, "argv", ["opensea-metrics", "status"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    assert capsys.readouterr() == ("", f"error: {visible(EVIL)}\n")


def test_a_fault_of_the_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        local = "s3cret"
        raise RuntimeError(EVIL + str(len(local)))

    monkeypatch.setattr(cli.app, "_load", fails)
    monkeypatch.setattr(sys, "argv", ["opensea-metrics", "status"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    out, err = capsys.readouterr()
    assert (ended.value.code, out) == (1, "")
    assert "Please report it" in err
    assert "test_terminal.py" in err
    assert CONTROL.search(err) is None


def test_a_log_that_is_imported_later_is_configured() -> None:
    program = (
        "import logging, sys; from opensea_metrics.deploy.cli.logs import log_to_stderr\n"
        "log_to_stderr(logging.WARNING)\n"
        "assert 'structlog' not in sys.modules\n"
        "import structlog; log = structlog.get_logger(); log.info('quiet'); log.warning('loud')\n"
        "log_to_stderr(logging.INFO); structlog.get_logger().info('quiet no more')"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout == ""
    assert [line.split("] ")[1].strip() for line in run.stderr.splitlines()] == ["loud", "quiet no more"]


def test_logs(capsys: pytest.CaptureFixture[str]) -> None:
    evil = EVIL.replace("\ud800", "")  # pytest-xdist cannot send what pytest captures of half a surrogate pair
    log_to_stderr(logging.WARNING)
    local = "s3cret"
    try:
        raise RuntimeError(evil)
    except RuntimeError:
        structlog.get_logger().exception(evil, topic=f"{evil}\nforged line", number=len(local))
    logging.getLogger("of.a.library").warning("%s", evil)
    err = capsys.readouterr().err
    assert CONTROL.search(err) is None
    assert "\\nforged line" in err
    assert "RuntimeError" in err
    assert "s3cret" not in err.replace('local = "s3cret"', "")  # the source, not the value
    structlog.reset_defaults()


def test_an_encoding_that_lacks_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    bytes_ = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(bytes_, encoding="ascii"))
    plain.write_any_character()
    say("Zürich → 日本")
    assert bytes_.getvalue() == b"Z\\xfcrich \\u2192 \\u65e5\\u672c\n"


def test_one_place_prints() -> None:
    """Whatever the command prints goes through deploy/output/plain.py and console.py."""
    for path in (*Path("deploy/cli").glob("*.py"), *Path("deploy/output").glob("*.py"), Path("deploy/demo.py")):
        if path.name in ("plain.py", "console.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("print", "Text", "Console"), f"{path}:{node.lineno}"
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                assert node.func.attr not in ("from_markup", "echo"), f"{path}:{node.lineno}"
