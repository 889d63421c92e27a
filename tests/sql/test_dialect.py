"""The dialect reads what it writes: text → AST → text → AST is a fixed point."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from sql.errors import Place, SqlError
from sql.parser import parse_script, parse_statement
from sql.project import load_project
from sql.statements import Kind, Statement, dropping, terminating, written

ROOT = Path(__file__).parents[2]


def check(statement: Statement) -> None:
    """What is written for a statement reads as an equal one, which is written alike."""
    text = written(statement.ast)
    again = parse_statement(text)
    assert again.ast == statement.ast, text
    assert written(again.ast) == text


def texts(value: Any) -> Iterator[str]:
    """Every text in a document."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from texts(each)
    elif isinstance(value, str):
        yield value


def known() -> Iterator[Statement]:
    """Every statement in the data of the conformance tests, and calls of all functions."""
    for path in sorted((ROOT / "tests").rglob("*.yml")):
        for text in texts(yaml.safe_load(path.read_text(encoding="utf-8"))):
            for form in (text, f"SELECT {text} AS x FROM s;"):
                try:
                    yield from parse_script(form, path.name)
                except SqlError:
                    continue  # it shows what is no statement


def test_every_statement_of_the_project() -> None:
    migrations = load_project(ROOT / "sql").migrations
    statements = [each for migration in migrations for each in migration.statements]
    assert len(statements) > 70
    for statement in statements:
        check(statement)


def test_every_statement_that_the_tests_know() -> None:
    statements = list(known())
    assert len(statements) > 1_000
    kinds = {each.kind for each in statements}
    assert kinds >= {Kind.SELECT, Kind.CREATE_STREAM, Kind.CREATE_TABLE_AS, Kind.INSERT_VALUES, Kind.DROP_TABLE}
    for statement in statements:
        check(statement)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("create stream if not exists s(a int key,`b c` string headers)with(kafka_topic='x''y');",
         "CREATE STREAM IF NOT EXISTS s (a INT KEY, `b c` STRING HEADERS) WITH (kafka_topic = 'x''y');"),
        ("CREATE SOURCE TABLE t (a MAP<STRING, ARRAY<STRUCT<x DECIMAL(4,2)>>> PRIMARY KEY);",
         "CREATE SOURCE TABLE t (a MAP<STRING, ARRAY<STRUCT<x DECIMAL(4, 2)>>> PRIMARY KEY);"),
        ("SELECT * FROM a x LEFT OUTER JOIN b WITHIN 90 SECONDS GRACE PERIOD 1 DAY ON x.k = b.k;",
         "SELECT * FROM a AS x LEFT JOIN b WITHIN 90 SECONDS GRACE PERIOD 1 DAY ON x.k = b.k;"),
        ("SELECT * FROM a JOIN b WITHIN (1 HOUR, 0 SECONDS) ON a.k = b.k;",
         "SELECT * FROM a INNER JOIN b WITHIN (1 HOUR, 0 MILLISECONDS) ON a.k = b.k;"),
        ("SELECT COUNT(*) FROM a WINDOW SESSION (300 SECONDS, RETENTION 2 DAYS) GROUP BY (k, l) EMIT FINAL LIMIT 3;",
         "SELECT COUNT(*) FROM a WINDOW SESSION (5 MINUTES, RETENTION 2 DAYS) GROUP BY k, l EMIT FINAL LIMIT 3;"),
        ("SELECT REDUCE(m, 0, (s, k, v) => s + v), f(x => - -x), a->b[1]->c FROM s PARTITION BY STRUCT(a := 1);",
         "SELECT REDUCE(m, 0, (s, k, v) => s + v), f(x => - -x), a->b[1]->c FROM s PARTITION BY STRUCT(a := 1);"),
        ("SELECT a FROM s WHERE NOT (a IS NOT NULL) AND NOT b AND c NOT IN (1) OR d NOT LIKE 'x' ESCAPE '!';",
         "SELECT a FROM s WHERE NOT (a IS NOT NULL) AND NOT b AND c NOT IN (1) OR d NOT LIKE 'x' ESCAPE '!';"),
        ("ASSERT NOT EXISTS TOPIC 'a-b' WITH (PARTITIONS=1) TIMEOUT 2500 MILLISECONDS;",
         "ASSERT NOT EXISTS TOPIC 'a-b' WITH (PARTITIONS = 1) TIMEOUT 2500 MILLISECONDS;"),
        ("CREATE SINK CONNECTOR c WITH ('a'='b');", "CREATE SINK CONNECTOR c WITH ('a'='b');"),
        ("ASSERT SCHEMA SUBJECT x ID 3;", "ASSERT SCHEMA SUBJECT x ID 3;"),
        ("DESCRIBE TABLES EXTENDED;", "DESCRIBE TABLES EXTENDED;"),
        ("EXPLAIN select a from s;", "EXPLAIN SELECT a FROM s;"),
        ("EXPLAIN CSAS_A_1;", "EXPLAIN CSAS_A_1;"),
        ("LIST ALL TOPICS EXTENDED;", "SHOW ALL TOPICS EXTENDED;"),
        ("UNSET 'a''b';", "UNSET 'a''b';"),
        ("PAUSE ALL;", "PAUSE ALL;"),
        ("UNDEFINE x;", "UNDEFINE x;"),
    ],
)  # fmt: skip
def test_written(text: str, normal: str) -> None:
    statement = parse_statement(text)
    assert written(statement.ast) == normal
    check(statement)


