"""What a plan says of each statement: verdict, clause and data; and that the server agrees.

The cases are those that were run on ksqlDB 7.9.1 (shared/ksqldb-replies/replace_*).
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from opensea_metrics.deploy.client.snapshot import Server
from opensea_metrics.deploy.commands import plan_file
from opensea_metrics.deploy.migrations.errors import PlanRefused
from opensea_metrics.deploy.migrations.plan.impact import Verdict
from opensea_metrics.deploy.migrations.plan.pending import make_plan
from opensea_metrics.deploy.migrations.plan.steps import Plan
from opensea_metrics.deploy.migrations.record.records import Recorded
from opensea_metrics.deploy.output.plans import data_sentence
from opensea_metrics.deploy.replies import Description, ServerQuery, ServerSource
from opensea_metrics.deploy.reply_columns import ServerColumn
from tests.deploy.test_plan import migration

BASE = Description(
    "S",
    "STREAM",
    "s",
    (
        ServerColumn("ID", "STRING", True),
        ServerColumn("A", "INTEGER"),
        ServerColumn("B", "STRING"),
        ServerColumn("P", "STRUCT<`X` INTEGER, `Y` STRING>"),
    ),
    (),
    (),
    "CREATE STREAM S (ID STRING KEY, A INTEGER, B STRING, P STRUCT<X INTEGER, Y STRING>)"
    " WITH (CLEANUP_POLICY='delete', KAFKA_TOPIC='s', KEY_FORMAT='KAFKA', VALUE_FORMAT='JSON');",
    "KAFKA",
    "JSON",
)


def made_by_query(
    name: str, kind: str, query: str, columns: tuple[ServerColumn, ...], window: str | None = None
) -> Description:
    """A stream or table as a server describes it."""
    text = f"CREATE {kind} {name} WITH (KAFKA_TOPIC='{name}', PARTITIONS=1, REPLICAS=1) AS {query}"
    writer = ServerQuery(f"C{kind[0]}AS_{name}_1", (name,), "RUNNING", text)
    return Description(
        name, kind, name, columns, (), (writer,), text, "KAFKA", "JSON", window
    )


DERIVED = made_by_query(
    "D",
    "STREAM",
    "SELECT\n  S.ID ID,\n  S.A A,\n  S.B B\nFROM S S\nWHERE (S.A > 0)\nEMIT CHANGES;",
    BASE.columns[:3],
)
KEYED = (ServerColumn("B", "STRING", True), ServerColumn("N", "BIGINT"))
WINDOWED = made_by_query(
    "W",
    "TABLE",
    "SELECT\n  S.B B,\n  COUNT(*) N\nFROM S S\nWINDOW TUMBLING ( SIZE 1 MINUTES ) \n"
    "GROUP BY S.B\nEMIT CHANGES;",
    KEYED,
    "TUMBLING",
)
TABLE = made_by_query(
    "T",
    "TABLE",
    "SELECT\n  S.B B,\n  COUNT(*) N\nFROM S S\nGROUP BY S.B\nEMIT CHANGES;",
    KEYED,
)
DESCRIBED = (BASE, DERIVED, WINDOWED, TABLE)
SERVER = Server(
    sources={
        d.name: ServerSource(d.name, d.kind, d.topic, "JSON", d.window is not None) for d in DESCRIBED
    },
    queries={query.id: query for d in DESCRIBED for query in d.write_queries},
    topics=frozenset({d.topic for d in DESCRIBED} | {"other"}),
    described={d.name: d for d in DESCRIBED},
)


def plan(text: str) -> Plan:
    return make_plan((migration(1, text),), Recorded(), SERVER)


DERIVE = "CREATE OR REPLACE STREAM d"
COUNT = "CREATE OR REPLACE TABLE w AS SELECT b, COUNT(*) AS n"
BY_MINUTE = "FROM s WINDOW TUMBLING (SIZE 1 MINUTE)"


@pytest.mark.parametrize(
    ("text", "verdict", "clause"),
    [
        # streams
        (f"{DERIVE} AS SELECT id, a, b FROM s WHERE a > 0 EMIT CHANGES;", "unchanged", None),
        (f"{DERIVE} AS SELECT id, a, b FROM s WHERE a > 5 EMIT CHANGES;", "in place", "WHERE"),
        (f"{DERIVE} AS SELECT id, a, b FROM s EMIT CHANGES;", "in place", "WHERE"),
        (
            f"{DERIVE} AS SELECT id, a, b, p->x AS px FROM s WHERE a > 0 EMIT CHANGES;",
            "in place",
            "SELECT",
        ),
        (f"{DERIVE} AS SELECT id, a + 1 AS a, b FROM s WHERE a > 0 EMIT CHANGES;", "in place", "SELECT"),
        (
            f"{DERIVE} AS SELECT id, a, b FROM s WHERE a > 0 PARTITION BY id EMIT CHANGES;",
            "in place",
            "PARTITION BY",
        ),
        (f"{DERIVE} AS SELECT id, b, a FROM s WHERE a > 0 EMIT CHANGES;", "refused", "SELECT"),
        (f"{DERIVE} AS SELECT id, a FROM s WHERE a > 0 EMIT CHANGES;", "refused", "SELECT"),
        (
            f"{DERIVE} AS SELECT id, a, p->y AS py, b FROM s WHERE a > 0 EMIT CHANGES;",
            "refused",
            "SELECT",
        ),
        (
            f"{DERIVE} AS SELECT id, CAST(a AS BIGINT) AS a, b FROM s WHERE a > 0 EMIT CHANGES;",
            "refused",
            "SELECT",
        ),
        (
            f"{DERIVE} WITH (KAFKA_TOPIC='other') AS SELECT id, a, b FROM s WHERE a > 0 EMIT CHANGES;",
            "refused",
            "KAFKA_TOPIC",
        ),
        (
            "CREATE OR REPLACE STREAM s (id VARCHAR KEY, a INT, b VARCHAR, p STRUCT<x INT, y VARCHAR>,"
            " c INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON');",
            "in place",
            "columns",
        ),
        (
            "CREATE OR REPLACE STREAM s (id VARCHAR KEY, a INT) WITH (KAFKA_TOPIC='s',"
            " VALUE_FORMAT='JSON');",
            "refused",
            "columns",
        ),
        (
            "CREATE OR REPLACE STREAM s (id VARCHAR KEY, a INT, b VARCHAR, p STRUCT<x INT, y VARCHAR>,"
            " t BIGINT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', TIMESTAMP='t');",
            "refused",
            "TIMESTAMP",
        ),
        (
            "CREATE OR REPLACE STREAM s (id VARCHAR KEY, a INT, b VARCHAR,"
            " p STRUCT<x INT, y VARCHAR, z INT>) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON');",
            "refused",
            "columns",
        ),
        ("ALTER STREAM s ADD COLUMN c INT;", "in place", "columns"),
        ("ALTER STREAM d ADD COLUMN c INT;", "refused", None),
        # tables by window: never
        (f"{COUNT} {BY_MINUTE} GROUP BY b EMIT CHANGES;", "refused", "WINDOW"),
        (f"{COUNT}, SUM(a) AS s {BY_MINUTE} GROUP BY b EMIT CHANGES;", "refused", "WINDOW"),
        # tables without a window: only the same again
        (
            "CREATE OR REPLACE TABLE t AS SELECT b, COUNT(*) AS n FROM s GROUP BY b EMIT CHANGES;",
            "unchanged",
            None,
        ),
        (
            "CREATE OR REPLACE TABLE t AS SELECT b, COUNT(*) AS n, SUM(a) AS s FROM s GROUP BY b"
            " EMIT CHANGES;",
            "refused",
            "SELECT",
        ),
        (
            "CREATE OR REPLACE TABLE t AS SELECT b, COUNT(*) AS n FROM s WHERE a > 0 GROUP BY b"
            " EMIT CHANGES;",
            "refused",
            "WHERE",
        ),
        (
            "CREATE OR REPLACE TABLE t AS SELECT b, COUNT(*) AS n FROM s GROUP BY b"
            " HAVING COUNT(*) > 1 EMIT CHANGES;",
            "refused",
            "HAVING",
        ),
        # second definitions
        ("CREATE STREAM d AS SELECT id, a FROM s EMIT CHANGES;", "refused", None),
        (
            "CREATE STREAM IF NOT EXISTS d AS SELECT id, a, b FROM s WHERE a > 0 EMIT CHANGES;",
            "unchanged",
            None,
        ),
        (
            "CREATE STREAM IF NOT EXISTS d AS SELECT id, a, b FROM s WHERE a > 9 EMIT CHANGES;",
            "unchanged",
            "WHERE",
        ),
        ("DROP STREAM s;", "refused", None),
        ("DROP STREAM IF EXISTS nothing;", "unchanged", None),
        ("DROP TABLE w;", "dropped", None),
    ],
)
def test_verdicts(text: str, verdict: str, clause: str | None) -> None:
    (step,) = plan(text).steps
    assert (str(step.impact.verdict), step.impact.clause) == (verdict, clause)


def test_a_refused_step_stops_the_plan_and_names_the_clause() -> None:
    made = plan(f"{DERIVE} AS SELECT id, b FROM s EMIT CHANGES;")
    with pytest.raises(PlanRefused, match=r"V001__m1\.sql:1:1: .*because of SELECT: Cannot upgrade"):
        made.refuse()
    plan("CREATE STREAM new AS SELECT id, b FROM s EMIT CHANGES;").refuse()


def test_dropped_and_made_again_is_rebuilt() -> None:
    drop, create = plan(
        "SET 'auto.offset.reset' = 'earliest'; DROP TABLE w;"
        f"CREATE TABLE w AS SELECT b, COUNT(*) AS n, SUM(a) AS s {BY_MINUTE} GROUP BY b EMIT CHANGES;"
    ).steps
    assert drop.impact.verdict is Verdict.DROPPED
    assert create.impact.verdict is Verdict.REBUILD
    assert data_sentence(create) == (
        "state is lost; reads S from the earliest offset; writes topic W, after the rows in it"
    )


@pytest.mark.parametrize(
    ("text", "data"),
    [
        (
            "CREATE STREAM n (a INT) WITH (KAFKA_TOPIC='new', PARTITIONS=1, VALUE_FORMAT='JSON');",
            "topic new is created",
        ),
        (
            "CREATE STREAM n (a INT) WITH (KAFKA_TOPIC='other', VALUE_FORMAT='JSON');",
            "declared over topic other, which stays as it is",
        ),
        (
            "INSERT INTO d SELECT id, a, b FROM s EMIT CHANGES;",
            "reads S from the server's default offset; adds rows to D",
        ),
        ("DROP TABLE w;", "dropped, and its query's state is lost; topic W is kept"),
        (
            "DROP TABLE w DELETE TOPIC;",
            "dropped, and its query's state is lost; topic W is deleted with all its rows",
        ),
    ],
)
def test_what_happens_to_data(text: str, data: str) -> None:
    (step,) = plan(text).steps
    assert data_sentence(step) == data


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("CREATE STREAM n AS SELECT id, a FROM s EMIT CHANGES;", "reversible"),
        (f"{DERIVE} AS SELECT id, a, b FROM s EMIT CHANGES;", "reversible"),
        (f"{DERIVE} AS SELECT id, a, b, p FROM s WHERE a > 0 EMIT CHANGES;", "irreversible"),
        ("DROP TABLE w;", "reversible with loss of state"),
        ("ALTER STREAM s ADD COLUMN c INT;", "irreversible"),
        ("INSERT INTO s (id) VALUES ('x');", "irreversible"),
        (
            "CREATE STREAM n (a INT) WITH (KAFKA_TOPIC='new', PARTITIONS=1, VALUE_FORMAT='JSON');"
            "INSERT INTO n (a) VALUES (1);",
            "reversible",
        ),
    ],
)
def test_whether_it_can_be_rolled_back(text: str, label: str) -> None:
    (made,) = plan(text).versions
    assert made.reversible == label


def test_what_cannot_be_read_is_left_to_the_server() -> None:
    foreign = made_by_query("F", "STREAM", "SELECT MINE(a => 1) FROM s;", (ServerColumn("X", "FOO"),))
    server = Server(
        sources={**SERVER.sources, "F": ServerSource("F", "STREAM", "F", "JSON", False)},
        queries={**SERVER.queries, **{each.id: each for each in foreign.write_queries}},
        topics=SERVER.topics,
        described={**SERVER.described, "F": foreign},
    )
    text = "CREATE STREAM n AS SELECT x FROM f EMIT CHANGES; DROP TABLE w;"
    steps = make_plan((migration(1, text),), Recorded(), server).steps
    assert [str(each.impact.verdict) for each in steps] == ["new", "dropped"]


def test_a_plan_rests_on_what_its_statements_name() -> None:
    text = "CREATE STREAM n AS SELECT id, a FROM s EMIT CHANGES;"
    basis = plan(text).basis
    assert plan(text).basis == basis
    altered = Description(**{**vars(BASE), "statement": BASE.statement.replace("A INTEGER", "A INT")})
    for name, same in (("S", False), ("W", True)):
        described = {**SERVER.described, name: altered}
        server = Server(SERVER.sources, SERVER.queries, SERVER.topics, described)
        assert (make_plan((migration(1, text),), Recorded(), server).basis == basis) is same


@pytest.mark.parametrize(
    "text",
    [
        "CREATE STREAM n (a INT) WITH (KAFKA_TOPIC='new', PARTITIONS=1, VALUE_FORMAT='JSON');",
        f"SET 'auto.offset.reset' = 'earliest'; {DERIVE} AS SELECT id, a, b, p FROM s EMIT CHANGES;",
        f"{COUNT}, SUM(a) AS s {BY_MINUTE} GROUP BY b EMIT CHANGES;",
        "DROP TABLE w DELETE TOPIC; INSERT INTO s (id) VALUES ('x');",
    ],
)
def test_a_plan_file_holds_the_plan_whatever_its_sentences_say(text: str, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(plan_file.to_json(plan(text), lambda step: f"reworded {step.record.number}")))
    assert plan_file.read(path) == plan(text)
    steps = json.loads(path.read_text())["migrations"][0]["steps"]
    assert [step["data"] for step in steps] == [f"reworded {number}" for number in range(1, len(steps) + 1)]
    assert [step["effect"] for step in steps] == [step.impact.effect for step in plan(text).steps]
