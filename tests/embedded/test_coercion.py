"""How /inserts-stream converts JSON values.

Each expectation was observed on a real 7.9.1, in its replies and in the bytes that it wrote into the topic."""

from __future__ import annotations

import json
from typing import Any

import pytest

from opensea_metrics.deploy.embedded.topics.inserts import RowReader
from opensea_metrics.deploy.embedded.topics.record_topic import TopicRecord
from opensea_metrics.sql.language.catalog.catalog import Catalog
from opensea_metrics.sql.language.catalog.changes import applied
from opensea_metrics.sql.language.statements.parser import parse_statement
from opensea_metrics.sql.language.values.coercion import Mismatch, identifier

DECLARED = (
    "CREATE STREAM s (k VARCHAR KEY, i INT, b BIGINT, d DOUBLE, e DECIMAL(6,2), s VARCHAR, o BOOLEAN, y BYTES,"
    " da DATE, ti TIME, ts TIMESTAMP, a ARRAY<INT>, m MAP<VARCHAR, INT>, st STRUCT<x INT, `y` VARCHAR>,"
    " `low` INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);"
)


def reader(statement: str) -> RowReader:
    catalog = applied(Catalog(), parse_statement(statement), 1)
    return RowReader(next(iter(catalog.sources.values())))


@pytest.fixture(scope="module")
def stream() -> RowReader:
    return reader(DECLARED)


def stored(stream: RowReader, **fields: Any) -> dict[str, Any]:
    """The value of the stored record, without NULLs."""
    record = stream.record(json.dumps({"k": "1", **fields}).encode(), 5)
    assert (record.time, record.key) == (5, '{"K":"1"}')
    assert record.value is not None
    return {name: value for name, value in json.loads(record.value).items() if value is not None}


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("i", 1, 1), ("i", -(2**31), -(2**31)),
        ("b", 1, 1), ("b", 2**63 - 1, 2**63 - 1),
        ("d", 1, 1.0), ("d", 1.5, 1.5), ("d", 100.0, 100.0),
        ("e", 1, 1.00), ("e", 1.005, 1.01), ("e", 1.015, 1.02), ("e", "1.5", 1.50), ("e", -1.005, -1.01),
        ("e", "9999.994", 9999.99), ("e", "1e3", 1000.00),
        ("s", "x", "x"), ("o", True, True),
        ("y", "aGVsbG8=", "aGVsbG8="), ("y", "aGVsbG8", "aGVsbG8="), ("y", "", ""),
        ("da", "2022-01-02", 18994), ("da", "2022-01", 18993), ("da", "2022", 18993),
        ("da", " 2022-01-02 ", 18994), ("da", "1969-12-31", -1),
        ("ti", "10:11:12", 36672000), ("ti", "10:11", 36660000), ("ti", "10:11:12.123", 36672123),
        ("ti", "10:11:12.123999", 36672123),
        ("ts", "2022-01-02T03:04:05", 1641092645000), ("ts", "2022-01-02T03:04:05.678", 1641092645678),
        ("ts", "2022-01-02", 1641081600000), ("ts", "2022", 1640995200000),
        ("ts", "2022-01-02T03", 1641092400000), ("ts", "2022-01-02T03:04:05Z", 1641092645000),
        ("ts", "2022-01-02T03:04:05+0100", 1641089045000),
        ("ts", "2022-01-02T03:04:05+01:00", 1641089045000),
        ("ts", "2022-01-02T03:04:05-01", 1641096245000), ("ts", "1969-12-31T23:59:59.999", -1),
        ("a", [1, 2], [1, 2]), ("a", [1, None], [1, None]), ("a", [], []),
        ("m", {"a": 1}, {"a": 1}), ("m", {"a": None}, {"a": None}), ("m", {"A`": 1}, {"A`": 1}),
        ("st", {"x": 1}, {"X": 1, "y": None}), ("st", {"X": 1, "`y`": "z"}, {"X": 1, "y": "z"}),
        ("st", {"x": 1, "y": "z"}, {"X": 1, "y": None}), ("st", {"`x`": 1}, {"X": None, "y": None}),
        ("st", {"x": 1, "q": 2}, {"X": 1, "y": None}),
        ("`low`", 7, 7),
    ],
)  # fmt: skip
def test_values_that_are_accepted(
    stream: RowReader, column: str, value: object, expected: object
) -> None:
    assert list(stored(stream, **{column: value}).values()) == [expected]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("i", 2**31), ("i", "1"), ("i", True), ("i", 1.0), ("i", 1e2), ("i", [1]),
        ("b", 2**63), ("b", 2.0), ("b", "2"), ("d", "1.5"), ("d", 2**63), ("d", True),
        ("e", 10**10), ("e", True), ("e", "x"), ("e", " 1.5"), ("e", "NaN"), ("e", "1_0"), ("e", [1]),
        ("s", 1), ("s", True), ("s", {"a": 1}), ("s", ["a"]), ("o", "true"), ("o", 1),
        ("y", "!!"), ("y", 5), ("y", "aGVs\nbG8="), ("y", "a"),
        ("da", "x"), ("da", 19000), ("da", "2022-02-30"), ("da", "2022-1-2"), ("da", "20220102"),
        ("ti", "10"), ("ti", "x"), ("ti", 5), ("ti", "24:00"), ("ti", "10:60"),
        ("ts", "2022-01-02 03:04:05"), ("ts", "x"), ("ts", 1640995200000), ("ts", "2022-01T03"),
        ("ts", "2022-01-02T03:04:05.678901"), ("ts", "2022-01-02T25"), ("ts", "2022-01-02T03+19:00"),
        ("ts", ""), ("da", ""), ("ti", ""),
        ("a", ["x"]), ("a", [1.5]), ("a", "x"), ("a", {}), ("m", {"a": "x"}), ("m", []),
        ("st", {"x": "a"}), ("st", []), ("st", {"x": 1, "X": 2}),
    ],
)  # fmt: skip
def test_values_that_are_refused(stream: RowReader, column: str, value: object) -> None:
    with pytest.raises(Mismatch) as caught:
        stored(stream, **{column: value})
    message = str(caught.value)
    assert message.startswith(("Can't coerce a field of type class ", "Found duplicate column / struct field name: X"))


