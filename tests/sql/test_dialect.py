"""The dialect reads what it writes: text → AST → text → AST is a fixed point."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlglot import exp

from opensea_metrics.core.errors import Place, SqlError, Stage
from opensea_metrics.sql.language.project.project import load_project
from opensea_metrics.sql.language.statements.parser import parse_script, parse_statement
from opensea_metrics.sql.language.statements.statements import (
    Kind,
    Statement,
    dropping,
    terminating,
    written,
)
from tests.parts.yaml_files import read_yaml

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
    files = sorted((ROOT / "tests").rglob("*.yml"))
    names = {text: path.name for path in files for text in texts(read_yaml(path))}
    for text, name in names.items():
        for form in (text, f"SELECT {text} AS x FROM s;"):
            try:
                yield from parse_script(form, name)
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
        ("SELECT REDUCE(m, 0, (s, k, v) => s + v), f(a, x => - -x), a->b[1]->c FROM s PARTITION BY STRUCT(a := 1);",
         "SELECT REDUCE(m, 0, (s, k, v) => s + v), f(a, x => - -x), a->b[1]->c FROM s PARTITION BY STRUCT(a := 1);"),
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
     "a IN (1) IN (2)",
     "F(a,)", "F(,a)", "F(a,,b)", "ARRAY[1,]", "ARRAY[,]", "MAP('a' := 1,)", "STRUCT(a := 1,)", "a IN (1,)",
     "a NOT NULL", "a NOT IS NULL", "a NOT IS DISTINCT FROM b", "a NOT = b", "a LIKE 'x' ESCAPE b", "a IN (,1)",
     "F(*, a)", "F(a, *)", "a$b", "$1", "a#b", "a?", "é", "a\u00a0", "a\f", "\\a", "a < > b", "a == b", "1.2.3",
     "1e3.5", "1..5", "1e+", "1 d e", "a.1b", "a->b.c", "a->b.c.d", "a.b.*", "(a).b", "F(a).b", "a[1].b",
     "LEFT(a)", "a.>=", "F(x => x)", "F((x, y) => x)", "F(a, x => x, b)", "F(a, x => y => z)", "F(a, 1 => x)",
     "ARRAY[x => x]", "F(a, (x => x))", "STRUCT('a' := 1)", "STRUCT(a.b := 1)", "STRUCT(a->b := 1)",
     "MAP(a := 1, b)", "CASE END", "CASE a END", "CAST(a AS DECIMAL)", "CAST(a AS DECIMAL(4))",
     "CAST(a AS STRUCT<>)", "CAST(a AS VARCHAR(x))", "a BETWEEN 1 2", "a BETWEEN 1 1 AND 2", "a BETWEEN b",
     "a.1", "a. 'x'", "a.NULL", "(a b)", "CASE WHEN a 1 END", "CASE WHEN a THEN 1", "CASE a ELSE 1 END",
     "CASE WHEN a THEN END", "a = b IS NULL", "a = b IS NOT NULL", "a IS NULL = b", "a IS NOT NULL = b",
     "a NOT IN (1) IN (2)", "a IS NOT NULL IS NULL", "a IS NULL BETWEEN b AND c", "a IS NOT NULL LIKE b",
     "NOT a IS NOT NULL = b", "a IS DISTINCT FROM b IS NULL"],
)  # fmt: skip
def test_what_ksqldb_has_no_syntax_for_is_refused(expression: str) -> None:
    """A 7.9.1 answers each with a syntax error; sqlglot reads them."""
    with pytest.raises(SqlError, match=r"syntax|no such expression"):
        parse_statement(f"SELECT {expression} AS c FROM s;")


@pytest.mark.parametrize(
    "expression",
    ["- (NOT a)", "a IN (b = c, NOT d)", "F(NOT a, b = c)", "ARRAY[NOT a]", "CAST(a = b AS STRING)", "(a = b) = c",
     "x = - - 1", "MAP(a = b := NOT c)", "STRUCT(a := b = c)", "NOT NOT a", "a IS NOT DISTINCT FROM b", "1.", ".5",
     "CASE WHEN a = b THEN c = d ELSE NOT f END", "a->b->c = d[1]->e", "COUNT(*)", "ANY(a)", "MAP[1]", "ARRAY[]",
     "F()", "MAP()", "STRUCT()", "STRUCT(1)", "F(a, (x) => x, (y, z) => y)", "a.b->c", "a@b", "`F`(a)", "1F(a)",
     "CAST(a AS STRUCT< >)", "CAST(a AS INT ARRAY)", "CAST(a AS MAP<STRING, INT ARRAY ARRAY>)"],
)  # fmt: skip
def test_what_ksqldb_reads_is_read(expression: str) -> None:
    check(parse_statement(f"SELECT {expression} AS c FROM s;"))


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        # The exponent takes its own sign only, and the longest token wins.
        ("d*1e3-1", "d * 1e3 - 1"), ("1e3+1", "1e3 + 1"), ("0.1e0+0.2e0", "0.1e0 + 0.2e0"), ("1e-3-1", "1e-3 - 1"),
        ("1E+3+1", "1E+3 + 1"), ("1.e5-1", "1.e5 - 1"), (".5e1-.5", "0.5e1 - 0.5"), ("1-1", "1 - 1"),
        ("1.-1", "1. - 1"),
        # Digits with letters are a name.
        ("1e", "1e"), ("1e+a", "1e + a"), ("0x1F", "0x1F"), ("1d", "1d"), ("1_000", "1_000"), ("1e3e4", "1e3e4"),
        ("1e5x-1", "1e5x - 1"), ("1@", "1@"),
        # A number and an alias.
        ("1.5x", "1.5 AS x"), (".5e", "0.5 AS e"), ("1e+3x", "1e+3 AS x"), ("1.5e3x", "1.5e3 AS x"),
    ],
)  # fmt: skip
def test_tokens_end_where_those_of_ksqldb_end(text: str, normal: str) -> None:
    """Asked of a 7.9.1."""
    statement = parse_statement(f"SELECT {text} FROM s;")
    assert written(statement.ast) == f"SELECT {normal} FROM s;"
    check(statement)


@pytest.mark.parametrize("text", ["1e", "0x1F", "1d", "1_000"])
def test_digits_with_letters_are_the_name_of_a_column(text: str) -> None:
    (column,) = parse_statement(f"SELECT {text} AS c FROM s;").ast.expressions
    assert column.this == exp.Column(this=exp.Identifier(this=text, quoted=False))


@pytest.mark.parametrize("word", ["at", "query", "size"])
def test_a_reserved_word_needs_quotes_as_a_name(word: str) -> None:
    """Asked of a 7.9.1."""
    with pytest.raises(SqlError, match=f'"{word}" is a reserved keyword'):
        parse_statement(f"SELECT {word} FROM s;")
    parse_statement(f"SELECT `{word}` FROM s;")


FREE = """
ADD ALTER ANALYZE ARRAY ASSERT BIGINT BOOLEAN BYTES CHANGES COLUMN COLUMNS DATE DAY DEFINE DOUBLE EMIT ESCAPE
EXPLAIN FINAL FUNCTION FUNCTIONS GRACE HEADER HEADERS HOUR ID IF INT INTEGER INTERVAL KEY MAP MINUTE MONTH
PARTITION PARTITIONS PERIOD PLUGINS PRIMARY REPLACE RESET SCHEMA SECOND SESSION SET SHOW SINK SOURCE STRING
STRUCT SUBJECT SYSTEM TABLES TIME TIMEOUT TIMESTAMP TYPE TYPES UNDEFINE VARCHAR VARIABLES YEAR ZONE a
"""


@pytest.mark.parametrize("word", FREE.split())
def test_a_word_that_is_not_reserved_is_a_name_anywhere(word: str) -> None:
    for text in (f"SELECT {word} {word}, {word}.{word}, a {word} FROM {word} {word} EMIT CHANGES;",
                 f"SELECT a FROM s {word} PARTITION BY {word} EMIT CHANGES;",
                 f"SELECT a FROM s JOIN t {word} WITHIN 1 DAY ON a = b;"):  # fmt: skip
        statement = parse_statement(text)
        aliases = [name for name in statement.ast.find_all(exp.Identifier) if name.arg_key == "alias"]
        assert aliases
        assert {alias.name.upper() for alias in aliases} == {word.upper()}
        check(statement)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("SELECT a FROM s emit;", "SELECT a FROM s AS emit;"),
        ("SELECT a LIKE 'x' escape FROM s;", "SELECT a LIKE 'x' AS ESCAPE FROM s;"),
        ("SELECT a FROM s emit FINAL;", "SELECT a FROM s EMIT FINAL;"),
        ("SELECT a FROM s emit emit CHANGES;", "SELECT a FROM s AS emit EMIT CHANGES;"),
        ("SELECT a FROM s partition by a;", "SELECT a FROM s PARTITION BY a;"),
        ("SELECT a FROM s partition partition by a;", "SELECT a FROM s AS partition PARTITION BY a;"),
        ("SELECT a FROM s WINDOW w TUMBLING (SIZE 1 DAY) GROUP BY a;",
         "SELECT a FROM s WINDOW TUMBLING (SIZE 1 DAY) GROUP BY a;"),
        ("SELECT a FROM s GROUP BY (a, b);", "SELECT a FROM s GROUP BY a, b;"),
        ("SELECT a FROM s GROUP BY (a), b;", "SELECT a FROM s GROUP BY (a), b;"),
        ("SELECT a FROM s GROUP BY (a = b);", "SELECT a FROM s GROUP BY (a = b);"),
        ("CREATE STREAM s (a INT) WITH ('value_format'='JSON', `b`=-1);",
         "CREATE STREAM s (a INT) WITH ('value_format' = 'JSON', `b` = -1);"),
        ("CREATE STREAM s (a INT ARRAY, b STRUCT< >);", "CREATE STREAM s (a ARRAY<INT>, b STRUCT< >);"),
        ("EXPLAIN DROP STREAM x;", "EXPLAIN DROP STREAM x;"),
        ("EXPLAIN explain show streams;", "EXPLAIN EXPLAIN SHOW STREAMS;"),
        ("EXPLAIN SET 'a'='b';", "EXPLAIN SET 'a' = 'b';"),
        ("EXPLAIN SHOW;", "EXPLAIN SHOW;"),
        ("SELECT a--1\n, b /* two */ FROM /* three */ s --four\n;", "SELECT a, b FROM s;"),
        ("CREATE STREAM s (a INT /* one */) -- two\n WITH (a='b' /* 3 */);", "CREATE STREAM s (a INT) WITH (a = 'b');"),
    ],
)  # fmt: skip
def test_what_ksqldbs_grammar_has(text: str, normal: str) -> None:
    """Asked of a 7.9.1, which takes each."""
    statement = parse_statement(text)
    assert written(statement.ast) == normal
    check(statement)


def test_a_propertys_name_in_quotes_is_the_same_property() -> None:
    statement = parse_statement("CREATE STREAM s (a INT) WITH ('value_format'='JSON');")
    assert statement.properties == {"VALUE_FORMAT": "JSON"}
    assert statement.without_property("VALUE_FORMAT").text == "CREATE STREAM s (a INT);"


@pytest.mark.parametrize(
    "text",
    ["SELECT a FROM s GROUP BY a = b;", "SELECT a FROM s GROUP BY NOT a;", "SELECT a FROM s GROUP BY a IS NULL;",
     "SELECT a FROM s GROUP BY a AND b;", "SELECT a FROM s GROUP BY (a = b, c);", "SELECT a FROM s GROUP BY (a, b), c;",
     "SELECT a FROM s GROUP BY (a, b c);", "SELECT a FROM s GROUP BY a, ();",
     "SELECT a FROM s GROUP BY a,;", "SELECT a FROM s PARTITION BY a = b;", "SELECT a, FROM s;",
     "SELECT a AS AS FROM s;", "SELECT * b FROM s;", "SELECT a FROM s WHERE a, b;", "SELECT a FROM s LIMIT 5x;",
     "SELECT a FROM s WINDOW `w` TUMBLING (SIZE 1 DAY);", "SELECT a FROM s WINDOW WINDOW TUMBLING (SIZE 1 DAY);",
     "SELECT a FROM s WINDOW TUMBLING (SIZE 1 DAY,);",
     "SELECT a FROM s WINDOW TUMBLING (SIZE 1 DAY, GRACE PERIOD 1 DAY, RETENTION 1 DAY);",
     "SELECT a FROM s WINDOW TUMBLING (RETENTION 1 DAY, SIZE 1 DAY);",
     "SELECT a FROM s WINDOW TUMBLING (SIZE 1 DAY, ADVANCE BY 1 DAY);",
     "SELECT a FROM s WINDOW HOPPING (SIZE 1 DAY);", "SELECT a FROM s WINDOW SESSION (1 DAY RETENTION 1 DAY);",
     "SELECT a FROM s JOIN t WITHIN (1 DAY 2 DAYS) ON a = b;",
     "CREATE STREAM >= (a INT);", "CREATE STREAM s-t (a INT);", "CREATE STREAM s (a INT,);", "CREATE STREAM s ();",
     "CREATE STREAM s (a DECIMAL);", "CREATE STREAM s (a STRUCT<>);", "CREATE STREAM s (a INT) AS SELECT a FROM t;",
     "CREATE SOURCE STREAM s AS SELECT a FROM t;", "CREATE STREAM s WITH ();", "CREATE STREAM s WITH (a=1,);",
     "CREATE STREAM s WITH (a=b);", "CREATE STREAM s WITH (a=- -1);", "CREATE STREAM s WITH (a=-b);",
     "CREATE STREAM s WITH (a=(1));", "CREATE STREAM s WITH (a=+1);", "CREATE STREAM s WITH (a='b' 'c');",
     "INSERT INTO s (a,) VALUES (1);", "INSERT INTO s () VALUES (1);", "INSERT INTO s VALUES (1,);",
     "SET a='b';", "SET 'a'=1;", "UNSET a;", "DEFINE 1a='x';", "DEFINE 'a'='b';", "DEFINE a=1;", "DROP STREAM a$b;",
     "EXPLAIN 'a';", "EXPLAIN RUN SCRIPT 'a';", "SHOW NOPE;", "SHOW STREAMS NOPE;", "ASSERT TOPIC a.b;"],
)  # fmt: skip
def test_statements_that_ksqldb_has_no_syntax_for_are_refused(text: str) -> None:
    """A 7.9.1 answers each with a syntax error."""
    with pytest.raises(SqlError) as refused:
        parse_statement(text)
    assert refused.value.stage is Stage.SYNTAX


@pytest.mark.parametrize(
    ("text", "column"),
    [("SELECT a$b FROM s;", 9), ("SELECT $1 FROM s;", 8), ("SELECT F(a,) FROM s;", 12),
     ("SELECT ARRAY[1,] FROM s;", 16), ("SELECT 'a' + $ FROM s;", 14), ("SELECT F(,a) FROM s;", 10)],
)  # fmt: skip
def test_the_place_of_a_syntax_error(text: str, column: int) -> None:
    """A 7.9.1 gives the same places."""
    with pytest.raises(SqlError) as refused:
        parse_script(f"DROP STREAM a;\n{text}", "f.sql")
    assert refused.value.place == Place("f.sql", 2, column)


@pytest.mark.parametrize(
    ("text", "message"),
    [("SELECT a FROM s GROUP BY ();", "GROUP BY requires at least one expression"),
     ("EXPLAIN SELECT a FROM s PARTITION BY ( );", "PARTITION BY requires at least one expression"),
     ("INSERT INTO s VALUES ();", "Expected some values for INSERT INTO statement."),
     ("CREATE STREAM s WITH (a=1, 'A'=2);", "Duplicate key A")],
)  # fmt: skip
def test_what_the_grammar_has_and_ksqldb_refuses(text: str, message: str) -> None:
    with pytest.raises(SqlError) as refused:
        parse_statement(text)
    assert (refused.value.message, refused.value.stage) == (message, Stage.PREPARE)


NAMES = st.sampled_from(["a", "B_2", "`x y`", "`a``b`", "`SELECT`", '"c"', "`é`", "1e", "date"])
LITERALS = st.sampled_from(["1", "-2", "0.50", "1e3", ".5", "'t'", "'x''y'", "''", "TRUE", "NULL"])
UNARY = st.sampled_from(["- {}", "NOT {}", "({})", "{} IS NULL", "{} IS NOT NULL", "F({})", "CAST({} AS BIGINT)",
                         "{}->f", "{}['k']", "{} LIKE 'x%'", "{} NOT LIKE 'a' ESCAPE '!'", "ARRAY[{}]", "G(a, x => {})",
                         "STRUCT(`f` := {})", "CASE {} WHEN 1 THEN 2 END"])  # fmt: skip
BINARY = st.sampled_from(["{} + {}", "{} - {}", "{} * {}", "{} / {}", "{} % {}", "{} = {}", "{} <> {}", "{} < {}",
                          "{} AND {}", "{} OR {}", "{} IN ({}, 1)", "{} NOT IN ({})", "{} BETWEEN {} AND 3",
                          "{} NOT BETWEEN 1 AND {}", "MAP({} := {})", "CASE WHEN {} THEN {} ELSE 0 END", "{} || {}",
                          "H({}, (x, y) => {})", "{} IS DISTINCT FROM {}"])  # fmt: skip
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
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1))
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
