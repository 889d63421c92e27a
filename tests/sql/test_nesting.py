"""Deep and long statements: read, checked, written for DuckDB and run, or refused with the limit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import reduce
from typing import Any

import duckdb
import pytest

from opensea_metrics.core.errors import SqlError
from opensea_metrics.sql.language.catalog.catalog import Catalog
from opensea_metrics.sql.language.catalog.changes import applied
from opensea_metrics.sql.language.dialect.grammar import BRACKETS, OPERATIONS
from opensea_metrics.sql.language.lowering.duckdb import selects
from opensea_metrics.sql.language.lowering.duckdb.setup import SETUP, register_functions
from opensea_metrics.sql.language.lowering.spark import selects as spark_selects
from opensea_metrics.sql.language.queries.resolution import analyse
from opensea_metrics.sql.language.statements.parser import parse_script
from tests.sql.counting import calls_of

DECLARED = (
    "CREATE STREAM t (a INT, b BIGINT, d DOUBLE, s VARCHAR, p BOOLEAN, l ARRAY<BIGINT>)"
    " WITH (KAFKA_TOPIC='t', VALUE_FORMAT='JSON', PARTITIONS=1);"
)
ROW = (3, 2**62 + 1, 0.1, "x", True, [1, 2])

# How a call, operator or CASE is put around an expression, what is innermost, and what Python has for one
# more of it.
NESTED: dict[str, tuple[str, str, str, Callable[[Any], object]]] = {
    "parentheses": ("(", "a", ")", lambda value: value),
    "calls": ("UCASE(", "s", ")", lambda value: "X"),
    "calls that repeat their argument": ("REPLACE(", "s", ", 'x', 'x')", lambda value: value),
    "macros that repeat their argument": ("SUBSTRING(", "s", ", 1)", lambda value: value),
    "arithmetic": ("(", "b", " * 3)", lambda value: wrapped(value * 3, 64)),
    "ELSE": ("CASE WHEN a = 1 THEN 1 ELSE ", "a", " END", lambda value: value),
    "WHEN": ("CASE WHEN ", "p", " THEN false ELSE true END", lambda value: not value),
    "NOT": ("NOT ", "p", "", lambda value: not value),
    "NOT of AND": ("NOT (p AND ", "p", ")", lambda value: not value),
    "AND beside arithmetic": ("(a + 1 = 4 AND ", "p", ")", lambda value: value),
    "ARRAY": ("ARRAY[", "a", "]", lambda value: [value]),
    "STRUCT": ("STRUCT(x := ", "a", ")", lambda value: {"X": value}),
    "fields of STRUCT": ("STRUCT(x := ", "a", ")->x", lambda value: value),
    "CAST": ("CAST(", "a", " AS BIGINT)", lambda value: value),
    "FILTER": ("FILTER(", "l", ", x => x > 0)", lambda value: value),
}


def wrapped(value: object, bits: int) -> int:
    """An integer as Java's arithmetic leaves it."""
    assert isinstance(value, int)
    half = 1 << (bits - 1)
    return (value + half) % (2 * half) - half


def nested(name: str, depth: int) -> str:
    before, inner, after, _ = NESTED[name]
    return f"SELECT {before * depth}{inner}{after * depth} AS x FROM t EMIT CHANGES;"


def catalog() -> Catalog:
    (statement,) = parse_script(DECLARED, "t")
    return applied(Catalog(), statement, 1)


def written(query: str, writer: Callable[..., str] = selects.rows) -> str:
    (statement,) = parse_script(query, "query")
    return writer(analyse(statement, statement.ast, dict(catalog().sources)), "SELECT * FROM t")


@pytest.fixture(scope="module")
def database() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as database:
        for statement in SETUP:
            database.execute(statement)
        register_functions(database)
        database.execute(
            'CREATE TABLE t ("A" INTEGER, "B" BIGINT, "D" DOUBLE, "S" VARCHAR, "P" BOOLEAN, "L" BIGINT[],'
            ' "ROWTIME" BIGINT, "_off" BIGINT)'
        )
        database.execute("INSERT INTO t VALUES (?, ?, ?, ?, ?, ?, 0, 0)", ROW)
        database.execute("INSERT INTO t VALUES (NULL, NULL, NULL, NULL, NULL, NULL, 0, 1)")
        yield database


def results(database: duckdb.DuckDBPyConnection, query: str) -> list[object]:
    """The first column for the row with values, and for that of NULLs if it is kept."""
    rows = database.execute(f"SELECT * FROM ({written(query)}) ORDER BY _off").fetchall()
    return [row[0] for row in rows]


@pytest.mark.parametrize("name", NESTED)
def test_200_levels(database: duckdb.DuckDBPyConnection, name: str) -> None:
    _, inner, _, more = NESTED[name]
    value: object = ROW["abdspl".index(inner)]
    for _ in range(200):
        value = more(value)
    assert results(database, nested(name, 200))[0] == value


