"""validate, diff, baseline, adopt, repair, new: on a server."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from opensea_metrics.core.errors import SqlError
from opensea_metrics.deploy import commands
from opensea_metrics.deploy.cli.app import whole_app
from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.client.snapshot import look
from opensea_metrics.deploy.client.topics import deleting
from opensea_metrics.deploy.migrations.errors import MigrationError
from opensea_metrics.deploy.migrations.plan.drift import Drift, expected, find_drift
from opensea_metrics.deploy.migrations.plan.files import FileChangeKind
from opensea_metrics.deploy.migrations.plan.repair import Correction
from opensea_metrics.deploy.migrations.record.records import (
    StatementState,
    VersionRecord,
    VersionState,
)
from opensea_metrics.deploy.migrations.record.store import RecordStore
from opensea_metrics.deploy.output.upkeep import correction_sentence, drift_sentence
from tests.deploy.projects import THREE
from tests.deploy.stub import Write
from tests.deploy.test_apply import agreed, client, seen, states

__all__ = ["client"]  # a fixture

SALES = "V002__sales.sql"


def drift(client: KsqlClient, root: Path) -> list[tuple[str, str]]:
    """What is found of this test's own: a real server may hold more."""
    return [(str(each.kind), each.name) for each in ours(commands.diff(client, root))]


def ours(found: Iterable[Drift]) -> list[Drift]:
    return [each for each in found if "OMT" in f"{each.name} {drift_sentence(each)}"]


def test_what_changed_since_as_a_diff_with_a_verdict(
    client: KsqlClient, write_project: Write
) -> None:
    root = write_project(THREE)
    commands.apply(client, root)
    assert commands.changed(client, root) == ()
    edited = THREE[SALES].replace("price IS NOT NULL", "price > 1").replace("* 2", "* 3")
    write_project({SALES: edited})
    first, second = commands.changed(client, root)
    assert (first.version, first.number) == (2, 1)
    assert "-  SELECT id, coll, price FROM omt_raw WHERE price IS NOT NULL EMIT CHANGES;" in first.diff
    assert "+  SELECT id, coll, price FROM omt_raw WHERE price > 1 EMIT CHANGES;" in first.diff
    assert first.impact is not None
    assert (str(first.impact.verdict), first.impact.clause) == ("in place", "WHERE")
    assert (second.number, second.impact) == (2, None)
    write_project({SALES: "-- only a comment\n" + THREE[SALES]})
    assert commands.changed(client, root) == ()
    (root / "migrations" / SALES).unlink()
    (missing,) = commands.changed(client, root)
    assert missing.kind is FileChangeKind.MISSING
    write_project(THREE)


def test_drift(client: KsqlClient, write_project: Write) -> None:
    root = write_project(THREE)
    commands.apply(client, root)
    assert drift(client, root) == []
    query = next(q for q in look(client).writers("OMT_SALES") if q.startswith("INSERT"))
    client.execute(f"TERMINATE {query};")
    client.execute("DROP STREAM omt_changes;")
    client.execute("INSERT INTO omt_sales SELECT id, coll, price FROM omt_raw EMIT CHANGES;")
    client.execute("CREATE STREAM omt_mine AS SELECT id, coll FROM omt_raw EMIT CHANGES;")
    client.execute("ALTER STREAM omt_raw ADD COLUMN extra INT;")
    (table,) = look(client).writers("OMT_BY_COLL")
    client.execute(f"PAUSE {table};")
    (foreign,) = (q for q in look(client).writers("OMT_SALES") if q.startswith("INSERT"))
    try:
        assert sorted(drift(client, root)) == sorted(
            [
                ("missing", "OMT_CHANGES"),
                ("missing", query),
                ("extra", "OMT_MINE"),
                ("extra", foreign),
                ("altered", "OMT_RAW"),
                ("paused", table),
            ]
        )
    finally:
        client.execute(f"RESUME {table};")
        client.execute(f"TERMINATE {foreign};")
        client.execute("DROP STREAM omt_mine;")
        for text in deleting("OMT_MINE"):
            client.execute(text)


