"""The client against recorded replies of ksqlDB 7.9.1, and against bad servers."""

import doctest

import pytest

from opensea_metrics.deploy import reply_columns
from opensea_metrics.deploy.client import (
    BadAddress,
    GuardFailed,
    KsqlClient,
    KsqlError,
    OutcomeUnknown,
    ServerUnreachable,
    StatementFailed,
)
from opensea_metrics.deploy.client.rows import Objects
from opensea_metrics.deploy.reply_columns import ServerColumn, columns_of
from tests.deploy.stub import Canned, Stub

recorded = Canned.recorded
DESCRIBED = Canned.json([{"@type": "sourceDescription"}])


def test_info(stub: Stub) -> None:
    found = stub.will_reply(recorded("info")).info()
    assert (found.version, found.service_id) == ("7.9.1", "ksqlreal_")


def test_a_created_query_has_an_id(stub: Stub) -> None:
    client = stub.will_reply(recorded("create_stream_as_select"))
    (result,) = client.execute("CREATE STREAM …;", {"auto.offset.reset": "earliest"})
    assert (result.status, result.query_id) == ("SUCCESS", "CSAS_SALES_101")
    path, body = stub.requests[0]
    assert path == "/ksql"
    assert body["streamsProperties"] == {"auto.offset.reset": "earliest"}


def command(status: str, query_id: str | None = None) -> dict[str, object]:
    return {"status": status, "message": "m", "queryId": query_id}


def accepted_status(status: str) -> dict[str, object]:
    return {
        "@type": "currentStatus",
        "statementText": "s",
        "commandId": "stream/`A`/create",
        "commandStatus": command(status),
    }


def accepted(status: str) -> Canned:
    return Canned.json([accepted_status(status)])


def test_a_slow_command_is_awaited(stub: Stub) -> None:
    later = (Canned.json(command("EXECUTING")), Canned.json(command("SUCCESS", "CSAS_A_1")))
    (result,) = stub.will_reply(accepted("QUEUED"), *later).execute("s;")
    assert result.query_id == "CSAS_A_1"
    assert [path for path, _ in stub.requests] == ["/ksql", *["/status/stream/%60A%60/create"] * 2]


def test_a_command_that_fails_later(stub: Stub) -> None:
    client = stub.will_reply(accepted("EXECUTING"), Canned.json(command("ERROR")))
    with pytest.raises(StatementFailed, match="m"):
        client.execute("s;")


def test_a_command_that_failed_at_once(stub: Stub) -> None:
    with pytest.raises(StatementFailed, match="m"):
        stub.will_reply(accepted("ERROR")).execute("s;")


def test_a_command_that_never_ends(stub: Stub) -> None:
    client = stub.will_reply(accepted("QUEUED"), *[Canned.json(command("EXECUTING"))] * 50)
    client.patience = 0.5
    with pytest.raises(OutcomeUnknown, match="still EXECUTING"):
        client.execute("s;")


def test_a_statement_without_effect(stub: Stub) -> None:
    (result,) = stub.will_reply(recorded("warn_if_not_exists")).execute("s;")
    assert (result.status, result.query_id) == ("WARNING", None)


def test_the_newest_command_is_awaited_by_what_follows(stub: Stub) -> None:
    client = stub.will_reply(
        recorded("create_stream_as_select"), DESCRIBED, recorded("show_streams")
    )
    client.execute("CREATE STREAM …;")
    client.under("L").execute("INSERT INTO s (a) VALUES (1);")
    client.streams()
    bodies = [body for _, body in stub.requests]
    assert [each.get("commandSequenceNumber") for each in bodies] == [None, 102, 102]


def test_a_server_that_has_not_caught_up_with_another_is_waited_for(stub: Stub) -> None:
    client = stub.will_reply(recorded("err_command_sequence_timeout"), recorded("show_streams"))
    assert client.streams()


def test_an_empty_comment_does_not_swallow_the_next_line(stub: Stub) -> None:
    """A 7.9.1 reads `--`, the end of its line and the whole next line as one comment."""
    text = "CREATE STREAM `a--\n` AS SELECT '--\n' AS b -- c\n--\nFROM s /*--\n*/--\n\n;"
    stub.will_reply(recorded("create_stream_as_select")).execute(text)
    assert stub.requests[0][1]["ksql"] == (
        "CREATE STREAM `a--\n` AS SELECT '--\n' AS b -- c\n-- \nFROM s /*--\n*/-- \n\n;"
    )


def test_a_guarded_statement(stub: Stub) -> None:
    client = stub.will_reply(
        Canned.json([{"@type": "sourceDescription"}, accepted_status("SUCCESS")]),
        recorded("err_describe_unknown"),
        recorded("err_already_exists"),
    )
    (result,) = client.under("L").execute("CREATE …;")
    assert result.status == "SUCCESS"
    assert stub.requests[0][1]["ksql"] == "DESCRIBE `L`; CREATE …;"
    with pytest.raises(GuardFailed):
        client.under("NOTHING_HERE").execute("CREATE …;")
    with pytest.raises(KsqlError, match="already exists"):
        client.under("L").execute("CREATE …;")


