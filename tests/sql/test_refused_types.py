"""Expressions that ksqlDB refuses because of their types: each outcome was observed on a real 7.9.1."""

from __future__ import annotations

import itertools

import pytest

from opensea_metrics.core.errors import SqlError, Stage
from opensea_metrics.sql.language.catalog.catalog import Catalog
from opensea_metrics.sql.language.catalog.changes import applied
from opensea_metrics.sql.language.statements.parser import parse_statement

GIVEN = (
    "CREATE STREAM r (a INT, b BIGINT, d DOUBLE, s VARCHAR, bo BOOLEAN, da DATE, ti TIME, ts TIMESTAMP, y BYTES,"
    " ar ARRAY<INT>, m MAP<VARCHAR,INT>, st STRUCT<x INT>, de DECIMAL(9,2)) WITH (KAFKA_TOPIC='r',"
    " VALUE_FORMAT='JSON', PARTITIONS=2);"
)
CATALOG = applied(Catalog(), parse_statement(GIVEN), 1)
COLUMNS = {
    "a": "INT", "b": "BIGINT", "d": "DOUBLE", "s": "VARCHAR", "bo": "BOOLEAN", "da": "DATE", "ti": "TIME",
    "ts": "TIMESTAMP", "y": "BYTES", "ar": "ARRAY<INT>", "m": "MAP<VARCHAR,INT>", "st": "STRUCT<x INT>",
    "de": "DECIMAL(9,2)",
}  # fmt: skip
NUMBERS = ("INT", "BIGINT", "DOUBLE", "DECIMAL(5,1)")
CASTS = {
    **{column: {*NUMBERS, "VARCHAR"} for column in ("a", "b", "d", "de")},
    "s": {*NUMBERS, "VARCHAR", "BOOLEAN", "DATE", "TIME", "TIMESTAMP", "BYTES"},
    "bo": {"VARCHAR", "BOOLEAN"},
    "da": {"VARCHAR", "DATE", "TIMESTAMP"},
    "ti": {"VARCHAR", "TIME"},
    "ts": {"VARCHAR", "DATE", "TIME", "TIMESTAMP"},
    "y": {"BYTES"},
    "ar": {"VARCHAR", "ARRAY<INT>", "ARRAY<VARCHAR>"},
    "m": {"VARCHAR", "MAP<VARCHAR,INT>", "MAP<VARCHAR,VARCHAR>"},
    "st": {"VARCHAR", "STRUCT<x INT>", "STRUCT<x VARCHAR>", "STRUCT<y INT>", "STRUCT<x INT,y INT>"},
}
"""The types that a column can be cast to."""
TARGETS = sorted({*itertools.chain(*CASTS.values()), "ARRAY<DATE>", "STRUCT<x DATE>", "MAP<VARCHAR,DATE>"})
REFUSED = {
    "STRUCT(x:=1,x:=2)": "Duplicate field names found in STRUCT: '`X` INTEGER' and '`X` INTEGER'",
    "STRUCT(x:=1,X:=2)": "Duplicate field names found in STRUCT: '`X` INTEGER' and '`X` INTEGER'",
    "ARRAY[STRUCT(y:=STRUCT(x:=1,x:='a'))]": "in STRUCT: '`X` INTEGER' and '`X` STRING'",
    "CAST(st AS STRUCT<x INT, x INT>)": "Duplicate field names found in STRUCT: '`X` INTEGER' and '`X` INTEGER'",
    "CAST(a AS DECIMAL(5,9))": "DECIMAL precision must be >= scale: DECIMAL(5,9)",
    "CAST(a AS DECIMAL(0,0))": "DECIMAL precision must be >= 1: DECIMAL(0,0)",
    "CAST(ar AS ARRAY<DECIMAL(0,1)>)": "DECIMAL precision must be >= 1: DECIMAL(0,1)",
    "CAST(st AS STRUCT<x INT, y DECIMAL(1,2)>)": "DECIMAL precision must be >= scale: DECIMAL(1,2)",
    "CAST(a AS DECIMAL)": "DECIMAL needs a precision and a scale",
    "CAST(a AS DECIMAL(5))": "DECIMAL needs a precision and a scale",
    "CAST(a AS DECIMAL(99999999999,2))": "Cannot resolve unknown type: DECIMAL",
    "CAST(a AS NOPE)": "Cannot resolve unknown type: NOPE",
    "CAST(a AS DATE)": "Cast of INTEGER to DATE is not supported.",
    "-NULL": "Object of type NULL cannot be converted to a numeric type",
    "-'5'": "Object of type STRING cannot be converted to a numeric type",
    "-TRUE": "Object of type BOOLEAN cannot be converted to a numeric type",
    "-STRUCT(x:=1)": "Object of type STRUCT<`X` INTEGER> cannot be converted to a numeric type",
    "bo < bo": "Cannot compare BO (BOOLEAN) to BO (BOOLEAN) with LESS_THAN.",
    "st > st": "with GREATER_THAN.",
    "ar <= ar": "with LESS_THAN_OR_EQUAL.",
    "m >= m": "with GREATER_THAN_OR_EQUAL.",
    "bo BETWEEN bo AND bo": "BOOLEAN has no order",
    "a = NULL": "Comparison with NULL not supported: INTEGER = NULL",
    "NULL < 1": "Comparison with NULL not supported: NULL < INTEGER",
    "CASE WHEN bo THEN NULL END": "Invalid Case expression. All case branches have NULL type",
    "NULL": "Can't infer a type of null.",
}
TAKEN = [
    "-a", "-b", "-d", "-de", "-(a + b)", "- -a", "-ABS(a)", "-CAST(NULL AS INT)", "STRUCT(x:=1,`x`:=2)", "st = st",
    "ar <> ar", "m = m", "bo = TRUE", "y < y", "CAST(a AS DECIMAL(1,1))", "CAST(a AS VARCHAR(5))", "a IS NULL",
    "CASE WHEN bo THEN CAST(NULL AS INT) END",
]  # fmt: skip


