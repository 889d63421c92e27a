"""Names that ksqlDB or Kafka refuse are refused by the reader, with file, line and column."""

from __future__ import annotations

from pathlib import Path

import pytest

from opensea_metrics.core.errors import SqlError, SqlErrors
from opensea_metrics.sql.language.catalog.catalog import Catalog
from opensea_metrics.sql.language.catalog.changes import applied, check
from opensea_metrics.sql.language.dialect.naming import is_source, is_topic
from opensea_metrics.sql.language.project.project import load_project
from opensea_metrics.sql.language.statements.parser import parse_script
from tests.hostile import NAMES, is_text

RAW = "CREATE STREAM raw (a INT)\n  WITH (VALUE_FORMAT='JSON',\n    {});\n"
TOPIC_T = "Failed to guarantee existence of topic t\nCaused by: "
INVALID = (
    "Failed to check if exists for topic: {}\n"
    "Caused by: The request attempted to perform an operation on an invalid topic.\n"
    "  hint: a topic's name has 1 to 249 of the characters a-z A-Z 0-9 . _ - and is neither '.' nor '..'"
)


def catalog(text: str) -> Catalog:
    """What a file of statements makes."""
    made = Catalog()
    for number, statement in enumerate(parse_script(text, "V001__raw.sql")):
        made = applied(made, statement, number)
    return made


def refusal(text: str) -> str:
    """The error of a file of statements."""
    with pytest.raises(SqlError) as refused:
        catalog(text)
    return str(refused.value)


@pytest.mark.parametrize("topic", ["a", "A.b_c-1", "...", "-", "x" * 249])
def test_kafkas_names(topic: str) -> None:
    assert is_topic(topic)


@pytest.mark.parametrize(
    "topic",
    ["", ".", "..", "../../secret", "/etc/passwd", "a/b", "a\\b", "a b", "é", "a\0", "a\n", "x" * 250, "x" * 5_000],
)
def test_names_that_kafka_refuses(topic: str) -> None:
    assert not is_topic(topic)


@pytest.mark.parametrize("topic", [name for name in NAMES if name and not is_topic(name) and is_text(name)])
def test_a_topic_is_refused_where_it_is_written(topic: str) -> None:
    written = topic.replace("'", "''")
    said = refusal(RAW.format(f"KAFKA_TOPIC='{written}', PARTITIONS=1"))
    assert said == f"V001__raw.sql:3:5: {INVALID.format(topic)}"


def test_an_empty_topic() -> None:
    said = refusal(RAW.format("KAFKA_TOPIC=''"))
    assert said.startswith("V001__raw.sql:3:5: Invalid value  for property KAFKA_TOPIC: String must be non-empty")


def test_validate_says_so_with_the_place(tmp_path: Path) -> None:
    (tmp_path / "migrations").mkdir()
    (tmp_path / "settings.yml").write_text("{}")
    file = tmp_path / "migrations/V001__raw.sql"
    file.write_text(RAW.format("KAFKA_TOPIC='../../secret', PARTITIONS=1"))
    with pytest.raises(SqlErrors) as refused:
        check(load_project(tmp_path))
    assert str(refused.value) == f"{file}:3:5: {INVALID.format('../../secret')}"


def test_a_sinks_default_topic_is_checked() -> None:
    raw = RAW.format("KAFKA_TOPIC='raw', PARTITIONS=1")
    said = refusal(raw + f"CREATE STREAM {'s' * 250} AS SELECT * FROM raw;")
    assert said == f"V001__raw.sql:4:1: {INVALID.format('S' * 250)}"


@pytest.mark.parametrize(
    ("properties", "column", "message"),
    [
        ("KAFKA_TOPIC='t', PARTITIONS=0", 22, TOPIC_T + "PARTITIONS is 0,"),
        ("KAFKA_TOPIC='t', PARTITIONS=-2", 22, TOPIC_T + "PARTITIONS is -2,"),
        ("KAFKA_TOPIC='t', REPLICAS=0", 22, TOPIC_T + "REPLICAS is 0,"),
        ("PARTITIONS=1.5, KAFKA_TOPIC='t'", 5, "Invalid value 1.5 for property PARTITIONS: Not a number of type INT"),
        ("PARTITIONS='x', KAFKA_TOPIC='t'", 5, "Invalid value x for property PARTITIONS: Not a number of type INT"),
        ("PARTITIONS='²', KAFKA_TOPIC='t'", 5, "Invalid value ² for property PARTITIONS: Not a number of type INT"),
        ("PARTITIONS='--1', KAFKA_TOPIC='t'", 5, "Invalid value --1 for property PARTITIONS: Not a number of type INT"),
        ("PARTITIONS=true, KAFKA_TOPIC='t'", 5, "Invalid value true for property PARTITIONS: Not a number of type INT"),
        ("PARTITIONS=2147483648, KAFKA_TOPIC='t'", 5, "Invalid value 2147483648 for property PARTITIONS: Not"),
        ("REPLICAS=1e2, KAFKA_TOPIC='t'", 5, "Invalid value 1e2 for property REPLICAS: Not a number of type INT"),
    ],
)
def test_partitions_and_replicas(properties: str, column: int, message: str) -> None:
    assert refusal(RAW.format(properties)).startswith(f"V001__raw.sql:3:{column}: {message}")