def test_a_stream_without_its_topic_is_a_drift(client: KsqlClient, write_project: Write) -> None:
    root = write_project(THREE)
    commands.apply(client, root)
    server, wanted = look(client, describe=None), expected(RecordStore(client).read())
    assert ours(find_drift(wanted, server)) == []
    topic = server.sources["OMT_SALES"].topic
    (found,) = ours(find_drift(wanted, replace(server, topics=server.topics - {topic})))
    assert (found.kind, found.name) == ("missing", topic)
    assert "the topic of OMT_SALES" in drift_sentence(found)


def test_a_function_that_was_changed(client: KsqlClient, write_project: Write) -> None:
    root = write_project(THREE)
    commands.apply(client, root, site=commands.Site(functions={"COUNT": "one", "OTHER": "x"}))
    (record,) = (s for s in RecordStore(client).read().statements if s.target == "OMT_BY_COLL")
    assert record.functions == (("COUNT", "one"),)
    changed = commands.diff(client, root, site=commands.Site(functions={"COUNT": "two"}))
    (found,) = (each for each in changed if each.name == "OMT_BY_COLL")
    assert found.kind == "altered"
    assert "its function COUNT was changed" in drift_sentence(found)
    assert drift(client, root) == []


def make_by_hand(client: KsqlClient) -> None:
    """What THREE makes, without the tool."""
    for text in THREE.values():
        client.execute(text.replace("\nSET 'auto.offset.reset' = 'earliest';", ""))


def remove_by_hand(client: KsqlClient) -> None:
    server = look(client)
    for query in server.writers("OMT_SALES"):
        if query.startswith("INSERT"):
            client.execute(f"TERMINATE {query};")
    for kind, name in (
        ("STREAM", "OMT_CHANGES"),
        ("TABLE", "OMT_BY_COLL"),
        ("STREAM", "OMT_SALES"),
        ("STREAM", "OMT_RAW"),
    ):
        client.execute(f"DROP {kind} IF EXISTS {name};")
    for topic in ("omt_by_coll", "omt_sales", "omt.raw"):
        if topic in look(client).topics:
            for text in deleting(topic):
                client.execute(text)


def test_a_baseline(client: KsqlClient, write_project: Write) -> None:
    root = write_project(THREE)
    with pytest.raises(MigrationError, match="not on the server"):
        commands.baseline(client, 2, root)
    make_by_hand(client)
    try:
        assert commands.baseline(client, 2, root) == (1, 2)
        assert commands.baseline(client, 2, root) == ()
        assert states(client, root)[:2] == [(1, "MIGRATED", 2), (2, "MIGRATED", 2)]
        assert [step.record.version for step in commands.plan(client, root).steps] == [3, 3]
        assert commands.baseline(client, 3, root) == (3,)
        assert drift(client, root) == []
        undone = commands.rollback(client, agreed, root, steps=2)
        assert undone.deleted_topics == ()  # nobody knows who made them
        assert set(look(client).sources) & {"OMT_RAW", "OMT_SALES"} == {"OMT_RAW"}
        commands.rollback(client, agreed, root, target=0)
    finally:
        remove_by_hand(client)


def md5_as_hex(text: str) -> str:
    """As ksql-migrations 7.9.1 writes it (observed)."""
    return hashlib.md5(text.encode()).hexdigest()


def md5_as_text(text: str) -> str:
    """As older releases of it write it."""
    return hashlib.md5(text.encode()).digest().decode("utf-8", errors="replace")