@pytest.mark.parametrize(
    "expression",
    ["{}", "{'a': 1}", "[1]", "?", ":x", "@x", "(SELECT 1)", "EXISTS(SELECT 1)", "a IS TRUE", "a IN (SELECT b FROM s)",
     "a IN b", "a & b", "a | b", "a ^ b", "~a", "a << 1", "a IS b", "N'x'", "a->*", "COUNT(DISTINCT a)", "(a, b)", "()",
     "a BETWEEN SYMMETRIC 1 AND 2", "TRY_CAST(a AS INT)", "a.b.c", "a[1:2]", "a[1, 2]", "a AT TIME ZONE 'x'", "'a' 'b'",
     "a IN ()", "F(a := 1)", "a = b = c", "- NOT a", "a = NOT b", "a IS NULL IS NULL",
     "a LIKE b LIKE c",
     "a[b = c]", "CASE a = b WHEN c THEN d END", "a BETWEEN 1 AND 2 = b", "a LIKE 'x' ESCAPE '!' IS NULL", "a || NOT b",
     "a IN (1) IN (2)"],
)  # fmt: skip
def test_what_ksqldb_has_no_syntax_for_is_refused(expression: str) -> None:
    """A 7.9.1 answers each with a syntax error; sqlglot reads them."""
    with pytest.raises(SqlError, match=r"syntax|no such expression"):
        parse_statement(f"SELECT {expression} AS c FROM s;")


@pytest.mark.parametrize(
    "expression",
    ["- (NOT a)", "a IN (b = c, NOT d)", "F(NOT a, b = c)", "ARRAY[NOT a]", "CAST(a = b AS STRING)", "(a = b) = c",
     "x = - - 1", "MAP(a = b := NOT c)", "STRUCT(a := b = c)", "NOT NOT a", "a IS NOT DISTINCT FROM b", "1.", ".5",
     "CASE WHEN a = b THEN c = d ELSE NOT f END", "a->b->c = d[1]->e", "COUNT(*)", "ANY(a)", "MAP[1]", "ARRAY[]"],
)  # fmt: skip
def test_what_ksqldb_reads_is_read(expression: str) -> None:
    check(parse_statement(f"SELECT {expression} AS c FROM s;"))