def select(expression: str) -> Catalog:
    text = f"CREATE STREAM t AS SELECT {expression} AS v FROM r EMIT CHANGES;"
    return applied(CATALOG, parse_statement(text), 2)


@pytest.mark.parametrize("expression", REFUSED)
def test_what_ksqldb_refuses_is_refused_in_its_words(expression: str) -> None:
    with pytest.raises(SqlError) as caught:
        select(expression)
    assert REFUSED[expression] in caught.value.message
    assert caught.value.place is not None
    assert caught.value.place.column > 26


@pytest.mark.parametrize("expression", TAKEN)
def test_what_ksqldb_takes_is_taken(expression: str) -> None:
    assert "T" in select(expression).sources


@pytest.mark.parametrize("column", [name for name in COLUMNS if name not in ("a", "b", "d", "de")])
def test_a_sign_before_what_is_no_number_is_refused(column: str) -> None:
    with pytest.raises(SqlError, match="cannot be converted to a numeric type"):
        select(f"-{column}")


@pytest.mark.parametrize("column", CASTS)
def test_a_column_is_cast_to_the_types_that_ksqldb_has_a_cast_to(column: str) -> None:
    for target in TARGETS:
        cast = f"CAST({column} AS {target})"
        if target in CASTS[column]:
            assert "T" in select(cast).sources
        else:
            with pytest.raises(SqlError, match=r"Cast of .* is not supported\."):
                select(cast)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("DECIMAL(5,9)", "DECIMAL precision must be >= scale: DECIMAL(5,9)"),
        ("MAP<VARCHAR,DECIMAL(0,0)>", "DECIMAL precision must be >= 1: DECIMAL(0,0)"),
        ("ARRAY<STRUCT<x INT, x INT>>", "Duplicate field names found in STRUCT"),
    ],
)
def test_a_column_of_a_type_that_ksqldb_does_not_have_is_refused(kind: str, message: str) -> None:
    text = f"CREATE STREAM t (v {kind}) WITH (KAFKA_TOPIC='t', VALUE_FORMAT='JSON', PARTITIONS=1);"
    with pytest.raises(SqlError) as caught:
        applied(Catalog(), parse_statement(text), 1)
    assert caught.value.message.startswith(message)
    assert caught.value.stage is Stage.PREPARE
