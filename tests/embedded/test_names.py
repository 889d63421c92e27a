"""Names that the engine uses itself, and names that are hard to write, work like all others."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from opensea_metrics.core.errors import SqlError
from opensea_metrics.sql.language.dialect.naming import SYSTEM_COLUMNS
from tests.embedded.inside import Inside, inside

NAMES = (
    "_OFF", "_off2", "_LINE", "_PATH", "_FAILED", "_TEXT", "_TS", "_WS", "_LATE", "_SRC", "_D0", "_D1", "_S0", "_F0",
    "_K0", "_A0", "_E", "_E0", "_I", "ROWID", "K0", "A0", "A1", "E", "I", "K", "V", "L", "LINE", "PATH", "KEY", "TS",
    "FILE", "EXACT", "DELTA", "BATCH", "X", "P", "rowtime", "windowstart", "Windowend", "a b", "a'b", 'a"b',
    "a;--", "/*", "{0}", "{a}", "{n}", "{", "}}", "\\", "\\'", "é", "日本", "a\nb", "%s", "?", "$1", "a$0", "1",
    "*", ".", "a.b", "~1", "$.x", "[0]", "select", "NULL", "current_date", "x" * 10_000, "Y" * 3_000,
)  # fmt: skip
ALIASES = [name for name in NAMES if name.upper() not in SYSTEM_COLUMNS]
TIME = 1_789_467_000_000


def tick(name: str) -> str:
    return f"`{name}`"


def line(first: int) -> str:
    record = {name: first + number for number, name in enumerate(NAMES)}
    return json.dumps({"t": TIME + first, "s": record, "arr": [first, first, 7], **record}) + "\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inside]:
    """A stream whose columns and STRUCT fields have these names.

    It has a record in a compressed file, a record in a growing file, and a record of INSERT … VALUES.
    """
    data = tmp_path_factory.mktemp("it's")
    folder = data / "topics/named"
    folder.mkdir(parents=True)
    with gzip.open(folder / "a.json.gz", "wt") as file:
        file.write(line(1_000))
    (folder / "b.json").write_text(line(2_000))
    columns = ", ".join(f"{tick(name)} BIGINT" for name in NAMES)
    with inside(data) as started:
        started.done(
            f"CREATE STREAM named (t BIGINT, s STRUCT<{columns}>, arr ARRAY<BIGINT>, {columns})"
            " WITH (KAFKA_TOPIC='named', VALUE_FORMAT='JSON', PARTITIONS=1, TIMESTAMP='t');"
        )
        fields = ", ".join(f"{tick(name)} := CAST({3_000 + number} AS BIGINT)" for number, name in enumerate(NAMES))
        values = ", ".join(str(3_000 + number) for number in range(len(NAMES)))
        started.done(
            f"INSERT INTO named (t, s, arr, {', '.join(map(tick, NAMES))})"
            f" VALUES ({TIME + 3_000}, STRUCT({fields}),"
            f" TRANSFORM(ARRAY[3000, 3000, 7], x => CAST(x AS BIGINT)), {values});"
        )
        yield started


def first_line(reply: Any) -> str:
    """The part of a message that ksqlDB sends too. The place follows it."""
    return str(reply["message"]).partition("\nat line")[0]


def expected(first: int) -> dict[str, int]:
    return {name: first + number for number, name in enumerate(NAMES)}


def test_columns_and_fields_of_a_stream(server: Inside) -> None:
    rows = server.ask("SELECT * FROM named;")
    assert [row["T"] - TIME for row in rows] == [1_000, 2_000, 3_000]
    for row, first in zip(rows, (1_000, 2_000, 3_000), strict=True):
        assert row["S"] == expected(first)
        assert {name: row[name] for name in NAMES} == expected(first)


def test_each_column_and_field_by_its_name(server: Inside) -> None:
    selected = ", ".join(f"{tick(name)} AS x{at}, s->{tick(name)} AS y{at}" for at, name in enumerate(NAMES))
    rows = server.ask(f"SELECT {selected}, ROWTIME AS z FROM named EMIT CHANGES;")
    assert [row["Z"] - TIME for row in rows] == [1_000, 2_000, 3_000]
    for row, first in zip(rows, (1_000, 2_000, 3_000), strict=True):
        assert [row[f"X{at}"] for at in range(len(NAMES))] == [first + at for at in range(len(NAMES))]
        assert [row[f"Y{at}"] for at in range(len(NAMES))] == [first + at for at in range(len(NAMES))]


def test_a_stream_and_its_derived_tables(server: Inside) -> None:
    names = ", ".join(map(tick, NAMES))
    others = [*ALIASES[1:], ALIASES[0]]
    renamed = ", ".join(f"{tick(name)} AS {tick(other)}" for name, other in zip(ALIASES, others, strict=True))
    sums = ", ".join(f"SUM({tick(name)}) AS {tick(name)}" for name in ALIASES)
    server.done(
        "CREATE STREAM copied WITH (KAFKA_TOPIC='copied') AS SELECT * FROM named;"
        f"CREATE STREAM renamed AS SELECT {renamed}, s FROM copied WHERE {tick(NAMES[0])} > 1500;"
        f"CREATE TABLE summed AS SELECT arr[3] AS g, {sums} FROM copied WHERE `_OFF` > 0 GROUP BY arr[3];"
        f"CREATE TABLE windowed AS SELECT `_WS`, `_K0`, WINDOWSTART AS `_TS`, LATEST_BY_OFFSET(`_A0`) AS `_A0`,"
        " COLLECT_LIST(`_OFF`) AS `_OFF` FROM named WINDOW TUMBLING (SIZE 1 HOUR) GROUP BY `_WS`, `_K0` "
        "HAVING LATEST_BY_OFFSET(`_A0`) > 0;"
        .replace("CREATE TABLE windowed AS", "CREATE TABLE windowed WITH (KEY_FORMAT='JSON') AS")
    )
    server.settle()
    assert server.engine.failures == {}
    copied = server.ask(f"SELECT {names} FROM copied;")
    assert copied == [expected(first) for first in (1_000, 2_000, 3_000)]
    for row, first in zip(server.ask("SELECT * FROM renamed;"), (2_000, 3_000), strict=True):
        moved = expected(first)
        assert {other: row[other] for other in ALIASES} == {
            other: moved[name] for name, other in zip(ALIASES, others, strict=True)
        }
        assert row["S"] == moved
    numbers = {name: number for number, name in enumerate(NAMES)}
    assert server.ask("SELECT * FROM summed;") == [
        {"G": 7, **{name: 6_000 + 3 * numbers[name] for name in ALIASES}}
    ]
    assert server.ask("SELECT * FROM windowed;") == [
        {
            "_WS": first + numbers["_WS"], "_K0": first + numbers["_K0"], "_A0": first + numbers["_A0"],
            "WINDOWSTART": TIME // 3_600_000 * 3_600_000, "WINDOWEND": TIME // 3_600_000 * 3_600_000 + 3_600_000,
            "_TS": TIME // 3_600_000 * 3_600_000, "_OFF": [first + numbers["_OFF"]],
        }
        for first in (1_000, 2_000, 3_000)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("ARRAY_DISTINCT(`ARR`)", [1000, 7]),
        ("ARRAY_CONTAINS(arr, `E`)", False),
        ("TRANSFORM(arr, `_e` => `_e` + `E` - `E`)", [1000, 1000, 7]),
        ("TRANSFORM(arr, `e` => `e` + `E`)", [2000 + NAMES.index("E")] * 2 + [1007 + NAMES.index("E")]),
        ("FILTER(arr, (`x'y`) => `x'y` > 7)", [1000, 1000]),
        ("REDUCE(arr, CAST(0 AS BIGINT), (`_off`, `}`) => `_off` + `}`)", 2007),
        ("CONCAT('{0}', '{*}', '}')", "{0}{*}}"),
        ("CONCAT(CAST(`{0}` AS VARCHAR), '{1}')", f"{1000 + NAMES.index('{0}')}{{1}}"),
        ("'a\0b'", "a\0b"),
        ("LEN('a\0b')", 3),
        ("`LEN`('abc')", 3),
        ('"len"(\'abc\')', 3),
        ("MAP('a''b' := `_OFF`)", {"a'b": 1000}),
        ("STRUCT(`a\"b` := 1, `{` := 2)", {'a"b': 1, "{": 2}),
        ("TO_JSON_STRING(STRUCT(`a\"b` := 1))", '{"a\\"b":1}'),
    ],
)
def test_names_and_texts_in_expressions(server: Inside, expression: str, value: object) -> None:
    """The values are those of a ksqlDB 7.9.1, unless its generated Java fails."""
    rows = server.ask(f"SELECT {expression} AS x FROM named WHERE t < {TIME + 2_000};")
    assert [row["X"] for row in rows] == [value]


@pytest.mark.parametrize("name", SYSTEM_COLUMNS)
def test_system_columns_are_refused_as_ksqldb_does(server: Inside, name: str) -> None:
    with_clause = "WITH (KAFKA_TOPIC='sys', VALUE_FORMAT='JSON', PARTITIONS=1)"
    reply, status = server.run(f"CREATE STREAM sys (a INT, {name} BIGINT) {with_clause};")
    assert (status, first_line(reply)) == (
        400, f"'{name}' is a reserved column name. You cannot use it as a name for a column.",
    )  # fmt: skip
    for alias in (name, f"`{name.lower()}`"):
        refusal = f"`{name}` is a reserved column name. You cannot use it as an alias for a column."
        with pytest.raises(SqlError, match=refusal):
            server.ask(f"SELECT t AS {alias} FROM named;")
        reply, status = server.run(f"CREATE STREAM sys AS SELECT t AS {alias} FROM named;")
        assert (status, first_line(reply)) == (
            400, f"Could not determine output schema for query due to error: {refusal}"
        )  # fmt: skip


def test_a_system_column_without_an_alias(server: Inside) -> None:
    assert [row["ROWTIME"] - TIME for row in server.ask("SELECT ROWTIME FROM named;")] == [1_000, 2_000, 3_000]
    reply, status = server.run("CREATE STREAM sys AS SELECT t, ROWTIME FROM named;")
    assert (status, first_line(reply)) == (
        400,
        "Could not determine output schema for query due to error: "
        "Reserved column name in select: `ROWTIME`. Please remove or alias the column.",
    )


@pytest.mark.parametrize(
    "columns", ["`a` INT, A INT", "s STRUCT<`a` INT, A INT>", "s ARRAY<STRUCT<`éa` INT, `éA` INT>>"]
)
def test_names_that_differ_in_case_only_are_refused_by_the_embedded_server(server: Inside, columns: str) -> None:
    reply, status = server.run(
        f"CREATE STREAM cases ({columns}) WITH (KAFKA_TOPIC='cases', VALUE_FORMAT='JSON', PARTITIONS=1);"
    )
    assert status == 400
    assert "(DuckDB cannot tell the fields" in reply["message"]
    assert "apart) is not supported by the embedded server. ksqlDB supports it." in reply["message"]
    assert "CASES" not in server.engine.catalog.sources


def test_a_lambdas_parameter_and_a_column_may_differ_in_case_only(server: Inside) -> None:
    rows = server.ask("SELECT t AS `a`, t + 1 AS A FROM named EMIT CHANGES LIMIT 1;")
    assert [(row["a"] - TIME, row["A"] - TIME) for row in rows] == [(1_000, 1_001)]


def test_a_data_directory_with_a_quote_is_read_again(tmp_path: Path) -> None:
    data = tmp_path / "o'neill \"x\"; --"
    for _ in range(2):
        with inside(data) as server:
            server.done(
                "CREATE STREAM IF NOT EXISTS s (a INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);"
                "INSERT INTO s (a) VALUES (1);"
            )
            rows = server.ask("SELECT a FROM s;")
    assert rows == [{"A": 1}, {"A": 1}]