NAMES = st.sampled_from(["a", "B_2", "`x y`", "`a``b`", "`SELECT`", '"c"', "é"])
LITERALS = st.sampled_from(["1", "-2", "0.50", "1e3", ".5", "'t'", "'x''y'", "''", "TRUE", "NULL"])
UNARY = st.sampled_from(["- {}", "NOT {}", "({})", "{} IS NULL", "{} IS NOT NULL", "F({})", "CAST({} AS BIGINT)",
                         "{}->f", "{}['k']", "{} LIKE 'x%'", "{} NOT LIKE 'a' ESCAPE '!'", "ARRAY[{}]", "G(x => {})",
                         "STRUCT(`f` := {})", "CASE {} WHEN 1 THEN 2 END"])  # fmt: skip
BINARY = st.sampled_from(["{} + {}", "{} - {}", "{} * {}", "{} / {}", "{} % {}", "{} = {}", "{} <> {}", "{} < {}",
                          "{} AND {}", "{} OR {}", "{} IN ({}, 1)", "{} NOT IN ({})", "{} BETWEEN {} AND 3",
                          "{} NOT BETWEEN 1 AND {}", "MAP({} := {})", "CASE WHEN {} THEN {} ELSE 0 END", "{} || {}",
                          "H((x, y) => {}, {})", "{} IS DISTINCT FROM {}"])  # fmt: skip
EXPRESSIONS = st.recursive(
    st.one_of(NAMES, LITERALS, st.builds("{}.{}".format, NAMES, NAMES)),
    lambda inner: st.one_of(
        st.builds(str.format, UNARY, inner),
        st.builds(str.format, BINARY, inner, inner),
    ),
    max_leaves=12,
)


@settings(max_examples=400, deadline=None)
@given(EXPRESSIONS)
def test_every_expression(expression: str) -> None:
    try:
        statement = parse_statement(f"SELECT {expression} AS c FROM s WHERE {expression};")
    except SqlError:
        return  # such as a = b = c
    check(statement)


@settings(max_examples=100, deadline=None)
@given(st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1))
def test_every_name_and_text(text: str) -> None:
    name, literal = "`" + text.replace("`", "``") + "`", "'" + text.replace("'", "''") + "'"
    statement = parse_statement(f"SELECT {name}->{name} AS {name} FROM s WHERE {name} = {literal};")
    check(statement)


PLACE = Place("f.sql", 3, 1)


def test_edits() -> None:
    (create,) = parse_script(
        "-- why\nCREATE OR REPLACE STREAM s WITH (CLEANUP_POLICY='delete', PARTITIONS=1)"
        " AS\n  SELECT a FROM r;",
        "f.sql",
    )
    assert create.creating().text == (
        "CREATE STREAM s WITH (CLEANUP_POLICY = 'delete', PARTITIONS = 1) AS SELECT a FROM r;"
    )
    assert create.replacing() is create  # nothing to change, so the user's text stays
    assert create.without_delete_topic() is create
    assert create.without_property("CLEANUP_POLICY").properties == {"PARTITIONS": "1"}
    assert create.creating().place == create.place
    only = parse_statement("CREATE STREAM s (a INT) WITH (CLEANUP_POLICY='delete');")
    assert only.without_property("CLEANUP_POLICY").text == "CREATE STREAM s (a INT);"
    drop = parse_statement("DROP STREAM IF EXISTS s DELETE  /* the */ TOPIC;")
    assert drop.deletes_topic
    assert drop.without_delete_topic().text == "DROP STREAM IF EXISTS s;"


def test_statements_of_our_own() -> None:
    drop = dropping("TABLE", "a`b", PLACE, delete_topic=True)
    assert (drop.text, drop.kind, drop.name) == ("DROP TABLE `a``b` DELETE TOPIC;", Kind.DROP_TABLE, "a`b")
    end = terminating("CSAS_s-1_0", PLACE)
    assert (end.text, end.kind, end.name) == ("TERMINATE `CSAS_s-1_0`;", Kind.TERMINATE, "CSAS_s-1_0")


def test_positions_survive_an_edit() -> None:
    (statement,) = parse_script("\n  CREATE STREAM s AS SELECT nope FROM r;", "f.sql")
    column = statement.replacing().ast.args["query"].expressions[0]
    assert statement.locate(column.this.meta["start"]) == Place("f.sql", 2, 29)