def test_how_far_a_query_has_read(stub: Stub) -> None:
    found = stub.will_reply(recorded("describe_extended")).describe("VOL_CHG", extended=True)
    assert (found.window, found.value_format, found.partitions) == ("TUMBLING", "JSON", 1)
    assert found.statement.startswith("CREATE TABLE VOL_CHG WITH (CLEANUP_POLICY=")
    assert [(each.topic, each.end, each.consumed) for each in found.offsets[:2]] == [
        ("ssrc", 163, 163),
        ("ssrc", 166, 166),
    ]
    assert found.offsets[0].group.endswith("query_CTAS_VOL_CHG_3")
    assert len(found.offsets) == 4


def test_queries_ask_for_the_form_that_is_read(stub: Stub) -> None:
    """ksqlDB 7.9.1 replies otherwise, if they do not."""
    stub.will_reply(recorded("pull_scan_old_query")).pull("SELECT …;")
    assert stub.accepted == ["application/vnd.ksql.v1+json"]


def test_a_key_that_is_not_there_yet_is_waited_for(stub: Stub) -> None:
    reason = (
        "Error starting pull query: Materialized data for key ['K']-Optional.empty is not available"
        " yet. Please try again later."
    )
    late = Canned.json({"@type": "statement_error", "error_code": 40001, "message": reason}, 400)
    assert stub.will_reply(late, recorded("pull_scan_old_query")).pull("SELECT …;")


def test_a_refusal(stub: Stub) -> None:
    with pytest.raises(KsqlError, match="same name already exists") as caught:
        stub.will_reply(recorded("err_already_exists")).execute("s;")
    assert (caught.value.status, caught.value.error_code) == (400, 40001)


def test_a_statement_is_sent_once(stub: Stub) -> None:
    with pytest.raises(KsqlError, match="Could not write the statement") as caught:
        stub.will_reply(recorded("err_command_runner_busy")).execute("s;")
    assert caught.value.status == 500
    assert len(stub.requests) == 1


@pytest.mark.parametrize(
    "reply",
    [
        Canned(502, b"<html>Bad Gateway</html>"),
        Canned(200, b"[{", cut=True),
        Canned(200, b""),
        Canned(200, b"[]", delay=3),
    ],
    ids=["a proxy's page", "cut off", "empty", "too late"],
)
def test_an_unusable_answer_leaves_the_outcome_open(stub: Stub, reply: Canned) -> None:
    with pytest.raises(OutcomeUnknown):
        stub.will_reply(reply).execute("s;")
    assert len(stub.requests) == 1


@pytest.mark.parametrize(
    "text",
    [
        "INSERT INTO s (a) VALUES ('; SELECT');",
        "-- SELECT;\nSET 'a'='b'; INSERT INTO s VALUES (1);;",
        "SET 'a'='b';",
        "UNSET 'a';",
        "DEFINE a='b';",
        "DEFINE a='b'; UNDEFINE a;",
    ],
)
def test_statements_without_an_entity(stub: Stub, text: str) -> None:
    """As ksqlDB 7.9.1 replies to each of these."""
    assert stub.will_reply(Canned.json([])).execute(text) == ()
    assert stub.will_reply(DESCRIBED).under("L").execute(text) == ()
    with pytest.raises(OutcomeUnknown, match="it has 0 entities where ksqlDB has"):
        stub.will_reply(Canned.json([])).under("L").execute(text)


def test_a_warning_of_undefine(stub: Stub) -> None:
    reply = Canned.json([{"@type": "warning_entity", "statementText": "UNDEFINE a;", "message": "m"}])
    (result,) = stub.will_reply(reply).execute("UNDEFINE a;")
    assert result.status == "WARNING"


@pytest.mark.parametrize(
    "text",
    ["CREATE STREAM s AS SELECT 'INSERT' AS x FROM t;", "INSERT INTO s SELECT * FROM t;", "DROP STREAM `INSERT`;"],
)
def test_an_empty_reply_where_ksqldb_has_an_entity(stub: Stub, text: str) -> None:
    with pytest.raises(OutcomeUnknown, match="it has 0 entities where ksqlDB has 1"):
        stub.will_reply(Canned.json([])).execute(text)


def test_a_state_that_ksqldb_does_not_have(stub: Stub) -> None:
    with pytest.raises(OutcomeUnknown, match="'status' is 'DONE', which ksqlDB does not have"):
        stub.will_reply(accepted("DONE")).execute("s;")


