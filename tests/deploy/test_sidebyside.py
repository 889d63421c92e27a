"""Changing a live metric: built beside the old one, switched over, and what if it is interrupted."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from opensea_metrics.deploy import commands
from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.client.snapshot import look
from opensea_metrics.deploy.client.topics import deleting, private_name
from opensea_metrics.deploy.commands import ApplyChoice, Site
from opensea_metrics.deploy.migrations.errors import MigrationError, PlanRefused
from opensea_metrics.deploy.migrations.plan.side_by_side import rewritten
from opensea_metrics.deploy.migrations.record.records import StatementState
from opensea_metrics.deploy.migrations.record.store import RecordStore
from tests.deploy.stub import Write
from tests.deploy.test_apply import Interrupted, Unlucky, agreed, client, seen, states

__all__ = ["client"]  # a fixture

METRIC = """
SET 'auto.offset.reset' = 'earliest';
CREATE {replace}TABLE {name} WITH (KAFKA_TOPIC='oms.by_coll', VALUE_FORMAT='JSON', RETENTION_MS=-1) AS
  SELECT coll, AS_VALUE(coll) AS slug, WINDOWSTART AS ws, COUNT(*) AS sales{more}
  FROM oms_raw WINDOW TUMBLING (SIZE 1 MINUTE, RETENTION 2 DAYS, GRACE PERIOD 1 DAY)
  GROUP BY coll EMIT CHANGES;
"""
FIRST = {
    "V001__metric.sql": """
CREATE STREAM oms_raw (id VARCHAR KEY, coll VARCHAR, price DOUBLE)
  WITH (KAFKA_TOPIC='oms.raw', PARTITIONS=1, VALUE_FORMAT='JSON');
"""
    + METRIC.format(replace="", name="oms_by_coll", more="")
    + """
CREATE STREAM oms_changes (slug VARCHAR, ws BIGINT, sales BIGINT)
  WITH (KAFKA_TOPIC='oms.by_coll', VALUE_FORMAT='JSON', TIMESTAMP='ws');
CREATE STREAM oms_long (metric VARCHAR, v BIGINT)
  WITH (KAFKA_TOPIC='oms.long', PARTITIONS=1, VALUE_FORMAT='JSON');
