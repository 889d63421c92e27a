"""Every function of ksqlDB in every variation: its type, and whether it runs or is refused by name."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from opensea_metrics.core.errors import SqlError
from opensea_metrics.deploy.embedded.engine import Engine
from opensea_metrics.deploy.embedded.statements.statement_runner import (
    Statements,
    StatementsRequest,
)
from opensea_metrics.deploy.embedded.storage import Storage
from opensea_metrics.sql.language.catalog.catalog import Catalog
from opensea_metrics.sql.language.catalog.changes import applied
from opensea_metrics.sql.language.functions import library as functions
from opensea_metrics.sql.language.lowering import support
from opensea_metrics.sql.language.lowering.refusals import DUCKDB, EMBEDDED, SPARK, Unsupported
from opensea_metrics.sql.language.queries.analysis import Analysis
from opensea_metrics.sql.language.queries.resolution import analyse
from opensea_metrics.sql.language.statements.parser import parse_statement
from tests.embedded.conformance import Run
from tests.parts.yaml_files import read_yaml

TABLE: dict[str, Any] = read_yaml(Path(__file__).parent / "functions.yml")
CASES: list[dict[str, str]] = TABLE["cases"]
GIVEN = str(TABLE["given"]).replace("RUN_", "")
NOTHING = "DESCRIBE there_is_no_such_stream;"


def name_of(case: dict[str, str]) -> str:
    return case["call"].partition("(")[0]


def select_of(call: str, source: str = "s") -> str:
    is_aggregate = functions.BUILT_IN[call.partition("(")[0]].kind == "aggregate"
    group = " GROUP BY k" if is_aggregate else ""
    return f"SELECT k, {call} AS x FROM {source}{group} EMIT CHANGES;"


def statement_of(call: str, name: str = "z") -> str:
    kind = "TABLE" if "GROUP BY" in select_of(call) else "STREAM"
    return f"CREATE {kind} {name} AS {select_of(call)}"


def analysis_of(call: str, given: str = GIVEN) -> Analysis:
    catalog = applied(Catalog(), parse_statement(given), 0)
    statement = parse_statement(statement_of(call))
    return analyse(statement, statement.ast.args["query"], dict(catalog.sources))


each_case = pytest.mark.parametrize("case", [pytest.param(case, id=case["call"]) for case in CASES])


def test_the_table_has_every_function_and_variation() -> None:
    assert {name_of(case) for case in CASES} == functions.BUILT_IN.keys()
    assert len(functions.BUILT_IN) == 149
    for name, function in functions.BUILT_IN.items():
        calls = {case["call"] for case in CASES if name_of(case) == name}
        assert len(calls) >= len(function.variations), name


@each_case
def test_a_call_has_the_type_that_ksqldb_gives_it(case: dict[str, str]) -> None:
    assert str(analysis_of(case["call"]).projections[-1].column.type) == case["type"]


def refusal_of(analysis: Analysis, engine: str) -> str | None:
    """The feature that an engine does not have."""
    try:
        support.check_query(analysis, engine)
    except Unsupported as error:
        return error.message.removesuffix(f" is not supported by {engine}. ksqlDB supports it.")
    return None


@each_case
@pytest.mark.parametrize("engine", [EMBEDDED, DUCKDB])
def test_an_engine_runs_a_call_or_refuses_it_by_name(case: dict[str, str], engine: str) -> None:
    assert refusal_of(analysis_of(case["call"]), engine) == case.get("refused")
    assert name_of(case) in case.get("refused", name_of(case))


@each_case
def test_spark_runs_a_call_or_refuses_it_by_name(case: dict[str, str]) -> None:
    if re.search(r"\bti\b", case["call"]):
        assert refusal_of(analysis_of(case["call"]), SPARK) == "the column TI of S (Spark has no type for TIME)"
        return
    feature = refusal_of(analysis_of(case["call"], GIVEN.replace("ti TIME, ", "")), SPARK)
    assert feature == ("the type TIME" if case["type"] == "TIME" else None)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Statements]:
    """An embedded server's statements, with the stream of the table."""
    engine = Engine(Storage(tmp_path_factory.mktemp("data")))
    statements = Statements(engine)
    assert statements.run(StatementsRequest(GIVEN, {}, {}))[1] == 200
    yield statements
    engine.stop()


@pytest.mark.parametrize("case", [pytest.param(c, id=c["call"]) for c in CASES if "refused" in c])
def test_a_dry_run_on_the_embedded_server_refuses_as_well(
    server: Statements, case: dict[str, str]
) -> None:
    reply, status = server.run(StatementsRequest(f"{statement_of(case['call'])} {NOTHING}", {}, {}))
    assert status == 400
    assert f"{case['refused']} is not supported by the embedded server. ksqlDB" in reply["message"]


def test_what_a_dry_run_takes_is_carried_out(server: Statements) -> None:
    for number, case in enumerate(case for case in CASES if "refused" not in case):
        text = statement_of(case["call"], f"z{number}")
        reply, _ = server.run(StatementsRequest(f"{text} {NOTHING}", {}, {}))
        assert "THERE_IS_NO_SUCH_STREAM" in reply["message"], case["call"]
        reply, status = server.run(StatementsRequest(text, {}, {}))
        assert status == 200, reply


