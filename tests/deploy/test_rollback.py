"""Rollback plans as data."""

import re
from dataclasses import replace

import pytest

from opensea_metrics.deploy.client.snapshot import Server
from opensea_metrics.deploy.client.topics import deleting, private_name
from opensea_metrics.deploy.migrations.effects import effect_of
from opensea_metrics.deploy.migrations.errors import Irreversible, MigrationError
from opensea_metrics.deploy.migrations.plan.rollback import (
    make_rollback,
    versions_above,
)
from opensea_metrics.deploy.migrations.plan.steps import Restoration, RollbackPlan, UndoStep
from opensea_metrics.deploy.migrations.record.records import (
    Recorded,
    StatementRecord,
    StatementState,
    VersionRecord,
    VersionState,
)
from opensea_metrics.deploy.output.plans import undo_lines
from opensea_metrics.deploy.replies import Description, ServerQuery, ServerSource
from opensea_metrics.deploy.reply_columns import ServerColumn
from opensea_metrics.sql.language.statements.parser import parse_script, parse_statement
from opensea_metrics.sql.language.statements.statements import Kind, Statement

SCRIPTS = {
    1: "CREATE STREAM raw (a VARCHAR) WITH (KAFKA_TOPIC='t.raw', PARTITIONS=1);",
    2: "CREATE STREAM copy AS SELECT a FROM raw EMIT CHANGES;"
    "INSERT INTO copy SELECT a FROM raw EMIT CHANGES;",
    3: "CREATE TABLE counts AS SELECT a, COUNT(*) AS n FROM copy GROUP BY a EMIT CHANGES;"
    "CREATE STREAM changes (n BIGINT) WITH (KAFKA_TOPIC='COUNTS');",
}
QUERIES = {(2, 1): "CSAS_COPY_1", (2, 2): "INSERTQUERY_3", (3, 1): "CTAS_COUNTS_5"}
VERSIONS = tuple(
    VersionRecord(number, f"m{number}", VersionState.MIGRATED, "") for number in SCRIPTS
)


def record(version: int, number: int, statement: Statement) -> StatementRecord:
    return StatementRecord(
        version=version,
        number=number,
        kind=statement.kind,
        text=statement.text,
        target=statement.name,
        topic=statement.topic,
        state=StatementState.DONE,
        topic_existed=statement.name == "CHANGES",
        query_id=QUERIES.get((version, number)),
    )


STATEMENTS = tuple(
    record(version, number, statement)
    for version, text in SCRIPTS.items()
    for number, statement in enumerate(parse_script(text, "f"), 1)
)
RECORDED = Recorded(VERSIONS, STATEMENTS)
CSAS = ServerQuery("CSAS_COPY_1", ("COPY",), "RUNNING", "")
INSERT = ServerQuery("INSERTQUERY_3", ("COPY",), "RUNNING", "")
CTAS = ServerQuery("CTAS_COUNTS_5", ("COUNTS",), "RUNNING", "")


def source(name: str, topic: str, kind: str = "STREAM") -> ServerSource:
    return ServerSource(name, kind, topic, "JSON", False)


def read_by(name: str, *queries: ServerQuery) -> Description:
    return Description(name, "STREAM", "", (), queries, ())


SERVER = Server(
    sources={
        "RAW": source("RAW", "t.raw"),
        "COPY": source("COPY", "COPY"),
        "COUNTS": source("COUNTS", "COUNTS", "TABLE"),
        "CHANGES": source("CHANGES", "COUNTS"),
    },
    queries={each.id: each for each in (CSAS, INSERT, CTAS)},
    topics=frozenset({"t.raw", "COPY", "COUNTS", "foreign"}),
    described={"RAW": read_by("RAW", CSAS, INSERT), "COPY": read_by("COPY", CTAS)},
)


def plan(
    target: int | None,
    server: Server = SERVER,
    recorded: Recorded = RECORDED,
    downs: dict[int, tuple[Statement, ...]] | None = None,
    keep_topics: bool = False,
) -> RollbackPlan:
    versions = versions_above(recorded, target)
    return make_rollback(recorded, versions, downs or {}, server, keep_topics)


def changed(of: StatementRecord, **values: object) -> Recorded:
    statements = tuple(
        replace(each, **values) if each is of else each  # type: ignore[arg-type]
        for each in STATEMENTS
    )
    return Recorded(VERSIONS, statements)