def test_what_only_reads_is_repeated(stub: Stub) -> None:
    client = stub.will_reply(
        recorded("err_command_sequence_timeout"), Canned(502, b"?"), recorded("show_streams")
    )
    assert {each.name for each in client.streams()} >= {"SSRC", "S_FIN"}
    assert len(stub.requests) == 3


def test_describe(stub: Stub) -> None:
    found = stub.will_reply(recorded("describe_table")).describe("VOL_CHG")
    assert found.columns[0] == ServerColumn("COLL", "STRING", key=True)
    assert [each.id for each in found.write_queries] == ["CTAS_VOL_CHG_3"]
    assert stub.requests[0][1]["ksql"] == "DESCRIBE `VOL_CHG`;"


def test_queries(stub: Stub) -> None:
    found = {each.id: each for each in stub.will_reply(recorded("show_queries")).queries()}
    assert found["CTAS_TOP_B_17"].sinks == ("TOP_B",)


def test_pull(stub: Stub) -> None:
    rows = stub.will_reply(recorded("pull_scan_old_query")).pull("SELECT * FROM vol_chg;")
    assert rows[0] == {
        "COLL": "azuki",
        "WINDOWSTART": 1795482720000,
        "WINDOWEND": 1795482780000,
        "CNAME": "azuki",
        "WS": 1795482720000,
        "WE": 1795482780000,
        "N": 9,
        "VOL": 292.60999999999996,
    }


def test_a_pull_query_waits_for_its_table(stub: Stub) -> None:
    message = "Cannot determine which host contains the required partitions to serve the query."
    busy = Canned.json({"@type": "generic_error", "error_code": 40001, "message": message}, 400)
    assert stub.will_reply(busy, busy, recorded("pull_scan_old_query")).pull("SELECT …;")


def test_a_pull_query_that_is_wrong_is_not_repeated(stub: Stub) -> None:
    with pytest.raises(KsqlError, match="NOPE does not exist"):
        stub.will_reply(recorded("err_old_query_unknown")).pull("SELECT * FROM nope;")
    assert len(stub.requests) == 1


def test_an_error_after_rows(stub: Stub) -> None:
    body = (
        b'[{"header":{"queryId":"q","schema":"`A` BIGINT"}},\n{"row":{"columns":[1]}},\n'
        b'{"errorMessage":{"@type":"generic_error","error_code":50000,"message":"broken"}}]'
    )
    with pytest.raises(KsqlError, match="broken"):
        stub.will_reply(*[Canned(200, body)] * 3).pull("SELECT …;")  # tried three times


def test_push_ends_with_its_limit(stub: Stub) -> None:
    rows = list(stub.will_reply(recorded("push_old_query")).push("SELECT … EMIT CHANGES LIMIT 3;"))
    assert [row["ID"] for row in rows] == ["e4", "e0", "e5"]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_chunks_may_end_anywhere(size: int) -> None:
    rows = '{"row":{"columns":["Ä€🐵, ]", null]}},\n\n{"finalMessage":"x"}]\n'
    text = f'[{{"header":{{}}}},\n{rows}'.encode()
    chunks = (text[at : at + size] for at in range(0, len(text), size))
    objects = Objects()
    assert [each for chunk in chunks for each in objects.feed(chunk)] == [
        {"header": {}},
        {"row": {"columns": ["Ä€🐵, ]", None]}},
        {"finalMessage": "x"},
    ]


def test_columns_with_odd_names_and_nested_types() -> None:
    schema = "`a, ``b` STRING KEY, `C` MAP<STRING, DECIMAL(10, 2)>, `D` STRUCT<`x<` INTEGER>"
    assert columns_of(schema) == (
        ServerColumn("a, `b", "STRING", key=True),
        ServerColumn("C", "MAP<STRING, DECIMAL(10, 2)>"),
        ServerColumn("D", "STRUCT<`x<` INTEGER>"),
    )


def test_an_unreachable_server_is_named_without_its_password() -> None:
    client = KsqlClient("http://user:secret@127.0.0.1:1/")
    with pytest.raises(ServerUnreachable) as caught:
        client.info()
    assert "http://127.0.0.1:1" in str(caught.value)
    assert "secret" not in str(caught.value) + repr(client)


@pytest.mark.parametrize("url", ["ftp://x", "localhost:8088", "http://", ""])
def test_a_url_that_is_none(url: str) -> None:
    with pytest.raises(BadAddress):
        KsqlClient(url)


def test_healthcheck(stub: Stub) -> None:
    assert stub.will_reply(Canned.json({"isHealthy": True})).healthcheck()
    assert not stub.will_reply(Canned.json({"isHealthy": False}, 503)).healthcheck()
    assert not KsqlClient("http://127.0.0.1:1").healthcheck()


def test_the_examples_in_docstrings() -> None:
    result = doctest.testmod(reply_columns)
    assert (result.failed, result.attempted) == (0, 2)
