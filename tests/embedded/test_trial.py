"""Runs statements over records without a server."""

from __future__ import annotations

import pytest

from opensea_metrics.core.errors import SqlError
from opensea_metrics.deploy.embedded.trial import TrialRecord, run

STREAM = "CREATE STREAM s (k VARCHAR KEY, v INT) WITH (KAFKA_TOPIC='in', VALUE_FORMAT='JSON');"
TABLE = "CREATE TABLE t AS SELECT k, SUM(v) AS n FROM s WINDOW TUMBLING (SIZE 1 SECONDS) GROUP BY k;"


def record(value: int, timestamp: int) -> TrialRecord:
    return TrialRecord("in", f'{{"V": {value}}}', '{"K": "a"}', timestamp)


def test_rows_of_a_sink() -> None:
    result = run([STREAM, TABLE], [record(1, 5), record(4, 15), record(7, 1_000)], {"in": 3})
    window = {"K": "a", "WINDOWSTART": 0, "WINDOWEND": 1_000}
    assert result.refusal is None
    assert result.failures == {}
    assert result.rows == {
        "T": [
            window | {"N": 5, "ROWTIME": 15},
            window | {"WINDOWSTART": 1_000, "WINDOWEND": 2_000, "N": 7, "ROWTIME": 1_000},
        ]
    }


def test_a_set_applies_to_later_statements() -> None:
    insert = "INSERT INTO s (ROWTIME, k, v) VALUES (5, 'a', 1);"
    statements = [STREAM, insert, TABLE]
    assert len(run(statements, topics={"in": 1}).rows["T"]) == 1
    assert run(["SET 'auto.offset.reset' = 'latest';", *statements], topics={"in": 1}).rows["T"] == []


def test_a_refusal_ends_the_run() -> None:
    result = run([STREAM, TABLE], [record(1, 5)])
    assert result.refusal is not None
    assert result.refusal.statement == STREAM
    assert result.refusal.status == 400
    assert result.refusal.message.startswith("Topic 'in' does not exist.")
    assert result.rows == {}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (TrialRecord("other", "{}"), "no stream or table reads the topic other"),
        (TrialRecord("in", "{}", headers=(("h", b"1"),)), "does not store headers of inserted records"),
    ],
)
def test_a_record_that_the_server_cannot_store(given: TrialRecord, message: str) -> None:
    with pytest.raises(SqlError, match=message):
        run([STREAM], [given], {"in": 2})