ALL = (
    "drop stream CHANGES",
    "drop table COUNTS",
    "delete topic COUNTS",
    "terminate INSERTQUERY_3",
    "drop stream COPY",
    "delete topic COPY",
    "drop stream RAW",
    "delete topic t.raw",
)


def restored(step: UndoStep) -> tuple[str | None, str, Restoration | None]:
    return step.restored, step.statement.text if step.statement else "", step.restoration


def lines(of: RollbackPlan) -> tuple[str, ...]:
    return tuple(line for step in of.steps for line in undo_lines(step))


def test_everything_readers_before_writers() -> None:
    planned = plan(0)
    assert lines(planned) == ALL
    assert planned.deleted_topics == ("COUNTS", "COPY", "t.raw")
    assert [each.total for each in planned.versions] == [3, 3, 2]  # changes on the server
    undone = [(each.version, each.number) for step in planned.steps for each in step.undoes]
    assert undone == [(3, 2), (3, 1), (2, 2), (2, 1), (1, 1)]


def test_no_drop_of_a_source_that_others_may_read_deletes_its_topic() -> None:
    assert not any(step.statement.deletes_topic for step in plan(0).steps if step.statement)
    declare, drop = deleting("COUNTS")
    assert "DELETE TOPIC" in drop
    assert all("`OPENSEA_METRICS_DELETES_" in text for text in (declare, drop))


def test_the_newest_version_alone_by_default() -> None:
    assert lines(plan(None)) == ALL[:3]


def test_to_a_version() -> None:
    assert lines(plan(2)) == ALL[:3]
    assert plan(3).versions == ()


def test_an_unknown_target() -> None:
    with pytest.raises(MigrationError, match=r"version 9 is not applied \(applied: 1, 2, 3;"):
        plan(9)


def test_topics_can_be_kept() -> None:
    made = plan(0, keep_topics=True)
    assert made.deleted_topics == ()
    assert "keep topic COPY (as requested)" in lines(made)


def test_a_topic_that_existed_before_is_kept() -> None:
    made = plan(0, recorded=changed(STATEMENTS[0], topic_existed=True))
    assert made.deleted_topics == ("COUNTS", "COPY")


def test_a_topic_that_others_have_declared_is_kept() -> None:
    others = {**SERVER.sources, "MINE": source("MINE", "COPY")}
    made = plan(0, replace(SERVER, sources=others))
    assert "keep topic COPY (MINE is declared over it)" in lines(made)


def test_a_source_that_existed_before_is_kept() -> None:
    made = plan(0, recorded=changed(STATEMENTS[0], target_existed=True))
    assert lines(made) == ALL[:-2]


def test_what_is_gone_already_is_passed_over() -> None:
    """As after an interrupted rollback: COUNTS was dropped, and its topic not yet."""
    left = {name: each for name, each in SERVER.sources.items() if each.topic != "COUNTS"}
    assert lines(plan(2, replace(SERVER, sources=left))) == ("delete topic COUNTS",)
    assert lines(plan(2, replace(SERVER, sources=left, topics=frozenset()))) == ()
    assert plan(2, replace(SERVER, sources=left, topics=frozenset())).versions != ()


def test_private_names_are_names_and_differ() -> None:
    names = {deleting(each)[1].split("`")[1] for each in ("a.b", "a_b", "a:b")}
    assert len(names) == 3
    assert all(re.fullmatch(r"OPENSEA_METRICS_DELETES_a_b_[0-9a-f]{8}", each) for each in names)


def test_a_leftover_private_stream_does_not_keep_a_topic() -> None:
    name = "OPENSEA_METRICS_DELETES_COUNTS"
    left = {name: source(name, "COUNTS")}
    assert lines(plan(2, replace(SERVER, sources=left))) == ("delete topic COUNTS",)


def test_a_private_stream_whose_topic_has_gone_is_dropped() -> None:
    """As after a run that was interrupted while ksqlDB deleted the topic."""
    name = private_name("COUNTS")
    left = {each: known for each, known in SERVER.sources.items() if known.topic != "COUNTS"}
    server = replace(SERVER, sources={**left, name: source(name, "COUNTS")}, topics=frozenset())
    assert lines(plan(2, server)) == ("delete topic COUNTS",)


def test_a_partly_applied_version_is_undone_as_far_as_it_went() -> None:
    failed = changed(STATEMENTS[2], state=StatementState.ERROR, query_id=None)
    versions = (VERSIONS[0], replace(VERSIONS[1], state=VersionState.ERROR))
    server = replace(SERVER, queries={CSAS.id: CSAS}, described={"RAW": read_by("RAW", CSAS)})
    made = plan(None, server, Recorded(versions, failed.statements[:3]))
    assert lines(made) == ALL[4:6]


