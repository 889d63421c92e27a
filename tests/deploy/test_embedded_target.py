"""What ksqlDB runs and the embedded server does not: no check says yes to what ``apply`` then refuses."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator

import pytest

from opensea_metrics.core.errors import SqlError
from opensea_metrics.deploy import cli, commands
from opensea_metrics.deploy.client import KsqlClient, KsqlError
from opensea_metrics.deploy.client.snapshot import catalog_of, look
from opensea_metrics.deploy.commands import ApplyChoice
from opensea_metrics.deploy.embedded import server
from opensea_metrics.deploy.migrations.errors import PlanRefused
from opensea_metrics.deploy.migrations.plan.impact import Verdict
from opensea_metrics.sql.language.catalog.changes import applied
from opensea_metrics.sql.language.lowering import scalars
from opensea_metrics.sql.language.statements.parser import parse_statement
from tests.deploy.stub import Canned, Stub, Write
from tests.deploy.test_apply import agreed, seen

RAW = """\
CREATE STREAM et_raw (id VARCHAR KEY, d DOUBLE, t BIGINT)
  WITH (KAFKA_TOPIC='et.raw', VALUE_FORMAT='JSON', PARTITIONS=1);
CREATE TABLE et_table (id VARCHAR PRIMARY KEY, name VARCHAR)
  WITH (KAFKA_TOPIC='et.table', VALUE_FORMAT='JSON', PARTITIONS=1);
CREATE STREAM et_flat AS SELECT id, d FROM et_raw EMIT CHANGES;
CREATE STREAM et_chosen AS SELECT id, d FROM et_flat WHERE d > 1 EMIT CHANGES;
CREATE TABLE et_counts WITH (PARTITIONS=1) AS
  SELECT id, COUNT(*) AS n FROM et_raw WINDOW TUMBLING (SIZE 1 HOUR) GROUP BY id EMIT CHANGES;