INSERT INTO oms_long SELECT slug AS metric, sales AS v FROM oms_changes EMIT CHANGES;
""",
}
CHANGED = METRIC.format(
    replace="OR REPLACE ", name="{{ ref('oms_by_coll') }}", more=", MAX(price) AS top"
)
BESIDE = ApplyChoice(side_by_side=True)
SITE = Site(timeout=120)
OLD = {"OMS_BY_COLL", "OMS_CHANGES"}
NEW = {"OMS_BY_COLL_V2", "OMS_CHANGES_V2"}


@pytest.fixture
def live(client: KsqlClient, write_project: Write) -> Iterator[KsqlClient]:
    """A server on which the metric is applied and has data."""
    commands.apply(client, write_project(FIRST))
    for number in range(3):
        client.execute(
            f"INSERT INTO oms_raw (id, coll, price) VALUES ('{number}', 'ape', {number}.5);"
        )
    yield client
    for topic in look(client).topics:
        if topic.startswith("oms.long_left"):
            for text in deleting(topic):
                client.execute(text)


def names(client: KsqlClient) -> set[str]:
    return {each for each in look(client).sources if each.startswith("OMS")}


def test_the_plan_says_why_and_how(live: KsqlClient, write_project: Write) -> None:
    root = write_project({"V002__top.sql": CHANGED})
    with pytest.raises(PlanRefused, match="because of WINDOW"):
        commands.plan(live, root).refuse()
    (made,) = commands.plan(live, root, choice=BESIDE).versions
    insert = next(q for q in look(live).queries if q.startswith("INSERTQUERY"))
    assert [(s.statement.kind.value, s.statement.name) for s in made.steps] == [
        ("create table as select", "OMS_BY_COLL_V2"),
        ("create stream", "OMS_CHANGES_V2"),
        ("insert into … select", "OMS_LONG"),
        ("terminate", insert),
        ("drop stream", "OMS_CHANGES"),
        ("drop table", "OMS_BY_COLL"),
    ]
    assert made.steps[2].record.awaits == ("OMS_BY_COLL_V2",)
    assert made.reversible == "reversible with loss of state"
    assert {str(each.impact.verdict) for each in made.steps} == {"side by side", "dropped"}


def test_switched_over(live: KsqlClient, write_project: Write) -> None:
    root = write_project({"V002__top.sql": CHANGED})
    before = seen(live)
    commands.apply(live, root, choice=BESIDE, site=SITE)
    assert names(live) == {"OMS_RAW", "OMS_LONG", *NEW}
    topics = {each for each in look(live).topics if each.startswith("oms.")}
    assert topics == {"oms.raw", "oms.by_coll_V2", "oms.long"}
    rows = live.pull("SELECT * FROM oms_by_coll_v2 WHERE coll = 'ape';")
    assert [(each["SALES"], each["TOP"]) for each in rows] == [(3, 2.5)]
    assert states(live, root) == [(1, "MIGRATED", 5), (2, "MIGRATED", 6)]
    assert commands.plan(live, root).versions == ()
    assert commands.changed(live, root) == ()
    assert [d for d in commands.diff(live, root) if "OMS" in d.name] == []

    # The next migration that names it by ref gets the version that serves now.
    write_project(
        {"V003__copy.sql": "CREATE STREAM oms_copy AS SELECT slug FROM {{ ref('oms_changes') }};"}
    )
    (step,) = commands.plan(live, root).steps
    assert step.statement.reads == ("OMS_CHANGES_V2",)
    (root / "migrations/V003__copy.sql").unlink()

    # Changed again, it becomes the third version.
    again = CHANGED.replace("MAX(price)", "MIN(price)")
    write_project({"V003__low.sql": again})
    commands.apply(live, root, choice=BESIDE, site=SITE)
    assert names(live) == {"OMS_RAW", "OMS_LONG", "OMS_BY_COLL_V3", "OMS_CHANGES_V3"}
    assert RecordStore(live).read().physical_names["OMS_BY_COLL"] == "OMS_BY_COLL_V3"
    commands.rollback(live, agreed, root, steps=2)
    assert seen(live) == before
    (root / "migrations/V003__low.sql").unlink()


STEPS = [
    "CREATE TABLE `OMS_BY_COLL_V2`",
    "CREATE STREAM `OMS_CHANGES_V2`",
    "INSERT INTO oms_long",
    "TERMINATE `INSERTQUERY",
    "DROP STREAM `OMS_CHANGES`",
    "DROP TABLE `OMS_BY_COLL`",
]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", STEPS)
def test_interrupted_anywhere(
    live: KsqlClient, write_project: Write, at: str, after: bool
) -> None:
    root = write_project({"V002__top.sql": CHANGED})
    before = seen(live)
    unlucky = Unlucky(live.url, at=at, after=after)
    with pytest.raises(Interrupted):
        commands.apply(unlucky, root, choice=BESIDE, site=SITE)
    if STEPS.index(at) < 4:
        assert names(live) >= OLD  # the old one serves
    commands.apply(unlucky, root, site=SITE)  # it goes on, whatever the options are now
    assert names(live) == {"OMS_RAW", "OMS_LONG", *NEW}
    for step in STEPS:
        assert len([text for text in unlucky.sent if text.startswith(step)]) == 1
    commands.rollback(live, agreed, root)
    assert seen(live) == before


UNDOING = ["CREATE TABLE OMS_BY_COLL", "CREATE STREAM OMS_CHANGES", "INSERT INTO oms_long", "TERMINATE"]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", UNDOING)
def test_a_way_back_that_is_interrupted(
    live: KsqlClient, write_project: Write, at: str, after: bool
) -> None:
    root = write_project({"V002__top.sql": CHANGED})
    before = seen(live)
    commands.apply(live, root, choice=BESIDE, site=SITE)
    unlucky = Unlucky(live.url, at=at, after=after, anycase=True)
    with pytest.raises(Interrupted):
        commands.rollback(unlucky, agreed, root)
    if StatementState.UNDONE in {record.state for record in RecordStore(live).read().statements_of(2)}:
        with pytest.raises(MigrationError, match="a rollback of it has not finished"):
            commands.apply(live, root, site=SITE)
    commands.rollback(live, agreed, root)
    assert seen(live) == before
    recorded = RecordStore(live).read().statements_of(1)
    queries = {each.query_id for each in recorded if each.query_id}
    assert queries == {q for q in look(live).queries if "OMS" in q or q.startswith("INSERTQUERY")}


def test_begun_and_given_up(live: KsqlClient, write_project: Write) -> None:
    root = write_project({"V002__top.sql": CHANGED})
    before = seen(live)
    with pytest.raises(Interrupted):
        commands.apply(Unlucky(live.url, at=STEPS[2]), root, choice=BESIDE, site=SITE)
    commands.rollback(live, agreed, root)
    assert seen(live) == before
    # A shorter plan of this version must not find the statements that were only planned.
    left = [record.state for record in RecordStore(live).read().statements_of(2)]
    assert left == [StatementState.UNDONE] * 6


def test_what_others_made_over_it_stops_it(live: KsqlClient, write_project: Write) -> None:
    root = write_project({"V002__top.sql": CHANGED})
    live.execute("CREATE STREAM oms_mine (ws BIGINT) WITH (KAFKA_TOPIC='oms.by_coll', VALUE_FORMAT='JSON');")
    try:
        with pytest.raises(MigrationError, match="OMS_MINE depends on it and no migration created OMS_MINE"):
            commands.plan(live, root, choice=BESIDE)
    finally:
        live.execute("DROP STREAM oms_mine;")


def test_what_an_interrupted_deletion_left_does_not_stop_it(live: KsqlClient, write_project: Write) -> None:
    root = write_project({"V002__top.sql": CHANGED})
    left = private_name("oms.by_coll")
    live.execute(f"CREATE STREAM {left} (unused STRING) WITH (KAFKA_TOPIC='oms.by_coll', VALUE_FORMAT='JSON');")
    try:
        (made,) = commands.plan(live, root, choice=BESIDE).versions
        assert left not in {step.statement.name for step in made.steps}
    finally:
        live.execute(f"DROP STREAM {left};")


@pytest.mark.parametrize(
    ("text", "rewrote"),
    [
        (
            "CREATE OR REPLACE TABLE t WITH (kafka_topic='t', PARTITIONS=1) AS SELECT s.a FROM s;",
            "CREATE TABLE `T_V2` WITH (kafka_topic = 't.2', PARTITIONS = 1) AS SELECT s.a"
            " FROM `S_V2` AS `S`;",
        ),
        (
            "CREATE TABLE T AS SELECT X.A A FROM S X INNER JOIN U U ON ((X.A = U.A));",
            "CREATE TABLE `T_V2` AS SELECT X.A AS A FROM `S_V2` AS X"
            " INNER JOIN U AS U ON ((X.A = U.A));",
        ),
        (  # a comment and texts that look like what is changed
            "CREATE /* OR REPLACE */ TABLE t WITH (VALUE_DELIMITER='KAFKA_TOPIC=''t''', KAFKA_TOPIC='t')"
            " AS SELECT 'FROM s' AS a FROM s;",
            "CREATE TABLE `T_V2` WITH (VALUE_DELIMITER = 'KAFKA_TOPIC=''t''', KAFKA_TOPIC = 't.2')"
            " AS SELECT 'FROM s' AS a FROM `S_V2` AS `S`;",
        ),
        (  # as a server writes it: it refuses a CLEANUP_POLICY that is given to it
            "CREATE TABLE T WITH (CLEANUP_POLICY='compact', KAFKA_TOPIC='t') AS SELECT * FROM X;",
            "CREATE TABLE `T_V2` WITH (KAFKA_TOPIC = 't.2') AS SELECT * FROM X;",
        ),
        ("INSERT INTO t SELECT * FROM s;", "INSERT INTO `T_V2` SELECT * FROM `S_V2` AS `S`;"),
        (
            "CREATE STREAM u (t INT, s INT) WITH (KAFKA_TOPIC='t', VALUE_FORMAT='JSON');",
            "CREATE STREAM u (t INT, s INT) WITH (KAFKA_TOPIC = 't.2', VALUE_FORMAT = 'JSON');",
        ),
    ],
)
def test_rewritten(text: str, rewrote: str) -> None:
    assert rewritten(text, {"T": "T_V2", "S": "S_V2"}, {"t": "t.2", "T": "T_V2"}).text == rewrote