def test_a_version_that_was_undone_and_not_yet_marked() -> None:
    undone = tuple(replace(each, state=StatementState.UNDONE) for each in STATEMENTS)
    (version,) = plan(
        None, recorded=Recorded((replace(VERSIONS[0], state=VersionState.RUNNING),), undone)
    ).versions
    assert version.steps == ()


def test_a_query_whose_id_was_never_learned_is_found() -> None:
    running = changed(
        STATEMENTS[2], state=StatementState.RUNNING, query_id=None, writers=("CSAS_COPY_1",)
    )
    assert "terminate INSERTQUERY_3" in lines(plan(0, recorded=running))


def test_a_foreign_reader_stops_it_before_anything_is_done() -> None:
    mine = ServerQuery("CSAS_MINE_9", ("MINE",), "RUNNING", "")
    server = replace(SERVER, described={"COPY": read_by("COPY", CTAS, mine)})
    with pytest.raises(MigrationError, match=r"COPY cannot be dropped, because query CSAS_MINE_9 \(into"):
        plan(0, server)


def test_a_foreign_writer_stops_it() -> None:
    mine = ServerQuery("INSERTQUERY_9", ("COPY",), "RUNNING", "")
    server = replace(SERVER, queries={**SERVER.queries, mine.id: mine})
    with pytest.raises(MigrationError, match="COPY cannot be dropped, because query INSERTQUERY_9"):
        plan(0, server)


def test_a_push_query_stops_nothing() -> None:
    push = ServerQuery("transient_COPY_1", (), "RUNNING", "")
    assert lines(plan(0, replace(SERVER, described={"COPY": read_by("COPY", CTAS, push)}))) == ALL


def with_statement(text: str, **values: object) -> Recorded:
    (statement,) = parse_script(text, "f")
    last = replace(record(3, 3, statement), **values)  # type: ignore[arg-type]
    return Recorded(VERSIONS, (*STATEMENTS, last))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("DROP STREAM other;", "dropped it, and its definition is not recorded"),
        ("ALTER STREAM other ADD COLUMN b INT;", "added columns"),
        ("TERMINATE CSAS_COPY_1;", "ended a query"),
        ("INSERT INTO other (a) VALUES ('x');", "wrote rows"),
        (
            "CREATE OR REPLACE STREAM other (a VARCHAR, b INT) WITH (KAFKA_TOPIC='t');",
            "replaces a definition",
        ),
    ],
)
def test_irreversible(text: str, reason: str) -> None:
    recorded = with_statement(text, target_existed=True)
    with pytest.raises(Irreversible, match=f"statement 3 .*{reason}"):
        plan(0, recorded=recorded)


def test_what_was_dropped_is_defined_as_before() -> None:
    text = "CREATE TABLE OTHER WITH (KAFKA_TOPIC='other') AS SELECT A, COUNT(*) N FROM RAW GROUP BY A;"
    recorded = with_statement("DROP TABLE other;", target_existed=True, previous=text)
    assert restored(plan(2, recorded=recorded).steps[0]) == ("OTHER", text, Restoration.FROM_START)
    assert plan(2, recorded=recorded).loses_state == ("OTHER",)


def test_a_definition_that_cannot_be_read_is_not_created_again() -> None:
    recorded = with_statement("DROP STREAM other;", target_existed=True, previous="CREATE WHAT OTHER;")
    with pytest.raises(Irreversible, match="this tool cannot read its definition"):
        plan(2, recorded=recorded)


def test_what_was_made_and_dropped_by_what_is_undone_is_not_made_again() -> None:
    """Only its topic is still there to be deleted."""
    recorded = with_statement("DROP STREAM raw;", target_existed=True, previous="CREATE STREAM …;")
    left = {name: each for name, each in SERVER.sources.items() if name != "RAW"}
    made = plan(0, replace(SERVER, sources=left), recorded)
    assert lines(made) == tuple(each for each in ALL if each != "drop stream RAW")