def test_minus_one_is_kafkas_default() -> None:
    source = catalog(RAW.format("KAFKA_TOPIC='t', PARTITIONS=-1, REPLICAS='-1'")).sources["RAW"]
    assert (source.partitions, source.replicas) == (1, 1)


@pytest.mark.parametrize(
    ("statement", "column", "name"),
    [
        ("CREATE STREAM `a b` (a INT) WITH (KAFKA_TOPIC='t', VALUE_FORMAT='JSON');", 15, "a b"),
        ("CREATE TABLE \"é\" (a INT PRIMARY KEY) WITH (KAFKA_TOPIC='t', VALUE_FORMAT='JSON');", 14, "é"),
        ("DROP STREAM IF EXISTS `a.b`;", 23, "a.b"),
        ("ALTER STREAM `a$` ADD COLUMN b INT;", 14, "a$"),
        ("INSERT INTO `a/b` VALUES (1);", 13, "a/b"),
        ("INSERT INTO `a'b` SELECT * FROM c;", 13, "a'b"),
        ("SELECT * FROM `日本`;", 15, "日本"),
        ("SELECT * FROM a `x y`;", 17, "x y"),
        ("DESCRIBE `;--`;", 10, ";--"),
    ],
)
def test_sources_and_their_aliases(statement: str, column: int, name: str) -> None:
    assert refusal(f"\n{statement}") == (
        f"V001__raw.sql:2:{column}: Illegal argument at Line: 2, Col: {column}. Source names may only contain"
        f" alphanumeric values, '_' or '-'. Got: '{name}'"
    )


@pytest.mark.parametrize("name", ["A", "a", "1", "a-b", "_", "x" * 300])
def test_names_of_sources(name: str) -> None:
    assert is_source(name)


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("CREATE STREAM `` (a INT) WITH (KAFKA_TOPIC='t');", "2:15: name is empty"),
        ("CREATE STREAM a (`` INT) WITH (KAFKA_TOPIC='t');", "2:18: name is empty"),
        ("SELECT a AS `` FROM a;", "2:13: name is empty"),
        ("SELECT a AS `b\0` FROM a;", "2:13: a name contains the character U+0000"),
        ("CREATE STREAM a (s STRUCT<b INT, c INT, b INT>) WITH (KAFKA_TOPIC='t', VALUE_FORMAT='JSON');",
         "2:18: Duplicate field names found in STRUCT: '`B` INTEGER' and '`B` INTEGER'"),
        ("CREATE STREAM a (m ARRAY<STRUCT<`b` INT, b MAP<STRING, STRUCT<c INT, c INT>>>>)"
         " WITH (KAFKA_TOPIC='t', VALUE_FORMAT='JSON');",
         "2:18: Duplicate field names found in STRUCT: '`C` INTEGER' and '`C` INTEGER'"),
        ("CREATE STREAM a (b DECIMAL('x', 1)) WITH (KAFKA_TOPIC='t', VALUE_FORMAT='JSON');",
         "2:28: syntax error: Expecting a size, which is a whole number"),
        ("CREATE STREAM a (b `ARRAY<INT>`) WITH (KAFKA_TOPIC='t', VALUE_FORMAT='JSON');",
         "2:18: Cannot resolve unknown type: ARRAY<INT>"),
        ("SELECT * FROM a LIMIT 'x';", "2:23: syntax error: Expecting a number of rows"),
        ("SHOW;", "2:1: syntax error: Syntax error at or near"),
    ],
)  # fmt: skip
def test_other_names(statement: str, message: str) -> None:
    assert refusal(f"\n{statement}").startswith(f"V001__raw.sql:{message}")


def test_half_a_surrogate_pair_is_refused_where_it_is_written() -> None:
    said = refusal("\nSELECT '\ud800';")
    assert said.startswith("V001__raw.sql:2:9: syntax error: not Unicode: there is half a surrogate pair")