@pytest.mark.parametrize(
    ("before", "inner", "after"),
    [
        *((before, inner, after) for before, inner, after, _ in NESTED.values()),
        ("COALESCE(1 + ", "a", ", 0)"),
        ("DATE(", "a", ")"),
        ("TIMESTAMP(", "a", ")"),
        ("DECIMAL(", "a", ")"),
        ("MAP('k' := ", "a", ")"),
        ("ARRAY[", "a", ""),  # without its end
        ("DATE(", "a", ""),
        ("CAST(CAST(", "s", " AS BIGINT) AS VARCHAR)"),
        ("CAST(CAST(", "d", " AS BIGINT) AS DOUBLE)"),
        ("(", "d", " / 3)"),
        ("(", "a", " / 3)"),
        ("EXTRACTJSONFIELD(", "s", ", '$.a')"),
        ("REGEXP_EXTRACT('x', ", "s", ")"),
        ("TRANSFORM(", "l", ", x => x + 1)"),
        ("REDUCE(l, ", "b", ", (x, y) => x + y)"),
        ("(s LIKE CASE WHEN ", "p", " THEN 'x' ELSE 'y' END)"),
    ],
)
def test_work_grows_with_the_depth_and_not_by_powers_of_two(before: str, inner: str, after: str) -> None:
    def work(depth: int) -> tuple[int, int]:
        lengths = []

        def read_and_write() -> None:
            query = f"SELECT {before * depth}{inner}{after * depth} AS x FROM t EMIT CHANGES;"
            for writer in (selects.rows, spark_selects.rows):
                try:
                    lengths.append(len(written(query, writer)))
                except SqlError:
                    lengths.append(1)

        return calls_of(read_and_write), max(lengths)

    for small, large in zip(work(10), work(40), strict=True):
        assert large < 8 * small


TYPES = {
    "ARRAY": ("ARRAY<", "INT", ">", "INTEGER"),
    "STRUCT": ("STRUCT<x ", "INT", ">", "INTEGER"),
    "MAP": ("MAP<VARCHAR, ", "INT", ">", "INTEGER"),
}


@pytest.mark.parametrize("name", TYPES)
def test_types_of_200_levels(name: str) -> None:
    before, inner, after, kind = TYPES[name]
    columns = f"(c {before * 200}{inner}{after * 200})"
    (statement,) = parse_script(f"CREATE STREAM u {columns} {DECLARED.split(') ')[1]}", "u")
    (column,) = applied(Catalog(), statement, 1).sources["U"].columns
    shown = str(column.type)
    assert shown.count(name) == 200
    assert kind in shown


CHAINS: dict[str, tuple[str, list[object]]] = {
    "ANDs": (" AND ".join(f"a <> {n + 10}" for n in range(5_000)), [True, False]),
    "elements of IN": (f"a IN ({', '.join(map(str, range(5_000)))})", [True, False]),
    "additions that wrap around": (
        "b" + " + b - a" * 2_500,
        [wrapped(ROW[1] * 2_501 - 3 * 2_500, 64), None],
    ),
    "additions of INTEGER that wrap around": (
        " + ".join(["2147483647"] * 20),
        [wrapped(2147483647 * 20, 32)] * 2,
    ),
    "additions of INTEGER, then of BIGINT": (
        "a" + " + 2147483647" * 3 + " + b" * 20,
        [wrapped(wrapped(3 + 2147483647 * 3, 32) + ROW[1] * 20, 64), None],
    ),
    "additions of DOUBLE": (
        "d" + " + d - CAST(0.3 AS DOUBLE)" * 2_500,
        [reduce(lambda total, _: total + 0.1 - 0.3, range(2_500), 0.1), None],
    ),
    "additions of text": (" + ".join(["s"] * 500), ["x" * 500, "null" * 500]),
    "ORs": (" OR ".join(f"a = {n}" for n in range(500)), [True, False]),
    "ANDs with arithmetic": (" AND ".join(f"a + 1 <> {n + 10}" for n in range(500)), [True, None]),
    "ANDs with arithmetic after false": (
        "a <> 3 AND " + " AND ".join(f"a + 1 <> {n}" for n in range(100)),
        [False, False],
    ),
    "ORs with arithmetic after true": (
        "a IS NULL OR " + " OR ".join(f"a + 1 = {n}" for n in range(100)),
        [True, True],
    ),
    "branches of CASE": (
        f"CASE {' '.join(f'WHEN a = {n} THEN {n}' for n in range(500))} END",
        [3, None],
    ),
}


@pytest.mark.parametrize("name", CHAINS)
def test_chains(database: duckdb.DuckDBPyConnection, name: str) -> None:
    text, expected = CHAINS[name]
    assert results(database, f"SELECT ({text}) AS x FROM t EMIT CHANGES;") == expected