@pytest.mark.parametrize("value", [10000, 12345.678, "12345.678", 9999.995, "1e9999", "1e-99999"])
def test_a_decimal_that_is_too_long_is_refused(stream: RowReader, value: object) -> None:
    """ksqlDB writes 12345.68 into DECIMAL(6, 2), and then no reader can read the record."""
    with pytest.raises(Mismatch, match="type DECIMAL\\(6, 2\\)"):
        stored(stream, e=value)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("1", "java.lang.String"), (True, "java.lang.Boolean"), (1.5, "java.lang.Double"),
        (3_000_000_000, "java.lang.Long"), (2**63, "java.math.BigInteger"),
        ([], "io.vertx.core.json.JsonArray"), ({}, "io.vertx.core.json.JsonObject"),
    ],
)  # fmt: skip
def test_the_refusal_is_ksqldbs_sentence(stream: RowReader, value: object, name: str) -> None:
    with pytest.raises(Mismatch) as caught:
        stored(stream, i=value)
    expected = f"Can't coerce a field of type class {name} into type INTEGER"
    assert str(caught.value) == expected


def test_names_match_in_any_case_unless_quoted(stream: RowReader) -> None:
    assert stored(stream, I=1, **{"`S`": "x", '"O"': True}) == {"I": 1, "S": "x", "O": True}
    # A name that the stream does not have is ignored, whatever its value is.
    assert stored(stream, low=1, **{"`i`": 1, "nope": [{}]}, rowtime=5) == {}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"i":1,"I":2}', "Found duplicate column / struct field name: I"),
        (b'{"`i":1}', "Invalid column / struct field name. Name: `i. Reason: Expected matching quote"),
        (b'{"i":1}', "Key field must be specified: K"),
        (b'{"k":null}', "Key field must be specified: K"),
        (b'{"k":5}', "Can't coerce a field of type class java.lang.Integer into type STRING"),
        (b"", "Invalid JSON in inserts stream"),
        (b"{broken", "Invalid JSON in inserts stream"),
        (b"[1]", "Invalid JSON in inserts stream"),
        (b"null", "Invalid JSON in inserts stream"),
        (b'{"k":"1","s":"\\ud800"}', "Invalid JSON in inserts stream"),
        (b'{"k":"1","s":"\xff"}', "Invalid JSON in inserts stream"),
        (b'{"k":"1","d":1e999}', "Invalid JSON in inserts stream"),
        (b'{"k":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "Invalid JSON in inserts stream"),
    ],
)  # fmt: skip
def test_rows_that_are_refused(stream: RowReader, line: bytes, message: str) -> None:
    with pytest.raises(Mismatch) as caught:
        stream.record(line, 0)
    assert str(caught.value).startswith(message)


def test_a_stream_without_a_key() -> None:
    record = reader(
        "CREATE STREAM n (i INT) WITH (KAFKA_TOPIC='n', VALUE_FORMAT='JSON', PARTITIONS=1);"
    ).record(b'{"i":1}\r', 7)
    assert record == TopicRecord(7, None, '{"I":1}', 0)


def test_columns_of_headers_are_not_part_of_a_row() -> None:
    with_headers = reader(
        "CREATE STREAM n (i INT, h ARRAY<STRUCT<key VARCHAR, value BYTES>> HEADERS)"
        " WITH (KAFKA_TOPIC='n', VALUE_FORMAT='JSON', PARTITIONS=1);"
    )
    assert with_headers.record(b'{"i":1,"h":5}', 7).value == '{"I":1}'


@pytest.mark.parametrize(
    ("written", "expected"),
    [("a", "A"), ("`a`", "a"), ('"a"', "a"), ("`a``b`", "a`b"), ("a`b", "A`B"), ("``", ""), ("", "")],
)
def test_identifiers(written: str, expected: str) -> None:
    assert identifier(written) == expected


@pytest.mark.parametrize("written", ["`", "`a", "`a`b`", "`a``", '"a`'])
def test_identifiers_whose_quotes_do_not_match(written: str) -> None:
    with pytest.raises(ValueError, match="quote"):
        identifier(written)
