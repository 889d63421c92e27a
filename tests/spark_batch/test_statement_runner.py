"""The functions of statements, and the database that a thread opens."""

from __future__ import annotations

import re

import duckdb
import pytest

from opensea_metrics.spark_batch import chunk_reading
from opensea_metrics.spark_batch.opening import Opening
from opensea_metrics.spark_batch.statement_runner import StatementRunner
from opensea_metrics.sql.language.lowering.duckdb import setup
from opensea_metrics.sql.language.lowering.duckdb.setup import SETUP
from opensea_metrics.sql.language.lowering.mathematics import MATHEMATICS
from opensea_metrics.sql.language.lowering.rare import table
from opensea_metrics.sql.language.lowering.rare.table import CASTS


def registered(database: duckdb.DuckDBPyConnection) -> list[str]:
    """ksqlDB's functions in a database."""
    query = "SELECT function_name FROM duckdb_functions() WHERE upper(function_name) LIKE 'KSQL%' ORDER BY 1"
    return [name.upper() for (name,) in database.execute(query).fetchall()]


def test_functions_are_registered_when_a_statement_calls_them() -> None:
    name = CASTS["DOUBLE AS STRING"].definition.name
    with chunk_reading.database(adjustable=["memory_limit"]) as (database, _):
        runner = StatementRunner(database, all_functions=False)
        assert registered(database) == []
        for connection in (database, database.cursor(), database):
            assert runner.once(connection, f'SELECT "{name}"(1e7)').fetchall() == [("1.0E7",)]
        assert registered(database) == [name]
        assert runner.number(database, "SELECT count(*) FROM range(3)") == 3


def test_functions_that_a_macro_calls_are_registered() -> None:
    with chunk_reading.database(adjustable=["memory_limit"]) as (database, _):
        runner = StatementRunner(database, all_functions=False)
        assert runner.once(database, "SELECT double_text(1e7), double_text(0.5)").fetchall() == [("1.0E7", "0.5")]


def test_every_function_that_a_macro_calls_is_known() -> None:
    called = {name for statement in SETUP for name in re.findall(r"\bksql_\w+", statement)}
    assert called == {form.definition.name.lower() for form in setup._CALLED_BY_MACROS.values()}


def test_functions_are_known_by_the_names_of_their_definitions() -> None:
    for name, form in table._by_name().items():
        assert form.definition.name == name
        assert table.called(f'SELECT "{name}"(x)') == [form.definition]


@pytest.mark.parametrize("function", ["CBRT", "COSH"])
def test_a_function_with_a_text_of_its_own_is_registered(function: str) -> None:
    with chunk_reading.database(adjustable=["memory_limit"]) as (database, _):
        runner = StatementRunner(database, all_functions=False)
        lowered = MATHEMATICS[function].duckdb
        assert lowered is not None
        assert runner.once(database, f"SELECT {lowered.format('1e0')} > 0").fetchall() == [(True,)]


def test_work_that_runs_statements_by_itself_has_all_functions() -> None:
    with chunk_reading.database(adjustable=["memory_limit"]) as (database, _):
        StatementRunner(database, all_functions=True)
        assert len(registered(database)) > 50


def test_an_opened_database_is_for_one_run_and_then_restricted() -> None:
    opening = Opening()
    opened = opening.taken()
    assert opening.taken() is None
    with chunk_reading.database(opened=opened) as (database, folder):
        assert database is opened
        assert database.execute("SELECT current_setting('temp_directory')").fetchall() == [(str(folder / "spilled"),)]
        for statement in ("SELECT * FROM read_text('/etc/hostname')", "SET threads = 1"):
            with pytest.raises(duckdb.Error, match=r"disabled|locked"):
                database.execute(statement)
