"""The migration tool's verbs from the command line: exit codes and what is printed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.migrations.record import lock
from opensea_metrics.deploy.migrations.record.lock import LockStream
from opensea_metrics.deploy.migrations.record.store import RecordStore
from tests.deploy.projects import THREE
from tests.deploy.stub import Write
from tests.deploy.test_cli import Run, run

__all__ = ["run"]  # a fixture


def test_a_plan_is_saved_looked_at_and_applied(
    run: Run, write_project: Write, server_url: str, tmp_path: Path
) -> None:
    where = ("--sql", str(write_project(THREE)), "--server", server_url)
    code, out, _ = run("plan", "--json", *where)
    assert code == 2
    (tmp_path / "plan.json").write_text(out)
    first = json.loads(out)["migrations"][0]["steps"][0]
    assert [first[key] for key in ("name", "verdict", "effect", "effect_topic", "data")] == [
        "OMT_RAW", "new", "topic created", "omt.raw", "topic omt.raw is created",
    ]  # fmt: skip
    code, out, _ = run("apply", "--dry-run", *where)
    assert (code, out.splitlines()[-1]) == (0, "the server would accept all 6 statements")
    try:
        code, out, err = run("apply", "--plan", str(tmp_path / "plan.json"), "--wait", *where)
        assert (code, out) == (0, "applied V001, V002, V003\n"), err
        code, _, err = run("apply", "--plan", str(tmp_path / "plan.json"), *where)
        assert code == 1
        assert "the plan no longer fits" in err

        code, out, _ = run("validate", *where)
        assert (code, out.splitlines()[-2:]) == (0, ["no applied file was changed", "nothing is pending"])
        changed = THREE["V003__windows.sql"].replace("1 MINUTE", "5 MINUTES")
        write_project({"V003__windows.sql": changed})
        code, out, err = run("validate", *where)
        assert code == 1
        assert "+  FROM omt_sales WINDOW TUMBLING (SIZE 5 MINUTES" in out
        assert "as CREATE OR REPLACE: refused (WINDOW)" in out
        assert "V003: changed after they were applied" in err
        assert run("validate", "--offline", *where)[0] == 0
        write_project(THREE)

        KsqlClient(server_url).execute("DROP STREAM omt_changes;")
        code, out, _ = run("diff", *where)
        assert code == 2
        assert "missing" in out
        assert "OMT_CHANGES" in out
        code, out, err = run("repair", *where)
        assert code == 1
        assert "consent with --yes" in err
        assert run("repair", "--yes", *where)[1] == "repaired: 2 corrections\n"
        assert run("apply", *where)[1] == "applied V003\n"

        code, out, _ = run("rollback", "--steps", "2", "--dry-run", *where)
        assert code == 0
        assert "delete topic omt_by_coll" in out
        assert "Topics that are deleted" in out
        assert run("status", *where)[1].count("MIGRATED") == 3
        code, _, err = run("rollback", "--steps", "2", "--to", "1", *where)
        assert code == 1
        assert "either --to or --steps" in err
    finally:
        run("rollback", "--to", "0", "--yes", *where)


def test_unlock_and_who_holds_it(run: Run, write_project: Write, server_url: str) -> None:
    root = str(write_project(THREE))
    store = RecordStore(KsqlClient(server_url))
    store.create()
    assert run("unlock", "--server", server_url)[:2] == (0, "nobody holds the lock\n")
    last = lock.newest(store.client)
    link = LockStream(last.number + 1 if last else 1, "anna@there", 1, "t")
    assert lock.append(store.client, store.topic(), link, last)
    lock.drop_older(store.client, link.number)
    code, out, _ = run("status", "--sql", root, "--server", server_url)
    assert code == 0
    assert "anna@there holds the lock since 1970-01-01 00:00:00 UTC" in out
    code, out, _ = run("unlock", "--server", server_url)
    assert code == 0
    assert out.startswith("freed: anna@there")


def test_a_new_file(run: Run, write_project: Write) -> None:
    root = write_project(THREE)
    code, out, _ = run("new", "more", "--sql", str(root))
    assert (code, out) == (0, f"{root}/migrations/V004__more.sql\n")


def test_a_wrong_setting_is_named_and_not_shown(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENSEA_METRICS_KSQLDB_HEADERS", "s3cret")
    code, _, err = run("status")
    assert code == 1
    assert "OPENSEA_METRICS_KSQLDB_HEADERS" in err
    assert "s3cret" not in err
    assert "Traceback" not in err