def test_what_was_dropped_and_made_anew_is_made_as_it_was() -> None:
    anew = parse_script("CREATE STREAM raw (b VARCHAR) WITH (KAFKA_TOPIC='t.raw');", "f")[0]
    last = replace(record(3, 4, anew), topic_existed=True)
    text = "CREATE STREAM RAW (A STRING) WITH (KAFKA_TOPIC='t.raw');"
    before = with_statement("DROP STREAM raw;", target_existed=True, previous=text)
    recorded = Recorded(VERSIONS, (*before.statements, last))
    server = replace(SERVER, described={})  # nothing reads it any more
    assert lines(plan(2, server, recorded)) == (
        "drop stream RAW",
        "define RAW as before, from the start of its sources",
        *ALL[:3],
    )
    assert lines(plan(0, server, recorded)) == (
        "drop stream RAW",
        *(each for each in ALL if each != "drop stream RAW"),
    )


def test_an_ended_insert_query_is_started_again() -> None:
    text = "INSERT INTO COPY SELECT * FROM RAW RAW EMIT CHANGES;"
    recorded = with_statement("TERMINATE INSERTQUERY_9;", target_existed=True, previous=text)
    assert restored(plan(2, recorded=recorded).steps[0]) == ("COPY", text, Restoration.FROM_START)


def described(text: str, *columns: ServerColumn) -> Server:
    """OTHER is on the server, as ``text`` (with ``columns``) defines it."""
    other = Description(
        "OTHER", "STREAM", "t", columns, (), (), text, "KAFKA", "JSON"
    )
    sources = {**SERVER.sources, "OTHER": source("OTHER", "t")}
    return replace(SERVER, sources=sources, described={**SERVER.described, "OTHER": other})


A, B = ServerColumn("A", "STRING"), ServerColumn("B", "INTEGER")
OTHER = "CREATE STREAM OTHER (A STRING) WITH (KAFKA_TOPIC='t', VALUE_FORMAT='JSON');"


def test_what_was_replaced_in_place_is_replaced_again() -> None:
    recorded = with_statement(
        "CREATE OR REPLACE STREAM other (a VARCHAR) WITH (KAFKA_TOPIC='t', VALUE_FORMAT='JSON');",
        target_existed=True,
        previous=OTHER,
    )
    replacing = parse_statement(OTHER).replacing().text
    step = plan(2, described(OTHER, A), recorded).steps[0]
    assert restored(step) == ("OTHER", replacing, Restoration.IN_PLACE)


def test_a_column_added_in_place_cannot_be_taken_away() -> None:
    recorded = with_statement(
        "CREATE OR REPLACE STREAM other (a VARCHAR, b INT) WITH (KAFKA_TOPIC='t');",
        target_existed=True,
        previous=OTHER,
    )
    with pytest.raises(Irreversible, match=r"cannot be replaced by the previous definition \(columns\)"):
        plan(2, described("", A, B), recorded)


def test_rows_go_with_the_stream_that_they_were_written_to() -> None:
    assert lines(plan(0, recorded=with_statement("INSERT INTO raw (a) VALUES ('x');"))) == ALL


def test_a_drop_that_dropped_nothing_is_no_hindrance() -> None:
    assert lines(plan(0, recorded=with_statement("DROP STREAM IF EXISTS other;"))) == ALL


def test_a_down_file_overrides() -> None:
    down = parse_script("DROP STREAM changes; DROP TABLE counts;", "V003__m3.down.sql")
    made = plan(0, recorded=with_statement("TERMINATE X_1;"), downs={3: down})
    assert lines(made) == ("drop stream CHANGES", "drop table COUNTS", *ALL[3:])
    assert [each.number for each in made.versions[0].steps[-1].undoes] == [3, 2, 1]


def test_a_version_of_another_tool_needs_a_down_file() -> None:
    recorded = Recorded(VERSIONS[:1])
    with pytest.raises(Irreversible, match=r"write V001__m1\.down\.sql"):
        plan(0, recorded=recorded)


@pytest.mark.parametrize(
    ("kind", "target", "existed", "done"),
    [
        (Kind.CREATE_STREAM, "RAW", False, True),
        (Kind.CREATE_STREAM, "RAW", True, False),
        (Kind.CREATE_STREAM, "NEW", False, False),
        (Kind.DROP_STREAM, "NEW", True, True),
        (Kind.DROP_STREAM, "RAW", True, False),
        (Kind.TERMINATE, "CSAS_X_1", True, True),
        (Kind.TERMINATE, "CSAS_COPY_1", True, False),
        (Kind.INSERT_VALUES, "RAW", True, False),
    ],
)
def test_effects_seen_on_a_server(kind: Kind, target: str, existed: bool, done: bool) -> None:
    sent = replace(STATEMENTS[0], kind=kind, target=target, target_existed=existed)
    assert (effect_of(sent, SERVER) is not None) is done
