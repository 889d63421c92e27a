"""opensea-metrics test: files of cases on the embedded engine."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from opensea_metrics.core.errors import OpenSeaMetricsError
from opensea_metrics.deploy import commands
from opensea_metrics.deploy.cli.app import whole_app
from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.embedded import server
from opensea_metrics.deploy.sqltests import cases, runner
from opensea_metrics.deploy.sqltests.dependencies import are_needed
from opensea_metrics.deploy.sqltests.embedded import EmbeddedTarget
from opensea_metrics.deploy.sqltests.evaluator import Evaluator
from opensea_metrics.deploy.sqltests.runner import CaseResult
from opensea_metrics.sql.language.project.project import Project, load_project
from opensea_metrics.sql.language.statements.parser import parse_script

STREAM = "CREATE STREAM s (k VARCHAR KEY, v INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON');\n"
TABLE = "CREATE TABLE t AS SELECT k, SUM(v) AS n FROM s GROUP BY k;\n"
DOUBLED = "CREATE STREAM d AS SELECT k, v * 2 AS w FROM s;\n"


def inserts(*values: int) -> str:
    return "".join(f"INSERT INTO s (ROWTIME, k, v) VALUES (10, 'a', {value});\n" for value in values)


Run = Callable[[str], CaseResult]


@pytest.fixture(scope="module")
def target() -> Iterator[EmbeddedTarget]:
    embedded = EmbeddedTarget()
    yield embedded
    embedded.close()


@pytest.fixture
def run(target: EmbeddedTarget, tmp_path: Path) -> Run:
    """Runs the text of one case."""

    def project() -> Project:
        raise AssertionError("the case applies no migrations")

    def of_text(text: str) -> CaseResult:
        path = tmp_path / "case.sql"
        path.write_text(f"--@test: a case\n{text}")
        (case,) = cases.load(path, tmp_path, {"limit": 3})
        return runner.run(case, target, project, Evaluator())

    return of_text


def failed(result: CaseResult, message: str, line: int) -> runner.Failure:
    assert result.failure is not None
    assert result.failure.message == message
    assert result.failure.place.line == line
    return result.failure


def test_a_case_on_a_server_leaves_no_stream_and_no_topic(tmp_path: Path) -> None:
    text = f"--@test: a case\n{STREAM}{DOUBLED}{inserts(1)}ASSERT VALUES d (w) VALUES (2);\n"
    (tmp_path / "case.sql").write_text(text)
    with server.running(tmp_path / "data") as url:
        client = KsqlClient(url)
        before = client.streams(), client.topics()  # the processing log
        engine, (result,) = commands.run_tests([tmp_path / "case.sql"], client)
        assert (engine, result.outcome) == ("embedded", "passed")
        assert (client.streams(), client.topics()) == before


def test_the_rows_of_a_stream_come_in_order(run: Run) -> None:
    both = "ASSERT VALUES d (ROWTIME, k, w) VALUES (10, 'a', 2);\nASSERT VALUES d (w) VALUES (4);\n"
    assert run(STREAM + DOUBLED + inserts(1, 2, 3) + both).outcome == "passed"
    result = run(STREAM + DOUBLED + inserts(2, 1) + both)
    difference = failed(result, "D: the next row is different", 6).difference
    assert difference is not None
    assert [dict(row) for row in difference.rows] == [{"K": "a", "W": 4, "ROWTIME": 10}]
    assert difference.expected.wrong(difference.rows[0]) == ["W"]
    failed(run(STREAM + DOUBLED + inserts(1) + both), "D: there is no further row", 6)


def test_assertions_continue_after_those_before(run: Run) -> None:
    first, second = ("ASSERT VALUES d (w) VALUES (2);\n", "ASSERT VALUES d (w) VALUES (4);\n")
    assert run(STREAM + DOUBLED + inserts(1) + first + inserts(2) + second).outcome == "passed"
    failed(run(STREAM + DOUBLED + inserts(1) + first + inserts(2) + first), "D: the next row is different", 7)


def test_the_last_assertion_about_a_row_is_its_current_state(run: Run) -> None:
    def asserted(*values: int) -> CaseResult:
        assertions = (f"ASSERT VALUES t (k, n) VALUES ('a', {value});\n" for value in values)
        return run(STREAM + TABLE + inserts(1, 2, 4) + "".join(assertions))

    for values in ((1, 3, 7), (1, 7), (7,)):
        assert asserted(*values).outcome == "passed"
    failure = failed(asserted(1, 3), "T: the row had these values, and has changed since", 8)
    assert failure.hint == "assert the last values of a row after its earlier ones"
    failed(asserted(3, 1, 7), "T: no row has these values", 8)
    failed(asserted(2), "T: no row has these values", 7)


def test_an_assertion_between_inserts_sees_the_state_then(run: Run) -> None:
    def asserted(value: int) -> str:
        return f"ASSERT VALUES t (k, n) VALUES ('a', {value});\n"

    assert run(STREAM + TABLE + inserts(1) + asserted(1) + inserts(2) + asserted(3)).outcome == "passed"
    again = run(STREAM + TABLE + inserts(1) + asserted(1) + inserts(2) + asserted(1))
    failed(again, "T: no row has these values", 7)


def test_windows_and_times_as_text(run: Run) -> None:
    windowed = TABLE.replace("GROUP BY", "WINDOW TUMBLING (SIZE 1 MINUTE) GROUP BY")
    values = "VALUES ('a', '1970-01-01', '1970-01-01T00:01', 10, 1)"
    assertion = f"ASSERT VALUES t (k, WINDOWSTART, WINDOWEND, ROWTIME, n) {values};\n"
    assert run(STREAM + windowed + inserts(1) + assertion).outcome == "passed"
    wrong = run(STREAM + windowed + inserts(1) + assertion.replace("T00:01", "Tx"))
    failed(wrong, "'1970-01-01Tx' is not a time", 5)


def test_a_row_that_having_drops_is_a_tombstone(run: Run) -> None:
    having = TABLE.replace(";", " HAVING SUM(v) < 5;")
    there, gone = "ASSERT VALUES t (k, n) VALUES ('a', 1);\n", "ASSERT NULL VALUES t (k) KEY ('a');\n"
    assert run(STREAM + having + inserts(1) + there + inserts(4) + gone).outcome == "passed"
    failed(run(STREAM + having + inserts(1) + there + gone), "T: the row was not deleted", 6)
    failed(run(STREAM + having + inserts(9) + gone), "T: there never was a row with this key", 5)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("BOOLEAN", "true"),
        ("BIGINT", "9223372036854775807"),
        ("DOUBLE", "1.5E300"),
        ("DECIMAL(38, 20)", "123456789012345678.01234567890123456789"),
        ("VARCHAR", "'O''Hara'"),
        ("BYTES", "'aGVsbG8='"),
        ("DATE", "'2020-02-29'"),
        ("TIME", "'23:59:58.123'"),
        ("TIMESTAMP", "'2020-02-29T23:59:58.123'"),
        ("ARRAY<INT>", "ARRAY[1, NULL]"),
        ("MAP<VARCHAR, INT>", "MAP('x' := 1)"),
        ("STRUCT<a INT, b STRUCT<c TIMESTAMP>>", "STRUCT(a := 1, b := STRUCT(c := '2020-02-29T23:59:58'))"),
        ("INT", "NULL"),
    ],
)
def test_values_of_every_type(run: Run, kind: str, value: str) -> None:
    text = (
        f"CREATE STREAM s (v {kind}) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON');"
        f"CREATE STREAM d AS SELECT v FROM s; INSERT INTO s (v) VALUES ({value});"
    )
    assert run(f"{text} ASSERT VALUES d (v) VALUES ({value});").failure is None
    other = "NULL" if value != "NULL" else "1"
    assert run(f"{text} ASSERT VALUES d (v) VALUES ({other});").outcome == "failed"


@pytest.mark.parametrize(
    ("assertion", "message"),
    [
        ("ASSERT STREAM d (k VARCHAR KEY, w INT) WITH (KAFKA_TOPIC='D', VALUE_FORMAT='JSON');", None),
        ("ASSERT STREAM d (k VARCHAR KEY, w INT);", None),
        ("ASSERT TABLE d (k VARCHAR PRIMARY KEY, w INT);", "D is a STREAM, not a TABLE"),
        (
            "ASSERT STREAM d (k VARCHAR KEY, w BIGINT);",
            "D has other columns\n  expected  `K` STRING KEY, `W` BIGINT\n  actual    `K` STRING KEY, `W` INTEGER",
        ),
        (
            "ASSERT STREAM d (k VARCHAR KEY, w INT) WITH (KAFKA_TOPIC='d', VALUE_FORMAT='JSON');",
            "KAFKA_TOPIC of D is D, not d",
        ),
        ("ASSERT VALUES e (w) VALUES (1);", "there is no stream or table E"),
        ("ASSERT VALUES d (x) VALUES (1);", "D has no column X"),
        ("ASSERT VALUES d (w, k) VALUES (1);", "2 columns, but 1 values"),
    ],
)
def test_definitions_and_mistakes(run: Run, assertion: str, message: str | None) -> None:
    result = run(STREAM + DOUBLED + assertion)
    if message is None:
        assert result.failure is None
    else:
        failed(result, message, 4)


@pytest.mark.parametrize(
    ("settings", "statement", "message"),
    [
        ("--@expected.error: KsqlException", "DROP STREAM nothing;", None),
        ("--@expected.message: does not exist", "DROP STREAM nothing;", None),
        ("--@expected.error: io.confluent.ksql.parser.exception.ParseFailedException", "CREATE STRAM;", None),
        (
            "--@expected.error: ParseFailedException",
            "DROP STREAM nothing;",
            "a syntax error was expected, not: Stream NOTHING does not exist.",
        ),
        (
            "--@expected.message: or other",
            "DROP STREAM nothing;",
            "an error with another text was expected\n  expected  or other\n"
            "  actual    Stream NOTHING does not exist.",
        ),
        (
            "--@expected.error: KsqlException",
            "SHOW STREAMS;",
            "no statement failed, but an error was expected: KsqlException",
        ),
        # what only the embedded engine refuses is not the expected error
        (
            "--@expected.error: KsqlException",
            "ALTER SYSTEM 'a'='b';",
            "ALTER SYSTEM is not supported by the embedded server. ksqlDB supports it.",
        ),
    ],
)
def test_expected_errors(run: Run, settings: str, statement: str, message: str | None) -> None:
    result = run(f"{settings}\n{statement}")
    assert (result.failure.message if result.failure else None) == message


def test_a_case_leaves_nothing_for_the_next(run: Run, target: EmbeddedTarget) -> None:
    into = "CREATE STREAM e (k VARCHAR KEY, w INT) WITH (KAFKA_TOPIC='e', VALUE_FORMAT='JSON', PARTITIONS=1);\n"
    text = STREAM + DOUBLED + TABLE + into + "INSERT INTO e SELECT k, v AS w FROM s;\n" + inserts(1)
    for _ in range(2):
        assert run(text + "ASSERT VALUES e (w) VALUES (1);\nASSERT VALUES t (n) VALUES (1);").failure is None
    assert list(target.catalog.sources) == ["KSQL_PROCESSING_LOG"]


def test_a_case_of_other_engines_is_skipped(run: Run) -> None:
    assert run("--@engines: ksqldb, spark\nCREATE TYPE a AS INT;").outcome == "skipped"


def test_files_are_templates_and_run_scripts(run: Run, tmp_path: Path) -> None:
    (tmp_path / "inner.sql").write_text(STREAM + DOUBLED)
    text = (
        "RUN SCRIPT 'inner.sql';\n{% for v in range(limit) %}INSERT INTO s (v) VALUES ({{ v }});\n{% endfor %}"
        "DEFINE wanted = '4';\nASSERT VALUES d (w) VALUES (0);\nASSERT VALUES d (w) VALUES (2);\n"
        "ASSERT VALUES d (w) VALUES (${wanted});\n"
    )
    assert run(text).failure is None
    failed(run(text.replace("VALUES (2)", "VALUES (3)")), "D: the next row is different", 6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("--@tset: a\n", r"a.sql:1:1: 'tset' is not a setting of a test\n  hint: did you mean test\?"),
        ("SHOW STREAMS;\n--@test: a\n", r"a.sql:1:1: a statement before the first test"),
        ("-- nothing\n", r"a.sql has no test"),
        ("--@test: a\n--@migrations: six\n", r"a.sql:2:1: 'six' is not a version of a migration"),
        ("--@test: a\n--@engines: duckdb\n", r"a.sql:2:1: 'duckdb' does not name engines"),
        ("--@test: a\nRUN SCRIPT 'b.sql';\n", r"a.sql:2:1: there is no file"),
        ("--@test: a\nRUN SCRIPT 'a.sql';\n", r"a.sql:2:1: more than 20 nested scripts"),
    ],
)
def test_a_file_that_holds_no_cases(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "a.sql"
    path.write_text(text)
    with pytest.raises(OpenSeaMetricsError) as raised:
        cases.load(path, tmp_path, {})
    assert re.search(message, str(raised.value))


def test_a_missing_semicolon_is_reported_in_its_case(tmp_path: Path, target: EmbeddedTarget) -> None:
    path = tmp_path / "a.sql"
    path.write_text("--@test: a\nSHOW STREAMS\n--@test: b\nSHOW STREAMS;\n")
    results = [
        runner.run(case, target, lambda: load_project(tmp_path), Evaluator())
        for case in cases.load(path, tmp_path, {})
    ]
    assert [result.outcome for result in results] == ["failed", "passed"]
    assert str(results[0].failure and results[0].failure.place) == f"{path}:2:13"


def test_the_needed_statements_follow_streams_over_the_topics_of_tables() -> None:
    statements = parse_script(
        "SET 'auto.offset.reset' = 'earliest';"
        "CREATE STREAM a (x INT) WITH (KAFKA_TOPIC='a', VALUE_FORMAT='JSON', PARTITIONS=1);"
        "CREATE TABLE b WITH (KAFKA_TOPIC='of_b') AS SELECT x, COUNT(*) AS n FROM a GROUP BY x;"
        "CREATE TABLE other AS SELECT x, COUNT(*) AS n FROM a GROUP BY x;"
        "CREATE STREAM c (n BIGINT) WITH (KAFKA_TOPIC='of_b', VALUE_FORMAT='JSON');"
        "CREATE STREAM d AS SELECT n FROM c;"
        "INSERT INTO d SELECT CAST(x AS BIGINT) AS n FROM a;",
        "test",
    )
    assert are_needed(statements, {"C"}) == [True, True, True, False, True, False, False]
    assert are_needed(statements, {"D"}) == [True, True, True, False, True, True, True]
    assert are_needed(statements, set()) == [True, *[False] * 6]


def test_results_as_json(tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_text(f"--@test: a\n{STREAM}{DOUBLED}{inserts(1)}ASSERT VALUES d (w) VALUES (3);")
    (tmp_path / "other.sql").write_text("SHOW STREAMS;")
    shown = CliRunner().invoke(whole_app(), ["test", str(tmp_path), "--json"])
    assert shown.exit_code == 1
    (case,) = json.loads(shown.stdout)["cases"]
    assert (case["name"], case["outcome"], case["line"]) == ("a", "failed", 1)
    assert case["place"] == f"{tmp_path}/a.sql:5:1"
    assert case["message"] == "D: the next row is different"
    assert (case["expected"], case["rows"]) == ({"W": 3}, [{"W": 2}])


def test_a_path_without_cases(tmp_path: Path) -> None:
    with pytest.raises(cases.CaseFileError, match="there is no such file or folder"):
        commands.run_tests([tmp_path / "none.sql"])
    with pytest.raises(cases.CaseFileError, match=r"no file in .* has a test"):
        commands.run_tests([tmp_path])


def test_a_file_with_an_error_does_not_stop_the_others(tmp_path: Path) -> None:
    texts = {
        "a": f"--@test: a\n\n{STREAM}ASSERT STREAM nothing (x INT\n",
        "b": "--@tset: b\n",
        "c": "--@test: c\nSHOW ${nope};\n",
        "d": "--@test: d\nRUN SCRIPT 'nope.sql';\n",
        "e": f"--@test: e\n{STREAM}",
        "f": "-- nothing\n",
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.sql").write_text(text)
    paths = [str(tmp_path / f"{name}.sql") for name in texts]
    shown = CliRunner().invoke(whole_app(), ["test", *paths])
    assert shown.exit_code == 1
    out = shown.stdout.replace(f"{tmp_path}/", "")
    for line in (
        "failed  b.sql:1  the whole file\n  b.sql:1:1: 'tset' is not a setting of a test\n",
        "failed  c.sql:1  the whole file\n  c.sql:2:6: ${nope} is not defined\n",
        "failed  d.sql:1  the whole file\n  d.sql:2:1: there is no file nope.sql\n",
        "passed  e.sql:1  e\n",
        "failed  f.sql:1  the whole file\n  f.sql:1:1: f.sql has no test\n",
        "1 passed, 5 failed on embedded",
    ):
        assert line in out


def test_errors_have_their_place_and_a_missing_semicolon_is_one(tmp_path: Path, target: EmbeddedTarget) -> None:
    path = tmp_path / "a.sql"
    second = "--@test: b\n\nEXPLAIN\n  SELECT 1 AS x FROM nothing;\n--@test: c\nSHOW\n NOTHING;\n"
    path.write_text(f"--@test: a\n{STREAM}\nSHOW STREAMS\nASSERT VALUES s (v) VALUES (1);\n{second}")
    results = [
        runner.run(case, target, lambda: load_project(tmp_path), Evaluator())
        for case in cases.load(path, tmp_path, {})
    ]
    one, other, last = (result.failure for result in results)
    assert one is not None
    assert one.message == "missing ';'"
    assert one.place.line == path.read_text().splitlines().index("SHOW STREAMS") + 1
    assert other is not None
    assert "NOTHING does not exist." in other.message
    assert "at line" not in other.message
    assert str(other.place) == f"{path}:8:1"  # ksqlDB says no place
    assert last is not None
    assert last.message == "Syntax error at or near 'NOTHING' at line 12:2"
    assert str(last.place) == f"{path}:12:2"
