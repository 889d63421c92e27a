"""Event times of records: what TIMESTAMP and TIMESTAMP_FORMAT make of their values, as on a ksqlDB 7.9.1."""

from __future__ import annotations

import duckdb
import pyarrow as pa
import pytest

from opensea_metrics.core.errors import SqlError
from opensea_metrics.sql.language.catalog.catalog import Catalog
from opensea_metrics.sql.language.catalog.changes import applied
from opensea_metrics.sql.language.catalog.sources import Source
from opensea_metrics.sql.language.lowering import support
from opensea_metrics.sql.language.lowering.duckdb.setup import SETUP, register_functions
from opensea_metrics.sql.language.lowering.records import rows as records
from opensea_metrics.sql.language.statements.parser import parse_script
from opensea_metrics.sql.language.values.timestamp_formats import UnknownFormat, timestamp_format

PRECISE = "yyyy-MM-dd'T'HH:mm:ss[.SSSSSS][.SSS][.S]XXX"


def source(columns: str, properties: str) -> Source:
    text = f"CREATE STREAM s ({columns}) WITH (KAFKA_TOPIC='t', VALUE_FORMAT='JSON', PARTITIONS=1, {properties});"
    (statement,) = parse_script(text, "s")
    after = applied(Catalog(), statement, 1)
    support.check_statement(Catalog(), statement, after)
    return after.sources["S"]


@pytest.mark.parametrize(
    ("columns", "properties", "times"),
    [
        ("t TIMESTAMP", "TIMESTAMP='t'", {"1640995200000": 1640995200000, "0": 0, "-5": None, '"x"': None}),
        ("t BIGINT", "TIMESTAMP='t'", {"5": 5, "-5": None, "null": None}),
        ("t VARCHAR", "TIMESTAMP='t', TIMESTAMP_FORMAT='yyyy-MM-dd HH:mm:ssX'", {
            '"2022-01-02 03:04:05Z"': 1641092645000, '"2022-01-02"': None, '"1969-12-31 00:00:00Z"': None, "null": None,
        }),
    ],
)  # fmt: skip
def test_records_without_an_event_time_are_dropped(
    columns: str, properties: str, times: dict[str, int | None]
) -> None:
    stream = source(columns, properties)
    with duckdb.connect() as database:
        for statement in SETUP:
            database.execute(statement)
        register_functions(database)
        given = pa.table({"n": [*range(len(times))], "line": [f'{{"t":{value}}}' for value in times]})
        database.register("given", given)
        lines = "SELECT n, line, '' AS path, NULL::VARCHAR AS key, NULL::BIGINT AS ts FROM given"
        relation = records.decoded(lines, stream, records.spelled(stream, None), carried=("n",))
        found = database.execute(f"SELECT ROWTIME, _failed FROM ({relation}) ORDER BY n").fetchall()
    assert [None if failed else time for time, failed in found] == list(times.values())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2022-01-02T03:04:05.123456+00:00", 1641092645123), ("2022-01-02T03:04:05Z", 1641092645000),
        ("2022-01-02T03:04:05.1Z", 1641092645100), ("2022-01-02t03:04:05z", 1641092645000),
        ("2022-01-02T03:04:05+05:30", 1641072845000), ("2022-02-30T00:00:00Z", 1646006400000),
        ("2022-01-02T24:00:00Z", 1641168000000), ("+12022-01-02T03:04:05Z", 317210612645000),
        ("2022-01-02T03:04:05.12Z", None), ("2022-01-02T03:04:05", None), ("2022-01-02T24:00:01Z", None),
        ("2022-01-02T03:04:05+18:01", None), ("2022-1-2T03:04:05Z", None), (" 2022-01-02T03:04:05Z", None),
        ("0000-01-02T03:04:05Z", None), ("2022-01-02T03:04:05.123456789Z", None), ("", None),
    ],
)  # fmt: skip
def test_texts(text: str, expected: int | None) -> None:
    assert timestamp_format(PRECISE).milliseconds(text) == expected


@pytest.mark.parametrize("pattern", ["w", "MMMMM yyyy", "hh:mm", "ss", "yyyyM", "yyyy]", "yyyy'T"])
def test_patterns_that_are_not_read(pattern: str) -> None:
    with pytest.raises(UnknownFormat):
        timestamp_format(pattern)


@pytest.mark.parametrize(
    ("columns", "properties", "message"),
    [
        ("t VARCHAR", "TIMESTAMP='t'", "without also specifying the timestamp_format"),
        ("t BIGINT", "TIMESTAMP='t', TIMESTAMP_FORMAT='yyyy'", "can only be used when the timestamp column"),
        ("t INT", "TIMESTAMP='t'", "should be LONG"),
        ("t VARCHAR", "TIMESTAMP='t', TIMESTAMP_FORMAT='w yyyy'", "TIMESTAMP_FORMAT with 'w' is not supported"),
    ],
)
def test_refused(columns: str, properties: str, message: str) -> None:
    with pytest.raises(SqlError, match=message):
        source(columns, properties)
