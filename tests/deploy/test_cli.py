"""The command line: exit codes, messages, output."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from inspect import cleandoc
from pathlib import Path
from typing import Annotated

import pytest
import typer
from rich.markup import render
from typer.main import get_group
from typer.testing import CliRunner

from opensea_metrics.deploy import cli
from opensea_metrics.deploy.cli.help import PENDING, as_written, name_of, with_one
from opensea_metrics.deploy.cli.verbs import MODULES, SUMMARIES
from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.config import Settings
from tests.deploy.projects import THREE
from tests.deploy.stub import Write

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Runs the command; gives its exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)  # away from a developer's .env

    def runs(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["opensea-metrics", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return runs


VERBS = [each.callback.__name__ for each in cli.whole_app().registered_commands if each.callback]


def test_each_module_has_its_verbs() -> None:
    app = cli.whole_app()
    commands = [each.callback for each in app.registered_commands if each.callback]
    found = {(each.__module__, each.__name__) for each in commands}
    found |= {(f"opensea_metrics.deploy.cli.{group.name}", str(group.name)) for group in app.registered_groups}
    said = {(f"opensea_metrics.deploy.cli.{module}", verb) for module, verbs in MODULES.items() for verb in verbs}
    assert found == said


GROUPS = [
    f"{group.name} {name_of(each)}"
    for group in cli.whole_app().registered_groups
    if group.typer_instance
    for each in group.typer_instance.registered_commands
]


@pytest.mark.parametrize("verb", [*VERBS, *GROUPS])
def test_every_help_page_has_an_example_and_exit_codes(verb: str) -> None:
    app = with_one(cli.whole_app(), verb.split()[0], {})
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, [*verb.split(), "--help"])
    assert f"Example: opensea-metrics {verb}" in result.output
    two = f"2 {PENDING[verb]}, " if verb in PENDING else ""
    assert f"Exit codes: 0 done, 1 error, {two}130 Ctrl-C" in result.output


def test_the_list_of_verbs_says_what_their_help_says() -> None:
    app = cli.whole_app()
    said = {
        each.callback.__name__: cleandoc(each.callback.__doc__ or "").split("\n\n")[0].replace("\n", " ")
        for each in app.registered_commands
        if each.callback
    }
    groups = [group for group in app.registered_groups if group.typer_instance]
    said |= {str(group.name): str(group.typer_instance.info.help) for group in groups if group.typer_instance}
    assert said == SUMMARIES


@pytest.mark.parametrize("arguments", [["--version"], ["--help"]])
def test_a_list_of_verbs_loads_none(arguments: list[str]) -> None:
    """Engines, servers and clients would take a second."""
    program = (
        "import sys; from opensea_metrics.deploy.cli import main\n"
        "try: main()\n"
        "except SystemExit: print(*sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True)
    loaded = set(run.stdout.splitlines()[-1].split())
    assert "typer" in loaded
    assert not loaded & {"duckdb", "sqlglot", "pydantic", "structlog", "httpx", "opensea_metrics.deploy.cli.server"}


def test_a_command_has_only_its_verb_and_the_list_of_the_others() -> None:
    """typer reads the options of all verbs of an app, and tests load all verbs into one process."""
    app = cli.whole_app()
    verbs = set(get_group(app).commands)
    for verb in ("plan", "archive", ""):
        one = with_one(app, verb, SUMMARIES)
        assert len(one.registered_commands) + len(one.registered_groups) == len(SUMMARIES)
        commands = get_group(one).commands
        assert set(commands) == verbs == SUMMARIES.keys()
        assert [name for name, command in commands.items() if command.params] == [verb] * (verb == "plan")
        inner = set(getattr(commands["archive"], "commands", ()))
        assert inner == ({"check", "compact"} if verb == "archive" else set())
    assert set(get_group(app).commands) == verbs


def test_recompute_loads_only_what_its_results_need(tmp_path: Path) -> None:
    program = (
        "import sys; from opensea_metrics.deploy.cli import main\n"
        "try: main()\n"
        "except SystemExit: print(*sys.modules)"
    )
    arguments = ["recompute", "--source", str(tmp_path), "--engine", "duckdb"]
    run = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True)
    assert "has no files of that period" in run.stderr
    loaded = set(run.stdout.splitlines()[-1].split())
    assert "opensea_metrics.spark_batch.recompute" in loaded
    others = ("structlog", "rich.progress", "pydantic_settings", "confluent_kafka", "fsspec", "doctest")
    assert not loaded & {*others, "pyarrow.compute", "sqlglot.dialects.duckdb"}


def completed(typed: str, word: int) -> list[str]:
    """The completions that bash shows."""
    program = "from opensea_metrics.deploy.cli import main; main()"
    environment = {"_OPENSEA_METRICS_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(word)}
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=os.environ | environment
    )
    return run.stdout.split()


def test_the_shell_completes_verbs_and_options() -> None:
    assert sorted(completed("opensea-metrics re", 1)) == ["recompute", "reconcile", "repair", "replay"]
    assert completed("opensea-metrics rollback --st", 2) == ["--steps"]
    assert completed("opensea-metrics queries res", 2) == ["resume"]


def test_completion_is_installed_for_bash(tmp_path: Path) -> None:
    program = "from opensea_metrics.deploy.cli import main; main()"
    run = subprocess.run(
        ["bash", "-c", f'{sys.executable} -c "{program}" --install-completion bash; exit $?'],
        capture_output=True, text=True,
        env=os.environ | {"HOME": str(tmp_path), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert "bash_completions" in (tmp_path / ".bashrc").read_text()
    (script,) = (tmp_path / ".bash_completions").iterdir()
    assert "complete_bash" in script.read_text()


def test_help_is_shown_as_it_is_written() -> None:
    """Rich takes [words] for markup, and leaves them out."""
    app = typer.Typer(rich_markup_mode="rich")

    @app.command()
    def verb(
        option: Annotated[str, typer.Option(metavar="[X]…", help="As [red] or [ksqldb].")] = "a",
    ) -> None:
        """Install 'opensea-metrics[ksqldb]' first.

        Then [bold] and \\[/] too.
        """

    (command,) = app.registered_commands
    assert command.callback
    as_written(app, "")
    out = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["--help"]).output
    for each in ("opensea-metrics[ksqldb]' first", "Then [bold] and", "As [red] or [ksqldb].", "[X]…"):
        assert each in out


def test_all_help_is_to_be_seen() -> None:
    env = {"COLUMNS": "250"}
    where = CliRunner(env=env).invoke(cli.whole_app(), ["plan", "--help"]).output
    assert "[default: ($KSQLDB_URL, or http://127.0.0.1:8088)]" in where
    build = CliRunner(env=env).invoke(cli.whole_app(), ["udfs", "build", "--help"]).output
    assert "pip install 'opensea-metrics[ksqldb]'" in build
    group = get_group(cli.whole_app())
    groups = [each for each in group.commands.values() if hasattr(each, "commands")]
    assert len(groups) == 2
    assert {each.help for each in groups if render(each.help or "").plain != each.help} == set()


def test_a_mistyped_option_is_not_taken_for_pending_changes(run: Run) -> None:
    code, out, err = run("plan", "--serve", "x")
    assert (code, out) == (1, "")
    assert "--server" in err


def test_an_unreachable_server(run: Run, write_project: Write) -> None:
    root = str(write_project(THREE))
    code, out, err = run("status", "--sql", root, "--server", "http://me:secret@127.0.0.1:1")
    assert (code, out) == (1, "")
    assert err.startswith("error: no ksqlDB server answers at http://127.0.0.1:1: ")
    assert "secret" not in err


def test_an_error_in_a_file(run: Run, write_project: Write) -> None:
    root = str(write_project({"V001__x.sql": "CREATE STREAM s AS\n SELECT nope FROM omt_raw;"}))
    code, _, err = run("validate", "--sql", root)
    assert code == 1
    assert "V001__x.sql:2:" in err
    assert "Traceback" not in err


def test_all_errors_of_a_file_are_shown_with_their_lines(run: Run, write_project: Write) -> None:
    text = "DROP STREAM a IF;\nSELECT\n\t1 FROM FROM;\nSELECT " + "1 + " * 40 + "1 FORM s;\n"
    code, _, err = run("validate", "--sql", str(write_project({"V001__x.sql": text})))
    assert code == 1
    assert "\n  1 | DROP STREAM a IF;\n    |               ^\n" in err
    assert "\n  3 |  1 FROM FROM;\n    |         ^\n" in err
    line, caret = err.splitlines()[-2:]
    assert line.index("FORM") == caret.index("^") - len("FORM ")


def test_validate(run: Run, write_project: Write) -> None:
    code, out, _ = run("validate", "--sql", str(write_project(THREE)))
    assert (code, out.startswith("3 migrations, 6 statements")) == (0, True)


def test_a_variable_without_a_value(run: Run) -> None:
    code, _, err = run("validate", "--var", "windows")
    assert code == 1
    assert "NAME=VALUE" in err


def test_only_queries_are_run(run: Run) -> None:
    code, _, err = run("query", "DROP STREAM x")
    assert code == 1
    assert "DROP changes the server" in err


def test_all_verbs_on_a_server(run: Run, write_project: Write, server_url: str) -> None:
    where = ("--sql", str(write_project(THREE)), "--server", server_url)
    code, out, _ = run("plan", *where)
    assert code == 2
    assert "V003 windows  (reversible)\n  1. create table as select OMT_BY_COLL  new\n" in out
    assert "reads OMT_SALES from the earliest offset; writes topic omt_by_coll" in out
    code, out, err = run("apply", *where)
    assert (code, out) == (0, "applied V001, V002, V003\n")
    assert "V002 sales  1/2  create stream as select OMT_SALES" in err
    try:
        assert run("plan", *where)[:2] == (0, "nothing to do\n")
        assert run("apply", *where)[:2] == (0, "nothing to do\n")
        code, out, _ = run("status", *where)
        assert code == 0
        assert out.count("MIGRATED") == 3
        code, out, _ = run("query", "SHOW TABLES", "--server", server_url)
        assert code == 0
        assert "OMT_BY_COLL" in out
        code, out, _ = run("query", "DESCRIBE omt_raw", "--server", server_url)
        assert code == 0
        assert "PRICE" in out
        assert "DOUBLE" in out
        text = "SELECT id, coll FROM omt_raw"
        KsqlClient(server_url).execute("INSERT INTO omt_raw (id, coll) VALUES ('b', 'ape');")
        code, out, _ = run("query", text, "--json", "--server", server_url)
        assert code == 0
        assert {"ID": "a", "COLL": "it's"} in [json.loads(line) for line in out.splitlines()]
        code, out, err = run("rollback", "--to", "0", *where)
        assert (code, out) == (1, "")
        assert "  omt_by_coll" in err
        assert "consent with --yes" in err
    finally:
        code, out, _ = run("rollback", "--to", "0", "--yes", *where)
    assert (code, out) == (0, "rolled back V003, V002, V001\n")
    assert run("rollback", "--yes", *where)[:2] == (0, "nothing to do\n")


def test_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KSQLDB_URL", raising=False)
    assert Settings().ksqldb_url == "http://127.0.0.1:8088"
    (tmp_path / ".env").write_text("KSQLDB_URL=http://u:secret@a\nKAFKA=b\n", encoding="utf-8")
    assert Settings().ksqldb_url == "http://u:secret@a"
    assert "secret" not in repr(Settings())
    monkeypatch.setenv("OPENSEA_METRICS_KSQLDB_URL", "http://c")
    assert Settings().ksqldb_url == "http://c"


def test_a_compiled_sqlglot_is_told_apart() -> None:
    """As it is after ``pip install sqlglot[c]``: its parser cannot be extended."""
    program = "import sqlglot.parser as p; p.__file__ = 'p.so'; from opensea_metrics.deploy.cli import main; main()"
    run = subprocess.run([sys.executable, "-c", program, "plan"], capture_output=True, text=True)
    assert run.returncode == 1
    assert run.stderr.startswith("error: sqlglot is installed in its compiled form")
    assert "pip uninstall sqlglotc" in run.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["serve", "--port", "70000"], ["serve", "--port", "-1"], ["demo", "--port", "65536"],
        ["sample", "--events", "-5", "--data-dir", "x"], ["sample", "--events", "0", "--data-dir", "x"],
        ["produce", "--metrics-port", "70000"], ["produce", "--dedup-seconds", "inf"], ["replay", "--speed", "nan"],
        ["apply", "--timeout", "nan"],
    ],
)  # fmt: skip
def test_a_number_out_of_range_is_a_usage_error(run: Run, arguments: list[str], tmp_path: Path) -> None:
    code, _, err = run(*arguments)
    option = next(each for each in arguments if each.startswith("--"))
    assert code == 1
    assert f"Invalid value for '{option}'" in err
    assert "Traceback" not in err
    assert not list(tmp_path.iterdir())
