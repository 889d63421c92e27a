"""All errors of a project at once, and a yes of validate and of a dry run that apply keeps."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from opensea_metrics.core.errors import SqlError
from opensea_metrics.deploy import commands
from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.migrations.errors import Locked, MigrationError, PlanRefused
from opensea_metrics.deploy.migrations.record import lock
from opensea_metrics.deploy.migrations.record.store import RecordStore
from tests.deploy.projects import THREE
from tests.deploy.stub import Write
from tests.deploy.test_apply import client
from tests.deploy.test_cli import Run, run

__all__ = ["client", "run"]  # fixtures
DECLARED = "CREATE STREAM a (k VARCHAR, n INT) WITH (KAFKA_TOPIC='a', VALUE_FORMAT='JSON', PARTITIONS=1);\n"
FAULTY = {
    "V001__a.sql": DECLARED + "CREATE STREAM b AS SELECT nope FROM a EMIT CHANGES;\nSHOW STREAMS;",
    "V002__b.sql": "CREATE STREAM c AS SELECT ROUND(k) FROM a EMIT CHANGES;",
    "V003__c.sql": "-- one\n{{ missing }}",
    "V004__d.sql": "CREATE STREM x;\nDROP STREAM a IF;",
    "V005__e.sql": "CREATE STREAM ${name} AS SELECT k FROM a EMIT CHANGES;",
    "V006__f.sql": "{% for x in %}",
    "V007__g.sql": "CREATE STREAM g AS SELECT k FROM a EMIT CHANGES;",
}


def test_every_file_has_its_errors(write_project: Write) -> None:
    with pytest.raises(SqlError) as caught:
        commands.validate(write_project(FAULTY))
    places = re.findall(r"(V00\d)__\w\.sql:(\d+):\d+: ", str(caught.value))
    assert places == [
        ("V001", "2"), ("V001", "3"), ("V002", "1"), ("V003", "2"), ("V004", "1"), ("V004", "2"), ("V005", "1"),
        ("V006", "1"),
    ]  # fmt: skip


def test_each_error_is_shown_with_its_line(run: Run, write_project: Write) -> None:
    code, out, err = run("validate", "--sql", str(write_project(FAULTY)))
    assert (code, out) == (1, "")
    for line in ("2 | CREATE STREAM b AS SELECT nope FROM a EMIT CHANGES;", "1 | CREATE STREM x;", "2 | {{ missing }}"):
        assert f"  {line}\n" in err


def test_all_file_names_that_are_almost_right(write_project: Write) -> None:
    with pytest.raises(SqlError) as caught:
        commands.validate(write_project({"V1__a.sql": "", "v002__b.sql": "", "V003__c.SQL": ""}))
    assert str(caught.value).count("is not a valid name for a migration") == 3


def test_what_only_ksqldb_runs_comes_with_the_other_errors(write_project: Write) -> None:
    like = "CREATE STREAM c AS SELECT k FROM a WHERE k LIKE UCASE(k) ESCAPE '!' EMIT CHANGES;"
    files = {"V001__a.sql": f"{DECLARED}CREATE STREAM b AS SELECT nope FROM a EMIT CHANGES;\n{like}"}
    with pytest.raises(SqlError, match=r"(?s)NOPE.*:3:\d+: LIKE") as caught:
        commands.validate(write_project(files), for_embedded=True)
    assert "embedded server" in str(caught.value)


PENDING: dict[str, tuple[dict[str, str], str]] = {
    "a name that is taken": ({"V004__x.sql": THREE["V003__windows.sql"]}, "OMT_BY_COLL"),
    "another number of partitions": (
        {"V004__x.sql": "CREATE STREAM omt_y (a INT) WITH (KAFKA_TOPIC='omt.raw', PARTITIONS=7, VALUE_FORMAT='JSON');"},
        "artitions",
    ),
    "a drop of what others read": ({"V004__x.sql": "DROP STREAM omt_raw;"}, "OMT_RAW"),
}


@pytest.mark.parametrize("name", PENDING)
def test_validate_and_a_dry_run_refuse_what_apply_refuses(
    name: str, client: KsqlClient, write_project: Write, run: Run
) -> None:
    root = write_project(THREE)
    commands.apply(client, root)
    files, word = PENDING[name]
    write_project(files)
    verbs: list[Callable[[KsqlClient, Path], object]] = [commands.dry_run, commands.apply]
    for verb in verbs:
        with pytest.raises((PlanRefused, MigrationError, SqlError), match=word):
            verb(client, root)
    code, _, err = run("validate", "--sql", str(root), "--server", client.url)
    assert code == 1
    assert word in err
    for path in (root / "migrations").iterdir():
        path.unlink()
    write_project(THREE)


def test_validate_says_that_side_by_side_is_needed(client: KsqlClient, write_project: Write, run: Run) -> None:
    root = write_project(THREE)
    commands.apply(client, root)
    where = ("--sql", str(root), "--server", client.url)
    _, out, _ = run("validate", *where)
    assert out.splitlines()[-2:] == ["no applied file was changed", "nothing is pending"]
    text = THREE["V003__windows.sql"].partition("CREATE STREAM")[0].replace("COUNT(*)", "SUM(price)")
    text = text.replace("CREATE TABLE omt_by_coll", "CREATE OR REPLACE TABLE {{ ref('omt_by_coll') }}")
    write_project({"V004__sum.sql": text})
    code, out, _ = run("validate", *where)
    assert code == 0
    assert "note: the server does not replace all objects in place: use apply --side-by-side" in out
    assert out.splitlines()[-1] == "apply would execute 1 statement"
    with pytest.raises(PlanRefused):
        commands.dry_run(client, root)
    (root / "migrations/V004__sum.sql").unlink()


def test_a_dry_run_says_that_the_lock_is_held(client: KsqlClient, write_project: Write, run: Run) -> None:
    where = ("--sql", str(write_project(THREE)), "--server", client.url)
    code, out, _ = run("apply", "--dry-run", *where)
    assert (code, out.splitlines()[-1]) == (0, "the server would accept all 6 statements")
    with lock.held(RecordStore(client), "somebody"):
        with pytest.raises(Locked, match="somebody"):
            commands.apply(client, Path(where[1]))
        code, out, _ = run("apply", "--dry-run", *where)
    assert code == 0
    assert out.splitlines()[-1].startswith("note: somebody holds the lock since ")
