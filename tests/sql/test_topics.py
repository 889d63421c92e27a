"""Statements over one topic agree on its partitions: each outcome was observed on a real 7.9.1."""

from __future__ import annotations

import pytest

from opensea_metrics.core.errors import SqlError
from opensea_metrics.sql.language.catalog.catalog import Catalog
from opensea_metrics.sql.language.catalog.changes import applied
from opensea_metrics.sql.language.statements.parser import parse_script

R = "CREATE STREAM r (a INT) WITH (KAFKA_TOPIC='r', VALUE_FORMAT='JSON', PARTITIONS=2);"
Z = "CREATE STREAM z (a INT) WITH (KAFKA_TOPIC='z', VALUE_FORMAT='JSON', PARTITIONS=1);"
OPEN = "CREATE STREAM r (a INT) WITH (KAFKA_TOPIC='r', VALUE_FORMAT='JSON');"


def over(topic: str, more: str = "", begin: str = "CREATE STREAM o") -> str:
    return f"{begin} (a INT) WITH (KAFKA_TOPIC='{topic}', VALUE_FORMAT='JSON'{more});"


def after(text: str) -> Catalog:
    catalog = Catalog()
    for number, statement in enumerate(parse_script(text, "V001__x.sql")):
        catalog = applied(catalog, statement, number)
    return catalog


@pytest.mark.parametrize(
    ("last", "numbers"),
    [
        (over("r", ", PARTITIONS=5"), "expects 5 partitions (topic has 2)"),
        ("CREATE STREAM o WITH (KAFKA_TOPIC='r', PARTITIONS=5) AS SELECT a FROM r;", "5 partitions (topic has 2)"),
        ("CREATE STREAM o WITH (KAFKA_TOPIC='z') AS SELECT a FROM r;", "expects 2 partitions (topic has 1)"),
        (
            "CREATE TABLE o WITH (KAFKA_TOPIC='z') AS SELECT a, COUNT(*) AS n FROM r GROUP BY a;",
            "expects 2 partitions (topic has 1)",
        ),
        (f"CREATE STREAM o AS SELECT a FROM r;{over('O', ', PARTITIONS=5', 'CREATE STREAM p')}", "(topic has 2)"),
        (over("r", ", PARTITIONS=3", "CREATE OR REPLACE STREAM r"), "expects 3 partitions (topic has 2)"),
        (over("r", ", PARTITIONS=3", "CREATE STREAM IF NOT EXISTS r"), "expects 3 partitions (topic has 2)"),
        (f"DROP STREAM r;{over('r', ', PARTITIONS=3', 'CREATE STREAM r')}", "expects 3 partitions (topic has 2)"),
        (f"{over('q', ', PARTITIONS=1, REPLICAS=1')}{over('q', ', REPLICAS=3', 'CREATE STREAM p')}", "3 replication"),
    ],
)
def test_a_statement_that_contradicts_an_earlier_one_is_refused(last: str, numbers: str) -> None:
    with pytest.raises(SqlError) as caught:
        after(R + Z + last)
    assert caught.value.message.startswith("A Kafka topic with the name '")
    assert numbers in caught.value.message
    assert caught.value.place is not None
    assert caught.value.place.column > len(R + Z)
    assert caught.value.code == 50000


@pytest.mark.parametrize(
    "text",
    [
        R + over("r"),
        R + over("r", ", PARTITIONS=2"),
        R + over("r", ", PARTITIONS=2, REPLICAS=-1"),
        OPEN + over("r", ", PARTITIONS=5"),  # nobody has said yet how many the topic has
        f"{OPEN}{Z}CREATE STREAM o WITH (KAFKA_TOPIC='z') AS SELECT a FROM r;",
        f"{R}{Z}CREATE STREAM o WITH (KAFKA_TOPIC='z', PARTITIONS=1) AS SELECT a FROM r;",
        f"{R}DROP STREAM r DELETE TOPIC;{over('r', ', PARTITIONS=3')}",
        over("r", ", PARTITIONS=2", "CREATE OR REPLACE STREAM r") + over("r", "", "CREATE OR REPLACE STREAM r"),
    ],
)
def test_statements_that_agree_are_taken(text: str) -> None:
    assert after(text).sources
