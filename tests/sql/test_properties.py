"""SET and UNSET: names and values that ksqlDB takes, as observed on a real 7.9.1."""

from __future__ import annotations

import pytest

from opensea_metrics.core.errors import SqlError
from opensea_metrics.sql.language.catalog.catalog import Catalog
from opensea_metrics.sql.language.catalog.changes import applied
from opensea_metrics.sql.language.statements.parser import parse_statement
from opensea_metrics.sql.language.statements.properties import reset_of

TAKEN = [
    "SET 'ksql.functions.f.x' = '1';",
    "SET 'ksql.streams.__emit.interval.ms.kstreams.windowed.aggregation' = '1';",
    "SET 'auto.offset.reset'='latest';", "SET 'ksql.streams.auto.offset.reset'='earliest';",
    "SET 'num.stream.threads'='-1';", "SET 'processing.guarantee'='exactly_once_v2';", "SET 'ksql.service.id'='x';",
    "SET 'ksql.persistent.prefix'='';", "SET 'ksql.query.pull.table.scan.enabled'='true';",
    "UNSET 'commit.interval.ms';",
    "SET 'producer.acks'='all';", "SET 'ssl.truststore.location'='/x';", "UNSET 'auto.offset.reset';",
]  # fmt: skip
CHOICES = "String must be one of: latest, earliest, none"
REFUSED = {
    "SET 'nope'='1';": "Unknown property: nope",
    "UNSET 'nope';": "Unknown property: nope",
    "SET 'ksql.nope'='1';": "Unknown property: ksql.nope",
    "SET 'ksql.streams.nope'='1';": "Unknown property: ksql.streams.nope",
    "SET 'consumer.nope'='1';": "Unknown property: consumer.nope",
    "SET 'AUTO.OFFSET.RESET'='latest';": "Unknown property: AUTO.OFFSET.RESET",
    "SET 'auto.offset.reset'='nope';": f"Invalid value nope for configuration auto.offset.reset: {CHOICES}",
    "SET 'auto.offset.reset'='LATEST';": f"Invalid value LATEST for configuration auto.offset.reset: {CHOICES}",
    "SET 'auto.offset.reset'='';": f"Invalid value  for configuration auto.offset.reset: {CHOICES}",
    "SET 'ksql.streams.consumer.auto.offset.reset'='x';": "Invalid value x for configuration auto.offset.reset: ",
    "SET 'auto.offset.reset'='none';": "'none' is not valid for this property within KSQL",
    "SET 'num.stream.threads'='x';": "Invalid value x for configuration num.stream.threads: Not a number of type INT",
    "SET 'num.stream.threads'='2147483648';": "Not a number of type INT",
    "SET 'commit.interval.ms'='1.5';": "Not a number of type LONG",
    "SET 'enable.auto.commit'='maybe';": "Expected value to be either true or false",
    "SET 'producer.acks'='nope';": "Invalid value nope for configuration acks: String must be one of: all, -1, 0, 1",
}


@pytest.mark.parametrize("text", TAKEN)
def test_a_property_that_ksqldb_has_is_taken(text: str) -> None:
    assert applied(Catalog(), parse_statement(text), 0) == Catalog()


@pytest.mark.parametrize("text", REFUSED)
def test_another_name_or_value_is_refused_in_ksqldbs_words(text: str) -> None:
    with pytest.raises(SqlError) as caught:
        applied(Catalog(), parse_statement(text), 0)
    assert REFUSED[text] in caught.value.message
    assert caught.value.place is not None


@pytest.mark.parametrize(
    ("properties", "reset"),
    [
        ({}, "earliest"),
        ({"ksql.streams.auto.offset.reset": "latest"}, "latest"),
        ({"auto.offset.reset": "earliest", "ksql.streams.auto.offset.reset": "latest"}, "earliest"),
    ],
)
def test_where_a_query_begins_to_read(properties: dict[str, str], reset: str) -> None:
    assert reset_of(properties) == reset
