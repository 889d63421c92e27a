"""Statements → what is read, types, the engines' SQL, and what CREATE OR REPLACE may change: cases as data."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from opensea_metrics.core.errors import SqlError
from opensea_metrics.core.types import BIGINT
from opensea_metrics.sql.language.catalog.sources import Column
from opensea_metrics.sql.language.catalog.upgrade import Change, changes
from opensea_metrics.sql.language.functions import library
from opensea_metrics.sql.language.lowering import support
from opensea_metrics.sql.language.lowering.calls import Calls
from opensea_metrics.sql.language.lowering.duckdb.expressions import Lowering
from opensea_metrics.sql.language.lowering.refusals import DUCKDB, EMBEDDED, SPARK, Unsupported
from opensea_metrics.sql.language.lowering.spark.expressions import SparkLowering
from opensea_metrics.sql.language.queries.analysis import Analysis
from opensea_metrics.sql.language.queries.resolution import analyse
from opensea_metrics.sql.language.queries.scope import Scope
from opensea_metrics.sql.language.statements.parser import parse_script, parse_statement
from opensea_metrics.sql.language.statements.statements import written
from tests.sql.cases import catalog_of, each, load

TYPES, LOWERING, UPGRADES = load("types"), load("lowering"), load("upgrades")
ENGINES: dict[str, type[Calls]] = {"duckdb": Lowering, "spark": SparkLowering}


@each(load("parser"), "text")
def test_parser(case: dict[str, Any]) -> None:
    if "error" in case:
        with pytest.raises(SqlError) as refused:
            parse_statement(case["text"])
        assert str(refused.value).splitlines()[0] == case["error"]
        return
    statement = parse_statement(case["text"])
    assert {
        "text": case["text"],
        "kind": statement.kind.value,
        **({"name": statement.name} if statement.name else {}),
        **({"reads": list(statement.reads)} if statement.reads else {}),
        "written": written(statement.ast),
    } == case


def analysis_of(given: list[str], select: str) -> Analysis:
    (statement,) = parse_script(f"{select};", "case")
    return analyse(statement, statement.ast, dict(catalog_of(given).sources))


@each(TYPES["cases"], "select")
def test_types(case: dict[str, Any]) -> None:
    if "error" in case:
        with pytest.raises(SqlError) as refused:
            analysis_of(TYPES["given"], case["select"])
        assert str(refused.value).splitlines()[0] == case["error"]
        return
    analysis = analysis_of(TYPES["given"], case["select"])
    types = {item.column.name: str(item.column.type) for item in analysis.projections}
    assert types == case["columns"]
    assert list(types) == list(case["columns"])


@each(load("catalog")["cases"], "statement")
def test_catalog(case: dict[str, Any]) -> None:
    statements = [*TYPES["given"], case["statement"]]
    if "error" in case:
        with pytest.raises(SqlError) as refused:
            catalog_of(statements)
        assert str(refused.value).splitlines()[0] == case["error"]
        return
    columns = catalog_of(statements).sources["O"].columns
    types = {column.name: " ".join(filter(None, (str(column.type), column.role))) for column in columns}
    assert types == case["columns"]
    assert list(types) == list(case["columns"])


@each(LOWERING["cases"], "expression")
@pytest.mark.parametrize("engine", ENGINES)
def test_lowering(case: dict[str, Any], engine: str) -> None:
    analysis = analysis_of([LOWERING["given"]], f"SELECT {case['expression']} AS v FROM s EMIT CHANGES")
    scope = Scope(analysis.statement, {"S": analysis.source.readable()})
    lowering = ENGINES[engine](scope)
    if engine not in case:
        with pytest.raises(Unsupported) as refused:
            lowering.value(analysis.projections[0].expression)
        assert refused.value.feature == case[f"{engine}_refusal"]
        return
    assert lowering.value(analysis.projections[0].expression) == case[engine]


@pytest.mark.parametrize("name", ["ROWPARTITION", "ROWOFFSET"])
def test_recompute_refuses_the_place_of_a_record(name: str) -> None:
    """An archive's values do not have it."""
    given = "CREATE STREAM s (i INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);"
    analysis = analysis_of([given], f"SELECT i, {name} AS v FROM s EMIT CHANGES")
    support.check_query(analysis, EMBEDDED)
    for engine in (DUCKDB, SPARK):
        with pytest.raises(Unsupported) as refused:
            support.check_query(analysis, engine)
        assert refused.value.feature == name


def as_data(change: Change) -> dict[str, str]:
    """A change as the file has it."""
    return {
        "clause": change.clause,
        "description": change.description,
        **({"refusal": change.refusal} if change.refusal else {}),
        **({"difference": change.difference.name} if change.difference.name != "OTHER" else {}),
    }


@each(UPGRADES["cases"], "old", "new")
def test_upgrades(case: dict[str, Any]) -> None:
    old, new = (catalog_of([*UPGRADES["given"], case[key]]).definition("O") for key in ("old", "new"))
    assert old is not None
    assert new is not None
    assert [as_data(change) for change in changes(old, new)] == case["changes"]


def test_a_statement_is_resolved_again_only_for_other_sources_or_functions() -> None:
    declared = "CREATE STREAM s (a INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);"
    sources = dict(catalog_of([declared]).sources)
    (statement,) = parse_script("SELECT a FROM s EMIT CHANGES;", "case")
    analysis = analyse(statement, statement.ast, sources)
    assert analyse(statement, statement.ast, {**sources, "OTHER": sources["S"]}) is analysis
    assert analyse(statement, statement.ast, {"S": replace(sources["S"])}) is analysis
    others = replace(sources["S"], columns=(Column("A", BIGINT),))
    assert analyse(statement, statement.ast, {"S": others}).columns == (Column("A", BIGINT),)
    with pytest.raises(SqlError, match="S does not exist"):
        analyse(statement, statement.ast, {})

    (statement,) = parse_script("SELECT twice(a) AS b FROM s EMIT CHANGES;", "case")
    before = library.declared()
    try:
        for result in ("BIGINT", "VARCHAR"):
            library.declare({"TWICE": library.of_server("TWICE", f"INT -> {result}")})
            (column,) = analyse(statement, statement.ast, sources).columns
            assert str(column.type) == ("STRING" if result == "VARCHAR" else result)
    finally:
        library.declare(before)
