"""What is wrong in a SQL file is told with file, line and column, before anything is sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from opensea_metrics.core.errors import SqlError, os_error_text
from opensea_metrics.sql.language.catalog.changes import check
from opensea_metrics.sql.language.project.project import load_project

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
