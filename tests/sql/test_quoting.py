"""Names and texts in the engines' SQL: whatever they contain, each is one token."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlglot.dialects import DuckDB, Spark

from opensea_metrics.core import quoting
from opensea_metrics.core.errors import SqlError
from opensea_metrics.core.quoting import column_name, name_of_column
from tests.hostile import NAMES, is_text, names

ROOT = Path(__file__).parents[2]
WRITERS = ("quoted", "text", "column", "spark_quoted", "spark_text", "spark_column")
ALLOWED = names().filter(lambda name: name and "\0" not in name and is_text(name))


@pytest.fixture(scope="module")
def database() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as made:
        yield made


@settings(deadline=None)
@given(name=ALLOWED)
def test_duckdb_reads_what_was_written(database: duckdb.DuckDBPyConnection, name: str) -> None:
    written = f"SELECT {quoting.text(name)} AS {quoting.quoted(name)}, 1 AS {quoting.column(name)}"
    found = database.execute(written)
    assert [each[0] for each in found.description] == [name, column_name(name)]
    assert found.fetchall() == [(name, 1)]
    database.execute(f"CREATE TABLE {quoting.quoted(name)} ({quoting.column(name)} INTEGER)")
    tables = "SELECT table_name, column_name FROM duckdb_columns() WHERE NOT internal"
    assert database.execute(tables).fetchall() == [(name, column_name(name))]
    database.execute(f"DROP TABLE {quoting.quoted(name)}")


def test_a_text_may_have_a_nul() -> None:
    selected = duckdb.sql(f"SELECT {quoting.text('a' + chr(0) + 'b')}")
    assert selected is not None
    assert selected.fetchall() == [("a\0b",)]


@pytest.mark.parametrize("writer", WRITERS)
@settings(deadline=None)
@given(name=ALLOWED)
def test_a_name_is_one_token(writer: str, name: str) -> None:
    dialect = Spark() if writer.startswith("spark") else DuckDB()
    kinds = [token.token_type.name for token in dialect.tokenize(f"a {getattr(quoting, writer)(name)} b")]
    middle = "STRING" if writer.endswith("text") else "IDENTIFIER"
    assert kinds == ["VAR", middle, "VAR"]


@settings(deadline=None)
@given(st.text())
def test_spark_finds_no_variable_in_a_text(value: str) -> None:
    if is_text(value):
        assert "$" not in quoting.spark_text("${env:HOME}" + value)
        (token,) = Spark().tokenize(quoting.spark_text(value.replace("$", "")))
        assert token.text == value.replace("$", "")


@pytest.mark.parametrize("writer", WRITERS)
def test_half_a_surrogate_pair_is_refused(writer: str) -> None:
    with pytest.raises(SqlError, match="not Unicode: there is half a surrogate pair at position 2 of"):
        getattr(quoting, writer)("a\ud800b")


@pytest.mark.parametrize("writer", [each for each in WRITERS if not each.endswith("text")])
@pytest.mark.parametrize(("name", "why"), [("", "a name is empty"), ("a\0", r"contains the character U\+0000")])
def test_what_no_identifier_can_be_is_refused(writer: str, name: str, why: str) -> None:
    with pytest.raises(SqlError, match=why):
        getattr(quoting, writer)(name)


@pytest.mark.parametrize(
    ("name", "stored"),
    [("PRICE", "PRICE"), ("A1_B", "A1_B"), ("_LINE", "_LINE$0"), ("_line", "_line$f"), ("ROWID", "ROWID$0"),
     ("aB", "aB$2"), ("Ab", "Ab$1"), ("A$0", "A$0$0"), ("é", "é$1"), ("É", "É$0"), ("1", "1$0")],
)  # fmt: skip
def test_a_column_has_a_name_that_no_other_has(name: str, stored: str) -> None:
    assert column_name(name) == stored
    assert name_of_column(stored) == name


@settings(deadline=None)
@given(ALLOWED, ALLOWED)
def test_columns_of_two_names_are_never_equal(one: str, other: str) -> None:
    assert name_of_column(column_name(one)) == one
    for name in (other, one.swapcase()):
        if name != one and (one + name).isascii():
            assert column_name(one).lower() != column_name(name).lower()


@pytest.mark.parametrize("name", [each for each in NAMES if each and "\0" not in each and is_text(each)])
def test_a_field_is_found_in_json(database: duckdb.DuckDBPyConnection, name: str) -> None:
    record = json.dumps({name: {name: 1}, "other": {}})
    place = quoting.text(quoting.json_pointer([name, name]))
    assert database.execute(f"SELECT json_type(?, {place})", [record]).fetchall() == [("UBIGINT",)]


def _calls(path: Path) -> list[ast.Call]:
    return [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]


def _sources() -> list[Path]:
    folders = ("opensea_metrics/core", "sql", "deploy", "producer", "spark_batch", "udfs")
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def _places(is_one: Callable[[ast.Call], bool]) -> set[str]:
    return {
        str(path.relative_to(ROOT)) for path in _sources() for call in _calls(path) if is_one(call)
    }


def test_nothing_else_doubles_quotes() -> None:
    quotes = ("'", '"', "`")

    def doubles(call: ast.Call) -> bool:
        values = [each.value for each in call.args if isinstance(each, ast.Constant)]
        return (
            isinstance(call.func, ast.Attribute)
            and call.func.attr == "replace"
            and len(values) == 2
            and values[0] in quotes
            and str(values[1]) in ("''", '""', "``", "\\'", '\\"', "\\`")
        )

    assert _places(doubles) == {"opensea_metrics/core/quoting.py"}


def test_nothing_else_opens_a_database() -> None:
    opening = ("duckdb.connect", "duckdb.sql", "duckdb.query", "duckdb.execute", "duckdb.from_csv_auto")
    assert _places(lambda call: ast.unparse(call.func) in opening) == {"opensea_metrics/core/database.py"}
