"""Values as ksqlDB computes them: the expressions, tables and streams of semantics/*.yml.

``scalars.yml`` maps expressions over one row to their values and types. ``tables.yml`` and ``joins.yml`` have SELECTs,
and the rows of the tables and streams that they create. Each expectation was observed on a real 7.9.1. It is checked
there again if KSQLDB_URL is set. ``refused`` means that the embedded server refuses the case by name. ``embedded`` and
``spark`` are different results of the embedded server and of Spark, and ``ksqldb`` are rows that depend on its clock.
``because`` gives the reason. ``keys`` are the keys by which a table is read, because a 7.9.1 does not find all sessions
without a key.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from opensea_metrics.deploy.embedded import trial
from tests.embedded.conformance import Case, Run
from tests.embedded.conftest import SERVERS
from tests.embedded.records import as_json
from tests.parts.yaml_files import read_yaml

FOLDER = Path(__file__).parent / "semantics"
FILES: dict[str, Any] = {
    path.stem: read_yaml(path)
    for path in sorted(FOLDER.glob("*.yml"))
}
REFUSAL = "is not supported by the embedded server. ksqlDB supports it."


@pytest.fixture(scope="module")
def begun(servers: dict[str, str]) -> Iterator[Callable[[str, str], Run]]:
    """Returns the run of a file against a server. Its ``given`` is carried out once for all its cases."""
    runs: dict[tuple[str, str], Run] = {}

    def begin(kind: str, name: str) -> Run:
        if kind not in servers:
            pytest.skip("KSQLDB_URL is not set")
        if (kind, name) not in runs:
            run = runs[kind, name] = Run(servers[kind], is_real=kind == "ksqldb")
            run.begin(FILES[name])
        return runs[kind, name]

    yield begin
    for run in runs.values():
        run.clean_up()


AT_ONCE = 40
"""Expressions of one query. The embedded server takes some 40 ms of CPU time for a query, whatever it computes."""


@pytest.fixture(scope="module")
def computed(begun: Callable[[str, str], Run]) -> Mapping[str, tuple[Any, str]]:
    """For expressions of an embedded server: value and type. Leaves out those of a query that is refused."""
    run = begun("embedded", "scalars")
    texts = [
        case["expression"]
        for case in FILES["scalars"]["cases"]
        if not ("fails" in case or case.get("refused"))
    ]
    results: dict[str, tuple[Any, str]] = {}
    for start in range(0, len(texts), AT_ONCE):
        some = texts[start : start + AT_ONCE]
        columns = ", ".join(f"{text} AS v{number}" for number, text in enumerate(some))
        reply = run.ask({"query_stream": f"SELECT {columns} FROM RUN_s;", "accept": "application/json"})
        if reply.status == 200:
            header, values = reply.body
            results |= dict(zip(some, zip(values, header["columnTypes"], strict=True), strict=True))
    return results


@pytest.mark.parametrize("kind", SERVERS)
@pytest.mark.parametrize(
    "case", [pytest.param(case, id=case["expression"]) for case in FILES["scalars"]["cases"]]
)
def test_expression(
    begun: Callable[[str, str], Run], computed: Mapping[str, tuple[Any, str]], kind: str, case: Case
) -> None:
    run = begun(kind, "scalars")
    value = case.get("value") if run.is_real else case.get("embedded", case.get("value"))
    if not run.is_real and case["expression"] in computed:
        assert computed[case["expression"]] == (value, case["type"])
        return
    sql = f"SELECT {case['expression']} AS v FROM RUN_s;"
    reply = run.ask({"query_stream": sql, "accept": "application/json"})
    if "fails" in case or (not run.is_real and case.get("refused")):
        # If a real server fails with an internal error, the embedded server gives the reason.
        assert reply.status in ((400, 500) if run.is_real else (400,)), reply.text
        if "fails" not in case:
            assert REFUSAL in reply.body["message"], reply.text
        return
    assert reply.status == 200, reply.text
    header, *rows = reply.body
    assert rows == [[value]]
    assert header["columnTypes"] == [case["type"]]


TABLES = [
    pytest.param(file, n, case, id=case["name"])
    for file in ("tables", "joins")
    for n, case in enumerate(FILES[file]["cases"])
]


def created(number: int, case: Case) -> str:
    """The statement that creates a table or stream from a case's SELECT."""
    kind, select = ("TABLE", case["table"]) if "table" in case else ("STREAM", case["stream"])
    # A stream's rows are read from its topic, and have times of 1970.
    with_clause = " WITH (KEY_FORMAT='JSON')" if kind == "TABLE" else " WITH (RETENTION_MS=-1)"
    return f"CREATE {kind} RUN_X{number}{with_clause} AS {select};"


@pytest.fixture(scope="module")
def sinks() -> Mapping[str, Mapping[str, list[dict[str, Any]]]]:
    """The rows of all cases that the embedded server runs, by file."""
    return {file: _sinks(file) for file in ("tables", "joins")}


def _sinks(file: str) -> Mapping[str, list[dict[str, Any]]]:
    cases = [created(n, case) for n, case in enumerate(FILES[file]["cases"]) if not case.get("refused")]
    set_earliest = "SET 'auto.offset.reset' = 'earliest';"
    result = trial.run([set_earliest, *FILES[file]["given"], *cases])
    assert result.refusal is None
    assert result.failures == {}
    return result.rows


@pytest.mark.parametrize(("file", "number", "case"), TABLES)
def test_rows(sinks: Mapping[str, Mapping[str, list[dict[str, Any]]]], file: str, number: int, case: Case) -> None:
    if case.get("refused"):
        refusal = trial.run([*FILES[file]["given"][:1], created(number, case)]).refusal
        assert refusal is not None
        assert refusal.status == 400
        assert REFUSAL in refusal.message
        return
    rows = as_json([v for name, v in row.items() if name != "ROWTIME"] for row in sinks[file][f"RUN_X{number}"])
    assert sorted(rows, key=str) == sorted(case["rows"], key=str)


@pytest.mark.parametrize(("file", "number", "case"), TABLES)
def test_rows_of_ksqldb(begun: Callable[[str, str], Run], file: str, number: int, case: Case) -> None:
    run = begun("ksqldb", file)
    run.execute(created(number, case))
    expected = case.get("ksqldb", case["rows"])
    deadline = time.monotonic() + 90
    selections = [f" WHERE k = '{key}'" for key in case.get("keys", [])] or [""]
    while time.monotonic() < deadline:
        pulled = (run.rows(f"SELECT * FROM RUN_X{number}{selection};") for selection in selections)
        rows = sorted(itertools.chain.from_iterable(pulled), key=str)
        if rows == sorted(expected, key=str):
            return
        time.sleep(0.3)
    assert rows == sorted(expected, key=str)