"""
TUMBLING = "WINDOW TUMBLING (SIZE 1 HOUR)"
ODD = "LEN(FORMAT_DATE(FROM_DAYS(1), 'b'))"
"""A number that only ksqlDB computes."""
FORMAT = "FORMAT_DATE with 'b' in its pattern"
"""The feature of ODD."""
CASES = {
    FORMAT: f"CREATE STREAM et_x AS SELECT id,\n    {ODD} AS d FROM et_raw EMIT CHANGES;",
    "COALESCE(STRING, ARRAY<STRING>)": (
        "CREATE STREAM et_x AS SELECT COALESCE(id, ARRAY[id]) AS a, id FROM et_raw EMIT CHANGES;"
    ),
    "the column N of ET_X (DECIMAL(50, 2) has more than DuckDB's 38 digits)": (
        "CREATE STREAM et_x (n DECIMAL(50, 2)) WITH (KAFKA_TOPIC='et.x', VALUE_FORMAT='JSON', PARTITIONS=1);"
    ),
    "ET_X (DuckDB cannot tell the fields `N` and `n` apart)": (
        "CREATE STREAM et_x (n INT, `n` INT) WITH (KAFKA_TOPIC='et.x', VALUE_FORMAT='JSON', PARTITIONS=1);"
    ),
    "the format AVRO": (
        "CREATE STREAM et_x (d DOUBLE) WITH (KAFKA_TOPIC='et.x', VALUE_FORMAT='AVRO', PARTITIONS=1);"
    ),
    "ASSERT SCHEMA": "ASSERT SCHEMA SUBJECT 'et.x-value';",
    "ALTER SYSTEM": "ALTER SYSTEM 'auto.offset.reset'='latest';",
    "a HEADER('key') column": (
        "CREATE STREAM et_x (n INT, h BYTES HEADER('k')) WITH (KAFKA_TOPIC='et.x', VALUE_FORMAT='JSON', PARTITIONS=1);"
    ),
    "a connector": "CREATE SINK CONNECTOR et_x WITH ('connector.class' = 'x');",
}
"""Statements by the feature that the embedded server does not have."""
PLACES = {FORMAT: "2:35", "COALESCE(STRING, ARRAY<STRING>)": "1:30"}
"""Line and column of a feature that does not stand at the beginning of the statement."""




@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KsqlClient]:
    """A client of an embedded server on which RAW is applied as version 1."""
    root = tmp_path_factory.mktemp("first")
    (root / "migrations").mkdir()
    (root / "settings.yml").write_text("{}")
    (root / "migrations/V001__raw.sql").write_text(RAW)
    with server.running(tmp_path_factory.mktemp("data")) as url:
        made = KsqlClient(url)
        commands.apply(made, root)
        yield made


@pytest.mark.parametrize("feature", CASES)
def test_no_check_says_yes_to_what_apply_refuses(
    client: KsqlClient, write_project: Write, feature: str
) -> None:
    before = seen(client)
    root = write_project({"V001__raw.sql": RAW, "V002__more.sql": CASES[feature]})
    words = f"{feature} is not supported by the embedded server. ksqlDB supports it."
    place = root / "migrations" / f"V002__more.sql:{PLACES.get(feature, '1:1')}"
    (found,) = commands.validate(root).unsupported
    assert str(found).startswith(f"{place}: {words}")
    (step,) = commands.plan(client, root).steps
    assert step.impact.verdict is Verdict.REFUSED
    assert words in str(step.impact.reason)
    for refusing in (commands.dry_run, commands.apply):
        with pytest.raises(PlanRefused, match=re.escape(words)) as error:
            refusing(client, root)
        assert str(place) in str(error.value)
    assert seen(client) == before


VALUES = "CREATE STREAM et_x (d DATE, n INT) WITH (KAFKA_TOPIC='et.x', VALUE_FORMAT='JSON', PARTITIONS=1);\n"


@pytest.mark.parametrize(
    ("insert", "place", "words"),
    [
        ("(d) VALUES\n  ('2020-99-99');", "3:4", "Expected type DATE for field `D` but got STRING(2020-99-99)"),
        ("(d, n) VALUES (NULL, 2147483648);", "2:39", "Expected type INTEGER for field `N` but got BIGINT(2147483648)"),
        ("(n) VALUES (1 / 0);", "2:30", "ksqlDB cannot compute (1 / 0): the divisor is zero"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_before_anything_is_sent(
    client: KsqlClient, write_project: Write, insert: str, place: str, words: str
) -> None:
    before = seen(client)
    root = write_project({"V001__raw.sql": RAW, "V002__more.sql": f"{VALUES}INSERT INTO et_x {insert}"})
    message = f"{root / 'migrations' / 'V002__more.sql'}:{place}: Failed to insert values into 'ET_X'. {words}"
    with pytest.raises(SqlError, match=re.escape(message)):
        commands.validate(root)
    for refusing in (commands.plan, commands.dry_run, commands.apply):
        with pytest.raises(SqlError, match=re.escape(message)):
            refusing(client, root)
    assert seen(client) == before


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        (
            "CREATE STREAM et_x (a INT) WITH (KAFKA_TOPIC='et.raw', VALUE_FORMAT='JSON',\n  PARTITIONS=5);",
            "1:1",
            "A Kafka topic with the name 'et.raw' already exists",
        ),
        ("SET 'nope'='1';\nCREATE STREAM et_x AS SELECT id, d FROM et_raw;", "1:1", "Unknown property: nope"),
        ("SET 'auto.offset.reset'='nope';", "1:1", "Invalid value nope for configuration auto.offset.reset"),
        (
            "CREATE STREAM et_x AS SELECT\n STRUCT(x:=1,x:=2) AS v FROM et_raw;",
            "2:2",
            "Duplicate field names found in STRUCT",
        ),
        ("CREATE STREAM et_x AS SELECT -id AS v FROM et_raw;", "1:31", "Object of type STRING cannot be converted"),
        (
            "CREATE STREAM et_x AS SELECT CAST(d AS DECIMAL(5,9)) AS v FROM et_raw;",
            "1:35",
            "DECIMAL precision must be >= scale: DECIMAL(5,9)",
        ),
        (
            "CREATE STREAM et_x AS SELECT CAST(d AS DATE) AS v FROM et_raw;",
            "1:35",
            "Cast of DOUBLE to DATE is not supported.",
        ),
    ],
)
def test_no_check_says_yes_to_what_ksqldb_refuses(
    client: KsqlClient, write_project: Write, text: str, place: str, words: str
) -> None:
    before = seen(client)
    root = write_project({"V001__raw.sql": RAW, "V002__more.sql": text})
    message = re.escape(f"{root / 'migrations' / 'V002__more.sql'}:{place}: {words}")
    with pytest.raises(SqlError, match=message):
        commands.validate(root)
    for refusing in (commands.plan, commands.dry_run, commands.apply):
        with pytest.raises(SqlError, match=message):
            refusing(client, root)
    with pytest.raises(KsqlError, match=re.escape(words)) as caught:
        client.ask(text)
    assert not any(word in str(caught.value) for word in ("DuckDB", "Binder", "ksqlDB supports it"))
    assert seen(client) == before


def test_a_plan_knows_the_topics_of_the_server(client: KsqlClient, write_project: Write) -> None:
    """Whoever made them: the files of this project say nothing of et.raw."""
    text = "CREATE OR REPLACE STREAM et_raw (id VARCHAR KEY, d DOUBLE, t BIGINT, u INT) WITH (KAFKA_TOPIC='et.raw',"
    root = write_project({"V001__raw.sql": RAW, "V002__more.sql": f"{text} VALUE_FORMAT='JSON', PARTITIONS=1);"})
    assert commands.plan(client, root).steps[0].impact.verdict is Verdict.IN_PLACE
    catalog = catalog_of(look(client, ["ET_RAW"]), with_queries=False)
    with pytest.raises(SqlError, match=r"expects 3 partitions \(topic has 1\)"):
        applied(catalog, parse_statement(f"{text} VALUE_FORMAT='JSON', PARTITIONS=3);"), 9)


@pytest.mark.parametrize(
    ("properties", "words"),
    [
        ({"nope": "1"}, "Not recognizable as ksql, streams, consumer, or producer property: 'nope'"),
        (
            {"auto.offset.reset": "nope"},
            "Failed to coerce type of value 'nope' for key 'auto.offset.reset'\nCaused by: Invalid value nope for"
            " configuration auto.offset.reset: String must\n\tbe one of: latest, earliest, none",
        ),
        ({"auto.offset.reset": "none"}, "'none' is not valid for this property within KSQL"),
    ],
)
def test_properties_of_a_request_are_checked(client: KsqlClient, properties: dict[str, str], words: str) -> None:
    """Also those of a request that starts no query, as on a real 7.9.1."""
    before = seen(client)
    with pytest.raises(KsqlError, match=re.escape(words)):
        client.execute(VALUES, properties)
    assert seen(client) == before


def test_a_dry_run_computes_values_that_only_the_server_knows(client: KsqlClient, write_project: Write) -> None:
    before = seen(client)
    more = f"{VALUES}INSERT INTO et_x (n) VALUES (1);\nINSERT INTO et_x (d) VALUES (CONCAT('2020-', '99-99'));"
    root = write_project({"V001__raw.sql": RAW, "V002__more.sql": more})
    with pytest.raises(PlanRefused, match=r"V002__more\.sql:3:1: the server would refuse statement 3 of version 2"):
        commands.dry_run(client, root)
    root = write_project({"V001__raw.sql": RAW, "V002__more.sql": more.replace("99-99", "05-26")})
    commands.dry_run(client, root)
    assert seen(client) == before


def test_a_plan_names_every_statement_that_the_server_cannot_run(
    client: KsqlClient, write_project: Write
) -> None:
    text = f"CREATE STREAM et_x AS SELECT id, {ODD} AS d FROM et_raw EMIT CHANGES;\n"
    text += "CREATE STREAM et_y AS SELECT id, d * 2 AS d FROM et_x EMIT CHANGES;\n"
    text += "CREATE TABLE et_z AS SELECT id, COALESCE(id, ARRAY[id]) AS a, COUNT(*) AS d FROM et_y"
    text += " GROUP BY id EMIT CHANGES;"
    root = write_project({"V001__raw.sql": RAW, "V002__more.sql": text})
    first, second, third = commands.plan(client, root).steps
    assert f"V002__more.sql:1:64: {FORMAT} is not supported" in str(first.impact.reason)
    assert second.impact.verdict is Verdict.NEW
    assert "V002__more.sql:3:33: COALESCE(STRING, ARRAY<STRING>) is not supported" in str(third.impact.reason)


@pytest.mark.parametrize("feature", [f for f in CASES if f not in ("the format AVRO", "ASSERT SCHEMA")])
def test_the_server_itself_refuses_it_in_a_dry_run(client: KsqlClient, feature: str) -> None:
    """Whoever sends statements together, as a dry run does, learns of it before the first is carried out."""
    before = seen(client)
    words = f"{feature} is not supported by the embedded server."
    if feature == "a connector":
        words = "Could not connect to the server."
    with pytest.raises(KsqlError, match=re.escape(words)):
        client.execute(f"CREATE STREAM et_first AS SELECT id, d FROM et_raw EMIT CHANGES; {CASES[feature]}")
    assert seen(client) == before


def test_a_statement_that_only_duckdb_can_refuse_is_refused_before_the_first_is_carried_out(
    client: KsqlClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(scalars.DUCKDB, "UCASE", "no_such_function({0})")
    before = seen(client)
    text = "CREATE STREAM et_a AS SELECT id, d FROM et_raw EMIT CHANGES;"
    text += "CREATE TABLE et_b AS SELECT id, UCASE(MAX(id)) AS u FROM et_raw GROUP BY id EMIT CHANGES;"
    words = r"server failed \(error [0-9a-f]{8};.*a fault of the embedded server"
    with pytest.raises(KsqlError, match=words) as caught:
        client.execute(text)
    assert caught.value.error_code == 50000
    assert not any(word in str(caught.value) for word in ("Catalog", "no_such_function", "ksqlDB supports it"))
    assert seen(client) == before


def test_connectors_are_answered_as_a_server_without_connect_does(client: KsqlClient) -> None:
    with pytest.raises(KsqlError, match=r"Could not connect to the server\."):
        client.ask("SHOW CONNECTOR PLUGINS;")


def test_an_unknown_property_is_refused_before_the_first_is_carried_out(client: KsqlClient) -> None:
    before = seen(client)
    with pytest.raises(KsqlError, match=r"Unknown property: no\.such"):
        client.execute(
            "CREATE STREAM et_a AS SELECT id, d FROM et_raw EMIT CHANGES; SET 'no.such' = '1';"
        )
    assert seen(client) == before


def test_a_stream_over_a_derived_stream_is_not_replaced_in_place(
    client: KsqlClient, write_project: Write
) -> None:
    text = "CREATE OR REPLACE STREAM et_chosen AS SELECT id, d FROM et_flat WHERE d > 2 EMIT CHANGES;"
    root = write_project({"V001__raw.sql": RAW, "V002__more.sql": text})
    assert commands.validate(root).unsupported == ()  # it may be carried out side by side
    words = "CREATE OR REPLACE of a stream over ET_FLAT, which a query makes, is not supported by the"
    for refusing in (commands.dry_run, commands.apply):
        with pytest.raises(PlanRefused, match=f"because of SELECT: {words} embedded server"):
            refusing(client, root)
    with pytest.raises(KsqlError, match=words):
        client.execute(text)
    made = commands.plan(client, root, choice=ApplyChoice(side_by_side=True))
    assert {each.impact.verdict for each in made.steps} == {Verdict.SIDE_BY_SIDE, Verdict.DROPPED}


def test_side_by_side_is_no_way_around_what_the_server_cannot_run(
    client: KsqlClient, write_project: Write
) -> None:
    text = f"""\
