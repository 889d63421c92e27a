"""--json, --format and --out of the verbs that programs read, and completion of the command in shells."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from opensea_metrics.deploy import cli
from opensea_metrics.deploy.client import KsqlClient
from tests.deploy.stub import Write

Run = Callable[..., tuple[int, list[Any], str]]
V001 = "CREATE STREAM s (id VARCHAR, n BIGINT) WITH (KAFKA_TOPIC='s', PARTITIONS=1, VALUE_FORMAT='JSON');\n"
COMMAND = "import sys; sys.argv[0] = 'opensea-metrics'; from opensea_metrics.deploy.cli import main; main()"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Runs the command; gives its exit code, the objects on stdout, and stderr."""
    monkeypatch.chdir(tmp_path)

    def runs(*arguments: str) -> tuple[int, list[Any], str]:
        monkeypatch.setattr(sys, "argv", ["opensea-metrics", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        lines = [json.loads(line) for line in out.splitlines()] if "--json" in arguments else []
        return int(ended.value.code or 0), lines, err

    return runs


def test_status_diff_and_validate(run: Run, server_url: str, write_project: Write) -> None:
    project = str(write_project({"V001__one.sql": V001, "V002__two.sql": V001.replace(" s ", " t ")}))
    where = ("--sql", project, "--server", server_url)
    assert run("apply", "--to", "1", *where)[0] == 0
    code, lines, _ = run("status", *where, "--json")
    assert code == 0
    assert [(v["version"], v["state"], v["statements_done"], v["statements"]) for v in lines] == [
        (1, "MIGRATED", 1, 1), (2, "PENDING", 0, 1),
    ]  # fmt: skip
    assert lines[0]["completed"] >= lines[0]["started"] > 1_700_000_000_000
    assert run("diff", *where, "--json")[:2] == (0, [])
    KsqlClient(server_url).execute("DROP STREAM s;")
    code, lines, _ = run("diff", *where, "--json")
    assert code == 2
    assert {"kind": "missing", "object": "source", "name": "S"}.items() <= lines[0].items()
    code, lines, _ = run("validate", *where, "--json")
    assert (code, lines) == (0, [{"kind": "valid", "directory": project, "migrations": 2, "statements": 2}])
    write_project({"V001__one.sql": V001.replace("n BIGINT", "n INT")})
    code, lines, _ = run("validate", *where, "--json")
    assert (code, lines[1]["kind"], lines[1]["version"]) == (1, "changed", 1)
    assert any(line.startswith("+") and "n INT" in line for line in lines[1]["diff"])


def test_errors_of_validate_have_their_places(run: Run, write_project: Write) -> None:
    project = write_project({"V001__one.sql": f"{V001}CREATE STREAM u AS\n  SELECT nope FROM s;\n"})
    code, lines, err = run("validate", "--offline", "--sql", str(project), "--json")
    assert code == 1
    assert "SELECT column 'NOPE' cannot be resolved" in err
    (error,) = lines
    assert (error["kind"], error["line"], error["column"]) == ("error", 3, 10)
    assert error["file"].endswith("V001__one.sql")
    assert error["message"].startswith("SELECT column 'NOPE' cannot be resolved")


def _completion(home: Path, *arguments: str, **environment: str) -> str:
    env = {**os.environ, "HOME": str(home), "PYTHONPATH": os.getcwd(), **environment}
    command = [sys.executable, "-c", COMMAND, *arguments]
    return subprocess.run(command, env=env, cwd=home, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_the_command_once_it_is_installed(tmp_path: Path, shell: str) -> None:
    installed = _completion(
        tmp_path, "--install-completion", shell, _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1"
    )
    assert f"{shell} completion installed in" in installed
    script = next(path for path in tmp_path.rglob("*opensea-metrics*") if path.is_file())
    assert f"_OPENSEA_METRICS_COMPLETE=complete_{shell}" in script.read_text()


@pytest.mark.parametrize(
    ("words", "expected"),
    [("opensea-metrics qu", ["query", "queries"]), ("opensea-metrics query --format c", ["csv"]),
     ("opensea-metrics re", ["replay", "recompute", "reconcile", "repair"])],
)  # fmt: skip
def test_completions(tmp_path: Path, words: str, expected: list[str]) -> None:
    offered = _completion(
        tmp_path, _OPENSEA_METRICS_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=str(words.count(" "))
    )
    assert sorted(offered.split()) == sorted(expected)


def test_reports_in_other_forms(run: Run, new_server_url: str, write_project: Write, tmp_path: Path) -> None:
    project = str(write_project({"V001__one.sql": V001, "V002__two.sql": V001.replace(" s ", " t ")}))
    where = ("--sql", project, "--server", new_server_url)
    assert run("apply", "--to", "1", *where)[0] == 0
    assert run("plan", *where, "--out", "plan.csv")[0] == 2
    head, *rows = csv.reader((tmp_path / "plan.csv").read_text().splitlines())
    assert head == ["version", "migration", "reversible", "statement", "name", "verdict", "data"]
    assert [(row[0], row[4], row[5]) for row in rows] == [("2", "T", "new")]
    assert run("plan", *where, "--out", "plan.json")[0] == 2
    assert run("apply", "--plan", "plan.json", *where)[0] == 0
    assert run("status", *where, "--out", "status.parquet")[0] == 0
    versions = pq.read_table(tmp_path / "status.parquet").to_pylist()
    assert [(v["version"], v["state"], v["changed"], v["error"]) for v in versions] == [
        (1, "MIGRATED", False, None), (2, "MIGRATED", False, None),
    ]  # fmt: skip
    assert run("diff", *where, "--out", "same.csv")[0] == 0
    assert (tmp_path / "same.csv").read_text() == "kind,object,name,related,detail\n"
    assert run("diff", *where, "--out", "same.txt")[0] == 0
    assert (tmp_path / "same.txt").read_text() == "the server matches the record\n"
    KsqlClient(new_server_url).execute("DROP STREAM s;")
    assert run("diff", *where, "--format", "csv", "--out", "drift.txt")[0] == 2
    assert (tmp_path / "drift.txt").read_text().splitlines()[1].startswith("missing,source,S,[],")
    assert run("validate", *where, "--format", "vertical", "--out", "valid.txt")[0] == 0
    assert "kind        valid\n" in (tmp_path / "valid.txt").read_text()


def test_errors_of_validate_as_rows(run: Run, write_project: Write, tmp_path: Path) -> None:
    project = write_project({"V001__one.sql": f"{V001}CREATE STREAM u AS\n  SELECT nope FROM s;\n"})
    assert run("validate", "--offline", "--sql", str(project), "--out", "errors.csv")[0] == 1
    (row,) = csv.DictReader((tmp_path / "errors.csv").read_text().splitlines())
    assert (row["kind"], row["line"], row["column"]) == ("error", "3", "10")


def test_two_forms_contradict_each_other(run: Run, write_project: Write) -> None:
    code, _, err = run("validate", "--offline", "--sql", str(write_project({})), "--json", "--format", "csv")
    assert code == 1
    assert "contradict each other" in err