@pytest.mark.parametrize("checksum_of", [md5_as_hex, md5_as_text])
def test_a_project_of_ksql_migrations_is_adopted(
    client: KsqlClient, tmp_path: Path, checksum_of: Callable[[str], str]
) -> None:
    root = tmp_path / "theirs"
    (root / "migrations").mkdir(parents=True)
    (root / "ksql-migrations.properties").write_text("ksql.server.url=http://localhost:8088\n")
    text = "DEFINE name = 'omt_raw';\n" + THREE["V001__raw.sql"].replace("omt_raw", "${name}")
    first = root / "migrations" / "V000001__raw.sql"
    first.write_text(text)
    second = root / "migrations" / "V000002__sales.sql"
    second.write_text("CREATE STREAM broken AS SELECT ${undefined} FORM omt_raw;")
    (root / "migrations" / "notes.sql").write_text("not a migration")
    store = RecordStore(client)
    store.create()
    client.execute(THREE["V001__raw.sql"])
    record = VersionRecord(1, "raw", VersionState.MIGRATED, checksum_of(text), 1, 2)
    store.note_version(record, record)
    failed = VersionRecord(2, "sales", VersionState.ERROR, "any", 3, 4, 1, "Unexpected FORM")
    store.note_version(failed, failed)
    store.settle()
    try:
        assert commands.adopt(client, root) == (1,)
        assert commands.adopt(client, root) == ()
        assert store.read().versions[:2] == (record, failed)  # later ones are what other tests left
        second.write_text(THREE[SALES])
        (root / "migrations" / "notes.sql").unlink()
        commands.apply(client, root)
        assert states(client, root) == [(1, "MIGRATED", 2), (2, "MIGRATED", 2)]
        assert drift(client, root) == []
        theirs = [] if checksum_of is md5_as_hex else ["1"]  # 7.9.1 does not know the older form
        assert what_ksql_migrations_would_find(client, root) == theirs
        first.write_text(text + "-- edited")
        commands.plan(client, root)  # comments may change
        commands.rollback(client, agreed, root, target=0)
        assert "OMT_RAW" not in look(client).sources
    finally:
        remove_by_hand(client)


def what_ksql_migrations_would_find(client: KsqlClient, root: Path) -> list[str]:
    """What its ``validate`` would complain of: it goes from the current version to those before, and
    compares each with the file of that version, of six digits."""
    rows = {
        row["VERSION_KEY"]: row for row in client.pull("SELECT * FROM MIGRATION_SCHEMA_VERSIONS;")
    }
    wrong = []
    version = rows["CURRENT"]["VERSION"]
    while version != "<none>":
        row = rows[version]
        (file,) = (root / "migrations").glob(f"V{int(version):06}__*.sql")
        if row["STATE"] != "MIGRATED" or row["CHECKSUM"] != md5_as_hex(file.read_text()):
            wrong.append(version)
        version = row["PREVIOUS"]
    return wrong


def test_what_apply_records_is_what_ksql_migrations_expects(
    client: KsqlClient, write_project: Write
) -> None:
    files = {name.replace("V00", "V00000"): text for name, text in THREE.items()}
    files["V000001__raw.sql"] += "-- {{ 'rendered' }} without effect on the checksum"
    root = write_project(files)
    commands.apply(client, root)
    assert what_ksql_migrations_would_find(client, root) == []
    commands.rollback(client, agreed, root, target=2)
    assert what_ksql_migrations_would_find(client, root) == []
    commands.apply(client, root)
    first = root / "migrations" / "V000001__raw.sql"
    first.write_text(first.read_text() + "\n-- a comment that came later")
    commands.repair(client, lambda _: True, root)
    assert what_ksql_migrations_would_find(client, root) == []


def test_a_setting_that_changes_what_was_applied_is_noticed(
    client: KsqlClient, write_project: Write
) -> None:
    """The file itself has the same MD5."""
    text = THREE["V001__raw.sql"].replace("1.5", "{{ price | default(1.5) }}")
    root = write_project({"V001__raw.sql": text})
    commands.apply(client, root)
    assert commands.changed(client, root) == ()
    (change,) = commands.changed(client, root, {"price": "2.5"})
    assert (change.version, change.number) == (1, 2)
    with pytest.raises(MigrationError, match="was changed after it was applied"):
        commands.plan(client, root, {"price": "2.5"})


def test_an_edited_file_is_not_adopted(client: KsqlClient, write_project: Write) -> None:
    root = write_project(THREE)
    store = RecordStore(client)
    store.create()
    store.note_version(VersionRecord(1, "raw", VersionState.MIGRATED, "other", 1, 2), None)
    store.settle()
    with pytest.raises(MigrationError, match=r"V001__raw\.sql was changed after ksql-migrations"):
        commands.adopt(client, root)
    store.note_version(VersionRecord(1, "raw", VersionState.PENDING, "other"), None)
    store.settle()