def test_show_functions_lists_what_runs(server: Statements) -> None:
    (reply,), _ = server.run(StatementsRequest("SHOW FUNCTIONS;", {}, {}))
    listed = {each["name"] for each in reply["functions"]}
    runs = {name_of(case) for case in CASES if "refused" not in case}
    assert listed & functions.BUILT_IN.keys() == runs
    assert listed - functions.BUILT_IN.keys() == functions.known().keys() - functions.BUILT_IN.keys()


def test_describe_function_shows_the_variations_that_run(server: Statements) -> None:
    (reply,), _ = server.run(StatementsRequest("DESCRIBE FUNCTION concat;", {}, {}))
    variation, of_bytes = reply["functions"]
    assert of_bytes["argumentTypes"] == ["BYTES"]
    assert variation["argumentTypes"] == ["VARCHAR"]
    assert variation["arguments"][0]["isVariadic"] is True
    assert variation["returnType"] == "VARCHAR"
    (reply,), _ = server.run(StatementsRequest("DESCRIBE FUNCTION abs;", {}, {}))
    returned = [each["returnType"] for each in reply["functions"]]
    assert returned == ["DECIMAL", "DOUBLE", "INT", "BIGINT"]
    (reply,), _ = server.run(StatementsRequest("DESCRIBE FUNCTION reduce;", {}, {}))
    assert reply["functions"][0]["argumentTypes"] == ["ARRAY<T>", "S", "LAMBDA (S, T) => S"]
    (reply,), _ = server.run(StatementsRequest("DESCRIBE FUNCTION cube_explode;", {}, {}))
    assert reply["functions"][0]["returnType"] == "ARRAY<T>"


@pytest.mark.parametrize("name", functions.BUILT_IN)
def test_a_near_miss_is_an_error_with_the_name_that_is_meant(name: str) -> None:
    catalog = applied(Catalog(), parse_statement(GIVEN), 0)
    statement = parse_statement(f"SELECT {name}X(k) FROM s EMIT CHANGES;")
    with pytest.raises(SqlError, match=f"Can't find any functions with the name '{name}X'") as error:
        analyse(statement, statement.ast, dict(catalog.sources))
    assert error.value.hint == f"did you mean {name}?"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("POWER(b, i)", "cannot be resolved due to ambiguous method parameters (BIGINT, INTEGER)"),
        ("GREATEST(e, i)", "cannot be resolved due to ambiguous"),
        ("LCASE(i)", "Function 'lcase' does not accept parameters (INTEGER)."),
        ("LEN(s, s)", "does not accept parameters (STRING, STRING)"),
        ("SLICE(w, 1, b)", "does not accept parameters (ARRAY<STRING>, INTEGER, BIGINT)"),
        ("ARRAY_CONTAINS(ab, i)", "does not accept parameters (ARRAY<BIGINT>, INTEGER)"),
        ("COALESCE(e, f)", "does not accept parameters (DECIMAL(10, 2), DECIMAL(6, 3))"),
        ("ABS(NULL)", "ambiguous method parameters (null)"),
        ("AVG(e)", "does not accept parameters (DECIMAL(10, 2))"),
        ("MIN(t)", "does not accept parameters (BOOLEAN)"),
        ("LATEST_BY_OFFSET(s, i)", "Parameter 2 passed to function LATEST_BY_OFFSET must be a literal"),
        ("FILTER(ai, x => x + 1)", "the lambda of FILTER must return a BOOLEAN, not INTEGER"),
        ("REDUCE(ab, 0, (u, x) => u + x)", "REDUCE starts with INTEGER, but its lambda returns BIGINT"),
        ("TRANSFORM(mi, (p, q) => p)", "TRANSFORM of MAP<STRING, INTEGER> got 2 arguments"),
        ("TIMESTAMPADD(DAY, 1, ts)", "SELECT column 'DAY' cannot be resolved."),
        ("TIMESTAMPADD(DAYS, b, ts)", "does not accept parameters (UNIT, BIGINT, TIMESTAMP)"),
    ],
)
def test_calls_that_ksqldb_refuses(call: str, message: str) -> None:
    with pytest.raises(SqlError, match=re.escape(message)):
        analysis_of(call)


@pytest.mark.skipif("KSQLDB_URL" not in os.environ, reason="KSQLDB_URL is not set")
def test_a_real_server_gives_the_same_types() -> None:
    run = Run(os.environ["KSQLDB_URL"], is_real=True)
    try:
        run.execute(TABLE["given"])
        for case in CASES:
            reply = run.ask({"ksql": f"EXPLAIN {select_of(case['call'], 'RUN_s')}"})
            assert reply.status == 200, reply.text
            field = reply.body[0]["queryDescription"]["fields"][-1]
            assert written(field["schema"]) == case["type"], case["call"]
    finally:
        run.clean_up()


def written(schema: dict[str, Any]) -> str:
    """A type of a server's reply as the reader writes it."""
    match schema["type"]:
        case "ARRAY":
            return f"ARRAY<{written(schema['memberSchema'])}>"
        case "MAP":
            return f"MAP<STRING, {written(schema['memberSchema'])}>"
        case "STRUCT":
            fields = (f"`{each['name']}` {written(each['schema'])}" for each in schema["fields"])
            return f"STRUCT<{', '.join(fields)}>"
        case "DECIMAL":
            sizes = schema["parameters"]
            return f"DECIMAL({sizes['precision']}, {sizes['scale']})"
    return str(schema["type"])
