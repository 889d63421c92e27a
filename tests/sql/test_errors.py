"""What is wrong in a SQL file is told with file, line and column, before anything is sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from opensea_metrics.core.errors import SqlError, SqlErrors, os_error_text
from opensea_metrics.sql.language.catalog.changes import check
from opensea_metrics.sql.language.project.project import load_project
from opensea_metrics.sql.language.statements.parser import parse_script

DECLARED = (
    "CREATE STREAM raw (a BIGINT, s VARCHAR, p STRUCT<x INTEGER>)\n"
    "  WITH (KAFKA_TOPIC='raw', VALUE_FORMAT='JSON', PARTITIONS=1);\n"
)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (FileNotFoundError(2, "No such file or directory", "a/b"), "a/b: No such file or directory"),
        (OSError(18, "Invalid cross-device link", "a", None, "b"), "a and b: Invalid cross-device link"),
        (PermissionError(13, "Permission denied", b"a\xff"), "a\udcff: Permission denied"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (OSError("broken\nby hand"), "broken"),
        (TimeoutError(), "TimeoutError"),
    ],
)
def test_an_error_of_the_system_in_words(error: OSError, expected: str) -> None:
    assert os_error_text(error) == expected


def errors(tmp_path: Path, text: str, settings: str = "size: 1 MINUTE") -> str:
    (tmp_path / "migrations").mkdir()
    (tmp_path / "settings.yml").write_text(settings)
    (tmp_path / "migrations/V001__one.sql").write_text(DECLARED + text)
    with pytest.raises(SqlError) as caught:
        check(load_project(tmp_path))
    return str(caught.value).replace(str(tmp_path), "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("CREATE STREAM b AS SELECT aa FROM raw EMIT CHANGES;", ":3:27: SELECT column 'AA' cannot be resolved."),
        ("CREATE STREAM b AS SELECT\n  p->y FROM raw EMIT CHANGES;", ":4:6: Could not find field 'Y' in 'P'."),
        (
            "CREATE STREAM b AS SELECT SUMM(a) AS c FROM raw EMIT CHANGES;",
            ":3:27: Can't find any functions with the name 'SUMM'",
        ),
        ("CREATE STREAM b AS SELECT a FROM rawer EMIT CHANGES;", ":3:34: RAWER does not exist."),
        ("CREATE STREAM b AS SELECT a + s AS c FROM raw EMIT CHANGES;", "Unsupported arithmetic types. BIGINT STRING"),
        ("CREATE STREAM b AS SELECT a FROM raw WHERE EMIT CHANGES", "syntax error"),
        ("CREATE TYPE person AS STRUCT<a NOPE>;", ":3:13: Cannot resolve unknown type: NOPE"),
        ("DROP TYPE person;", ":3:1: Type PERSON does not exist."),
        ("SELECT {{ sise }} FROM raw;", ":3:1: template: 'sise' is undefined"),
        ("{% for i in range(2) %}\nDROP STREAM nothing;\n{% endfor %}", ":4:1: Stream NOTHING does not exist."),
        (
            "CREATE TABLE t AS SELECT s, COUNT(*) AS n FROM raw WINDOW TUMBLING (SIZE 1 DAY, RETENTION 1 DAY,"
            " GRACE PERIOD 1 DAY) GROUP BY s EMIT CHANGES;",
            "must be no smaller than its window size plus the grace period",
        ),
        (
            "CREATE TABLE t WITH (KAFKA_TOPIC='t') AS SELECT s, COUNT(*) AS n FROM raw GROUP BY s EMIT CHANGES;"
            "\nCREATE STREAM c (n BIGINT) WITH (KAFKA_TOPIC='t', VALUE_FORMAT='JSON');"
            "\nCREATE TABLE u AS SELECT 'all' AS k, SUM(n) AS n FROM c GROUP BY 'all' EMIT CHANGES;",
            ":5:38: SUM over C would count a key again",
        ),
        (
            "CREATE TABLE t WITH (KAFKA_TOPIC='t') AS SELECT s, COUNT(*) AS n FROM raw GROUP BY s EMIT CHANGES;"
            "\nCREATE STREAM c (n BIGINT) WITH (KAFKA_TOPIC='t', VALUE_FORMAT='JSON');"
            "\nCREATE TABLE u AS SELECT 'all' AS k, LATEST_BY_OFFSET(n, false) AS m, LATEST_BY_OFFSET(n, 3) AS n"
            " FROM c GROUP BY 'all' EMIT CHANGES;",
            ":5:71: LATEST_BY_OFFSET of several values over C would count a key again",
        ),
    ],
)
def test_an_error_names_its_place(tmp_path: Path, text: str, expected: str) -> None:
    assert expected in errors(tmp_path, text)


def test_all_errors_are_told_at_once(tmp_path: Path) -> None:
    told = errors(
        tmp_path,
        "CREATE STREAM b AS SELECT x FROM raw EMIT CHANGES;\n"
        "CREATE STREAM c AS SELECT a FROM b EMIT CHANGES;\n"  # follows from the first: not told
        "CREATE STREAM d AS SELECT y FROM raw EMIT CHANGES;",
    )
    assert told.count("cannot be resolved") == 2
    assert "B does not exist" not in told


def test_the_products_migrations_are_sound() -> None:
    catalog = check(load_project(Path("sql")))
    assert {"EVENTS", "SALES", "TRANSFERS", "TOP_ASSETS_30_MINUTES"} <= catalog.sources.keys()
    assert len(catalog.queries) == 4 + 10 * 4


def all_of(tmp_path: Path, *files: str) -> list[str]:
    """The errors of a project with these files, each as place and first line."""
    (tmp_path / "migrations").mkdir()
    (tmp_path / "settings.yml").write_text("size: 1 MINUTE")
    for number, text in enumerate(files, 1):
        (tmp_path / f"migrations/V00{number}__f.sql").write_text(text)
    with pytest.raises(SqlError) as caught:
        check(load_project(tmp_path, keep_errors=True))
    folder = f"{tmp_path}/migrations/V00"
    errors = caught.value.errors if isinstance(caught.value, SqlErrors) else (caught.value,)
    return [str(error).splitlines()[0].replace(folder, "").replace("__f.sql", "") for error in errors]


def test_errors_of_syntax_names_and_templates_in_several_files_come_at_once(tmp_path: Path) -> None:
    assert all_of(
        tmp_path,
        DECLARED
        + "CREATE STRAEM u AS SELECT a FROM raw;\n"
        + "CREATE STREAM v AS SELECT z FROM raw;\n"
        + "CREATE STREAM w AS SELECT a FROM u;\n"  # u has an error of its own
        + "DROP STREAM u;\n",
        "CREATE STREAM x AS SELECT a FROM rwa;\nCREATE STREAM y AS SELECT a FROM x WHERE;\n",
        "CREATE STREAM q AS SELECT {{ absent }} FROM raw;\n",
        "CREATE STREAM r AS SELECT FROM raw;\nCREATE STREAM s AS SELECT a FROM q;\n",  # q may be what it needs
        "CREATE STREAM t AS SELECT {{ nothing }} FROM raw;\n",
    ) == [
        "1:3:8: syntax error: Expecting STREAM or TABLE",
        "1:4:27: SELECT column 'Z' cannot be resolved.",
        "2:1:34: RWA does not exist.",
        "2:2:36: syntax error: Expecting an expression, found the end of the statement",
        "3:1:1: template: 'absent' is undefined",
        "4:1:27: syntax error: Expecting an expression, found 'FROM'",
        "5:1:1: template: 'nothing' is undefined",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "CREATE STREAM v AS SELECT a FROM raw\n-- a comment\nCREATE STREAM w AS SELECT b FROM v;\n",
            ["1:3:37: syntax error: missing ';'", "1:5:27: SELECT column 'B' cannot be resolved."],
        ),
        (
            "SET 'auto.offset.reset' = 'earliest'\nDROP STREAM raw\nDROP STREAM x;\n",
            [
                "1:3:37: syntax error: missing ';'",
                "1:4:16: syntax error: missing ';'",
                "1:5:1: Stream X does not exist.",
            ],
        ),
        ("CREATE STREAM v AS SELECT a FROM raw\n", ["1:3:37: syntax error: missing ';' at '<EOF>'"]),
        # SELECT begins a line, but no statement
        ("CREATE STREAM v AS\nSELECT a FROM raw WHERE;\n", ["1:4:19: syntax error: Expecting an expression"]),
        (
            "CREATE STREAM v AS SELECT a FROM raw WHERE s = 'x;\nCREATE STREAM w AS SELECT b FROM raw WHERE s = 'y';\n",
            ["1:3:48: syntax error: \"'x\" is never closed", "1:4:27: SELECT column 'B' cannot be resolved."],
        ),
        (
            "CREATE STREAM v AS SELECT a FROM raw WHERE s = 'x;\n  AND a > 1;\n",
            ["1:3:48: syntax error: \"'x\" is never closed"],
        ),
        # the first text has two lines, and is closed
        (
            "CREATE STREAM v AS SELECT 'x\ny' AS t FROM raw WHERE s = 'z;\n",
            ["1:4:28: syntax error: \"'z\" is never closed"],
        ),
        ("CREATE STREAM v AS SELECT `a FROM raw;\nDROP STREAM raw;\n", ["1:3:27: syntax error: '`a' is never closed"]),
    ],
)
def test_a_missing_semicolon_or_quote_is_reported_where_it_is_missing(
    tmp_path: Path, text: str, expected: list[str]
) -> None:
    errors = all_of(tmp_path, DECLARED + text)
    assert [error[: len(start)] for error, start in zip(errors, expected, strict=True)] == expected


def test_a_hostile_script_is_not_parsed_again_and_again() -> None:
    """Lines that look like statements without semicolons are tried at most a few times."""
    with pytest.raises(SqlErrors) as caught:
        parse_script("DROP STREAM x\n" * 3_000 + ";", "test", all_errors=True)
    assert len(caught.value.errors) < 30