def test_a_repair_does_not_mind_what_was_rolled_back(client: KsqlClient, write_project: Write) -> None:
    one = "CREATE STREAM omt_raw (a INT) WITH (KAFKA_TOPIC='omt.raw', PARTITIONS=1, VALUE_FORMAT='JSON');"
    root = write_project({"V001__raw.sql": one + "CREATE STREAM omt_copy AS SELECT * FROM omt_raw;"})
    commands.apply(client, root)
    commands.rollback(client, agreed, root, target=0)
    write_project({"V001__raw.sql": one})
    commands.apply(client, root)
    write_project({"V001__raw.sql": f"-- why\n{one}"})
    (correction,) = commands.repair(client, lambda _: True, root)
    why = "only comments of the file have changed; its new checksum is recorded"
    assert correction_sentence(correction) == f"V001 raw: {why}"


def test_a_repair(client: KsqlClient, write_project: Write) -> None:
    root = write_project(THREE)
    commands.apply(client, root)

    def nothing(_: tuple[Correction, ...]) -> bool:
        raise AssertionError("nothing is to be repaired")

    assert commands.repair(client, nothing, root) == ()
    # A stream was dropped by hand, and a run was killed just after its last statement but one.
    client.execute("DROP STREAM omt_changes;")
    store = RecordStore(client)
    recorded = store.read()
    table = next(each for each in recorded.statements if each.target == "OMT_BY_COLL")
    running = replace(table, state=StatementState.RUNNING, query_id=None, writers=())
    store.note_statements([running])
    store.settle()
    before = seen(client)
    with pytest.raises(MigrationError, match="no consent"):
        commands.repair(client, lambda _: False, root)
    made = commands.repair(client, lambda _: True, root)
    assert tuple(map(correction_sentence, made)) == (
        "V003 statement 1 (create table as select OMT_BY_COLL): the server executed it",
        "V003 statement 2 (create stream OMT_CHANGES): its object is gone from the server; apply will create it again",
        "V003 windows: 1 of 2 statements are applied",
    )
    assert seen(client) == before
    assert [step.statement.name for step in commands.apply(client, root).steps] == ["OMT_CHANGES"]
    assert drift(client, root) == []


def test_a_new_migration(write_project: Write) -> None:
    root = write_project(THREE)
    path = commands.new("sales by chain", root)
    assert path.name == "V004__sales_by_chain.sql"
    path.write_text(path.read_text() + "CREATE STREAM x AS SELECT id, coll FROM omt_raw EMIT CHANGES;\n")
    assert commands.validate(root).migrations == 4
    with pytest.raises(MigrationError, match="is not a migration's name"):
        commands.new("../x", root)


def test_a_migration_without_statements_is_refused(write_project: Write) -> None:
    root = write_project({"V001__raw.sql": THREE["V001__raw.sql"]})
    path = commands.new("later", root)
    refusal = r"V002__later\.sql:1:1: V002__later\.sql has no statement to apply\n  hint: write a statement into it"
    with pytest.raises(SqlError, match=refusal):
        commands.validate(root)
    path.unlink()
    assert commands.validate(root).migrations == 1
    shown = CliRunner().invoke(whole_app(), ["validate", "--sql", str(root), "--offline"])
    assert shown.stdout.startswith("1 migration, 2 statements in ")


def test_a_pending_migration_without_statements_is_not_planned(client: KsqlClient, write_project: Write) -> None:
    root = write_project({"V001__raw.sql": THREE["V001__raw.sql"]})
    path = commands.new("later", root)
    path = path.rename(path.with_name("V951__later.sql"))  # other tests record statements of lower versions
    for verb in (commands.plan, commands.apply):
        with pytest.raises(SqlError, match=r"V951__later\.sql has no statement to apply"):
            verb(client, root)
    assert [plan.version for plan in commands.apply(client, root, target=1).versions] == [1]
    # An earlier commit of this tool applied such files.
    store = RecordStore(client)
    store.note_version(VersionRecord(951, "later", VersionState.MIGRATED, "md5", 1, 2, rendered="sha"), None)
    store.settle()
    commands.rollback(client, agreed, root)
    assert [(version.version, version.state) for version in store.read().applied] == [(1, VersionState.MIGRATED)]
    path.unlink()
    commands.rollback(client, agreed, root)