def test_a_condition_of_5000_ands(database: duckdb.DuckDBPyConnection) -> None:
    condition = CHAINS["ANDs"][0]
    # DuckDB takes 10 GB if it makes filters of them.
    database.execute("SET memory_limit = '400MB'")
    assert results(database, f"SELECT a AS x FROM t WHERE {condition} EMIT CHANGES;") == [3]


DEEP = f"more than {BRACKETS} brackets and CASEs"
MANY = f"more than {OPERATIONS} operations"


@pytest.mark.parametrize(
    ("text", "what", "column"),
    [
        ("(" * 251 + "a" + ")" * 251, DEEP, 7 + 251),
        ("(" * 20_000, DEEP, 7 + 251),
        ("CASE WHEN a = 1 THEN 1 ELSE " * 251 + "a" + " END" * 251, DEEP, 8 + 250 * 28),
        ("ABS((" * 126 + "a" + "))" * 126, DEEP, None),
        ("NOT " * 601 + "p", MANY, None),
        ("NOT " * 20_000 + "p", MANY, None),
        ("- " * 20_000 + "a", MANY, None),
        ("a" + " * a" * 601, MANY, None),
        ("a" + "->x" * 20_000, MANY, None),
        ("a" + "[1]" * 20_000, MANY, None),
        ("a" + " = a" * 20_000, MANY, None),
    ],
    ids=lambda value: str(value)[:12],
)
def test_beyond_the_limit_it_is_said(text: str, what: str, column: int | None) -> None:
    with pytest.raises(SqlError, match=f"Statement is too large to parse: {what}") as caught:
        parse_script(f"SELECT {text} FROM t;", "file.sql")
    assert caught.value.place is not None
    assert caught.value.place.file == "file.sql"
    assert column is None or caught.value.place.column == column


def test_types_beyond_the_limit() -> None:
    text = "ARRAY<" * 251 + "INT" + ">" * 251
    for statement in (f"CREATE STREAM u (c {text}) WITH (x=1);", f"SELECT CAST(a AS {text}) FROM t;"):
        with pytest.raises(SqlError, match=DEEP):
            parse_script(statement, "u")


def test_250_levels_are_read() -> None:
    parse_script("SELECT " + "(" * 250 + "a" + ")" * 250 + " FROM t;", "query")


def test_lambdas_inside_lambdas_have_a_limit_of_their_own(database: duckdb.DuckDBPyConnection) -> None:
    def query(depth: int) -> str:
        return f"SELECT {'TRANSFORM(l, x => ' * depth}1{')' * depth} AS x FROM t EMIT CHANGES;"

    value: object = 1
    for _ in range(8):
        value = [value, value]
    assert results(database, query(8))[0] == value
    with pytest.raises(SqlError, match="a lambda inside 8 others is not supported"):
        written(query(9))


def test_coalesce_of_arithmetic_is_written_without_lambdas() -> None:
    """DuckDB needs the cube of the depth: 200 levels took 27 seconds with a lambda for each."""
    for name in ("COALESCE", "IFNULL", "NULLIF"):
        sql = written(f"SELECT {f'{name}(1 + ' * 200}a{', 0)' * 200} AS x FROM t EMIT CHANGES;")
        assert "lambda" not in sql
        assert len(sql) < 200 * 60


@pytest.mark.parametrize(("operator", "operand"), [("AND", "a = 1"), ("OR", "a = 1"), ("+", "a"), ("-", "a")])
def test_a_chain_has_an_end(operator: str, operand: str) -> None:
    """The time for a chain grows faster than the chain, in DuckDB too."""

    def chain(operations: int) -> str:
        return f"SELECT {f' {operator} '.join([operand] * (operations + 1))} AS x FROM t EMIT CHANGES;"

    parse_script(chain(6_000), "f")
    with pytest.raises(SqlError, match="more than 6000 operators in a row") as caught:
        parse_script(chain(6_001), "f")
    assert caught.value.hint


def test_an_array_of_which_each_column_explodes_a_field_is_written_once() -> None:
    array = "ARRAY[STRUCT(m := 'a', v := d), STRUCT(m := 'b', v := d + 1)]"
    sql = written(f"SELECT EXPLODE({array})->m AS m, EXPLODE({array})->v AS v FROM t EMIT CHANGES;")
    assert sql.count("struct_pack(") == 2
    with duckdb.connect() as database:
        database.execute('CREATE TABLE t AS SELECT 1.5::DOUBLE AS "D", 0 AS "ROWTIME", 0 AS "_off"')
        assert database.execute(f"SELECT * FROM ({sql})").fetchall() == [("a", 1.5, 0, 0), ("b", 2.5, 0, 0)]