CREATE OR REPLACE TABLE et_counts WITH (PARTITIONS=1) AS
  SELECT id, AVG(d) * {ODD} AS n FROM et_raw {TUMBLING} GROUP BY id EMIT CHANGES;"""
    root = write_project({"V001__raw.sql": RAW, "V002__more.sql": text})
    for choice in (ApplyChoice(), ApplyChoice(side_by_side=True)):
        with pytest.raises(PlanRefused, match=f"{FORMAT} is not supported by the embedded server") as error:
            commands.apply(client, root, choice=choice)
        assert "side-by-side" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ((), 1),  # the default target is the embedded server
        (("--offline",), 1),
        (("--server", "embedded"), 1),
        (("--server", "http://127.0.0.1:1", "--offline"), 0),
    ],
)
def test_validate_knows_its_target(
    client: KsqlClient,
    write_project: Write,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    code: int,
) -> None:
    monkeypatch.chdir(write_project({"V001__raw.sql": RAW, "V002__more.sql": CASES[FORMAT]}))
    monkeypatch.delenv("KSQLDB_URL", raising=False)
    given = [client.url if each == "embedded" else each for each in options]
    monkeypatch.setattr(sys, "argv", ["opensea-metrics", "validate", "--sql", ".", *given])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == code
    out, err = capsys.readouterr()
    words = f"migrations/V002__more.sql:2:35: {FORMAT} is not supported by the embedded server. ksqlDB supports it."
    if code:
        assert (out, err.splitlines()[0]) == ("", f"error: {words}")
        assert "--server URL or KSQLDB_URL" in err
    else:
        assert out.splitlines()[0] == f"note: {words}"
        assert out.splitlines()[1].endswith("in .: valid")


def test_a_real_server_is_not_the_embedded_one(stub: Stub) -> None:
    client = stub.will_reply(Canned.recorded("info"))
    assert not client.info().is_embedded


def test_the_embedded_server_is_known_by_its_reply(client: KsqlClient) -> None:
    assert client.info().is_embedded


@pytest.mark.skipif("KSQLDB_URL" not in os.environ, reason="KSQLDB_URL is not set")
def test_a_real_server_takes_what_the_embedded_one_does_not(write_project: Write) -> None:
    client = KsqlClient(os.environ["KSQLDB_URL"])
    # These need a schema registry, Connect, or ksql.runtime.feature.shared.enabled.
    without = ("the format AVRO", "ASSERT SCHEMA", "a connector", "ALTER SYSTEM")
    files = {
        f"V{number:03}__more.sql": text.replace("et_x", f"et_x{number}")
        for number, (feature, text) in enumerate(CASES.items(), 2)
        if feature not in without
    }
    root = write_project({"V001__raw.sql": RAW, **files})
    try:
        commands.dry_run(client, root)
        commands.apply(client, root)
    finally:
        commands.rollback(client, agreed, root, target=0)
