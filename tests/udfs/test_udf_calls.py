"""NULL rules, errors and results, on plain Python, DuckDB and the embedded server."""

from __future__ import annotations

import logging
import random
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opensea_metrics.deploy.client import KsqlClient, KsqlError
from opensea_metrics.deploy.demo import wait_until_read
from opensea_metrics.deploy.embedded import server
from opensea_metrics.udfs import Int32, aggregate, api, registry, udf
from opensea_metrics.udfs import duckdb as duckdb_udfs
from opensea_metrics.udfs.calls import Aggregation, guarded
from opensea_metrics.udfs.functions.quantiles import SketchMedian, SketchPercentile
from opensea_metrics.udfs.functions.token_amounts import token_amount, token_amount_double
from opensea_metrics.udfs.functions.top import TopByKey


@pytest.fixture
def connection(own: Path) -> duckdb.DuckDBPyConnection:
    made = duckdb.connect()
    duckdb_udfs.register(made)
    return made


def value(connection: duckdb.DuckDBPyConnection, expression: str) -> Any:
    (row,) = connection.execute(f"SELECT {expression}").fetchall()
    return row[0]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("or_default(NULL, 'x')", "x"),
        ("or_default('y', 'x')", "y"),
        ("or_default('y', NULL)", None),
        ("whole('12')", 12),
        ("whole(NULL)", None),
        ("half_up('1.005')", Decimal("1.01")),
        ("half_up('-1.005')", Decimal("-1.01")),
        ("half_up('999.994')", Decimal("999.99")),
        ("half_up('999.995')", None),  # 1000.00 has a digit too many
        ("half_up('1e30')", None),
        ("whole('9223372036854775807')", 2**63 - 1),
        ("whole('9223372036854775808')", None),
        ("wrong_type('a')", None),
        ("token_amount('1', 18)", Decimal("1E-18")),
        ("token_amount('1', 19)", None),
        ("token_amount('10', 19)", Decimal("1E-18")),
        ("token_amount(repeat('9', 38), 18)", Decimal("99999999999999999999.999999999999999999")),
        ("token_amount(repeat('9', 39), 18)", None),
        ("token_amount('٣', 0)", None),
        ("token_amount('1' || chr(10), 0)", None),
        ("token_amount_double('123456789012345678901234567890', 18)", 123456789012.34567890),
        ("nft_id_parts('a/B/c').CONTRACT", "B"),
    ],
)
def test_duckdb(connection: duckdb.DuckDBPyConnection, expression: str, expected: Any) -> None:
    assert value(connection, expression) == expected


def test_an_exception_is_logged_with_its_last_line(
    connection: duckdb.DuckDBPyConnection, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, "opensea_metrics.udfs"):
        assert value(connection, "whole('x')") is None
    (record,) = caplog.records
    assert record.name == "opensea_metrics.udfs.WHOLE"
    assert record.getMessage().startswith("ValueError: invalid literal for int() with base 10: 'x' (")
    assert "echoes.py:" in record.getMessage()


def test_sys_exit_gives_null(caplog: pytest.LogCaptureFixture) -> None:
    @udf
    def leaving(number: int) -> int:
        sys.exit(number)

    assert guarded(getattr(leaving, api.ATTRIBUTE))(3) is None
    assert caplog.messages[0].startswith("SystemExit: 3")


def test_a_bad_row_is_left_out_of_an_aggregate(own: Path, caplog: pytest.LogCaptureFixture) -> None:
    definition = registry.functions()["LONGEST_TEXT"]
    made = Aggregation(definition, ("-", 5))
    state = made.partial([("a", 1), ("bb", 13), (None, 2), ("c", None)])
    assert made.finish(state) == "a1-2"
    assert caplog.messages[0].startswith("ValueError: 13 is refused")
    assert made.finish(made.merged([state, None, "no state", state])) == "a1-a1-2-2"


def test_infinity_in_a_state_leaves_the_row_out(own: Path) -> None:
    made = Aggregation(registry.functions()["PEAK"], ())
    assert made.finish(made.partial([(1.0,), (float("inf"),), (float("nan"),), (3.0,)])) == 3.0


numbers = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e300, max_value=1e300)


@given(st.lists(st.tuples(st.text(max_size=3), st.floats(0, 1e9)), max_size=60), st.integers(1, 12))
def test_top_by_key_is_the_top_of_a_full_sort(rows: list[tuple[str, float]], n: int) -> None:
    sums: dict[str, float] = {}
    changes = []
    for key, amount in rows:
        sums[key] = sums.get(key, 0.0) + amount
        changes.append((key, sums[key], f"{key}:{sums[key]}"))
    expected = sorted(sums.items(), key=lambda entry: (-entry[1], entry[0]))[:n]
    found = aggregate(TopByKey(n), changes)
    assert [(entry.key, entry.value) for entry in found] == expected
    assert all(entry.detail == f"{entry.key}:{entry.value}" for entry in found)


@given(st.lists(numbers, min_size=1), st.integers(0, 100))
def test_percentiles_are_right_to_a_hundredth(values: list[float], percent: int) -> None:
    rank = int(percent / 100 * (len(values) - 1))
    expected = sorted(values)[rank]
    rows = [(value,) for value in values]
    found = aggregate(SketchPercentile(percent), rows)
    nearby = sorted(values)[min(rank + 1, len(values) - 1)]
    assert any(abs(found - true) <= abs(true) * 0.010001 + 1e-300 for true in (expected, nearby))
    if percent == 50:
        assert found == aggregate(SketchMedian(), rows)


# -- the embedded server ----------------------------------------------------------------------


@pytest.fixture
def client(own: Path, tmp_path: Path) -> Iterator[KsqlClient]:
    with server.running(tmp_path) as url:
        client = KsqlClient(url)
        client.execute(
            "CREATE STREAM words (text VARCHAR, weight BIGINT, ts BIGINT) WITH"
            " (KAFKA_TOPIC='words', VALUE_FORMAT='JSON', PARTITIONS=1, TIMESTAMP='ts');"
        )
        yield client


def put(client: KsqlClient, *rows: tuple[str | None, int | None, int]) -> None:
    for text, weight, ts in rows:
        quoted = "NULL" if text is None else "'" + text.replace("'", "''") + "'"
        client.execute(
            f"INSERT INTO words (text, weight, ts) VALUES"
            f" ({quoted}, {'NULL' if weight is None else weight}, {ts});"
        )


def test_a_windowed_table_by_an_aggregate_in_python(client: KsqlClient) -> None:
    client.execute(
        "CREATE TABLE longest AS SELECT 'all' AS k, LONGEST_TEXT(text, weight, '-', 2) AS words,"
        " SKETCH_MEDIAN(weight) AS median FROM words WINDOW TUMBLING (SIZE 1 MINUTE) GROUP BY 'all';"
    )
    put(client, ("a", 1, 0), ("ccc", 13, 1), ("bbb", 2, 2), (None, 3, 61_000), ("x", None, 62_000))
    wait_until_read(client, 30)
    put(client, ("dd", 4, 3), ("é'", 5, 63_000))  # merged with what was there
    wait_until_read(client, 30)
    rows = client.pull("SELECT * FROM longest;")
    assert [row["WORDS"] for row in rows] == ["bbb2-dd4", "é'5-3"]
    assert [round(row["MEDIAN"]) for row in rows] == [2, 3]


def test_scalar_and_table_functions(client: KsqlClient) -> None:
    client.execute(
        "CREATE STREAM spelt AS SELECT OR_DEFAULT(text, '?') AS text, WHOLE(text) AS number,"
        " LETTERS(text, 1) AS letter FROM words;"
    )
    put(client, ("12", 1, 0), ("é", 1, 1), (None, 1, 2))
    wait_until_read(client, 30)
    rows = client.pull("SELECT * FROM spelt;")
    assert [(row["TEXT"], row["NUMBER"], row["LETTER"]) for row in rows] == [
        ("12", 12, "1"), ("12", 12, "2"), ("é", None, "é"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("OR_DEFAUT(text, 'x')", "Can't find any functions with the name 'OR_DEFAUT'"),
        ("OR_DEFAULT(text)", "takes 2 arguments but got 1"),
        ("WHOLE(weight)", "WHOLE takes STRING for text but got BIGINT"),
        ("TOKEN_AMOUNT(text, weight)", "TOKEN_AMOUNT takes INTEGER for decimals but got BIGINT"),
    ],
)
def test_a_wrong_call_is_refused(client: KsqlClient, expression: str, message: str) -> None:
    with pytest.raises(KsqlError, match="Could not determine output schema") as error:
        client.execute(f"CREATE STREAM s AS SELECT {expression} AS x FROM words;")
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("TOP_BY_KEY(text, weight, text, 0)", "TOP_BY_KEY: n must be 1 or more, not 0"),
        ("TOP_BY_KEY(text, weight, text, weight)", "n but got BIGINT"),
        ("SKETCH_PERCENTILE(weight, 101)", "percent must be 0 to 100, not 101"),
        ("TOP_BY_KEY(text, text, text, 3)", "takes DOUBLE for value but got STRING"),
    ],
)
def test_a_wrong_aggregate_is_refused(client: KsqlClient, call: str, message: str) -> None:
    with pytest.raises(KsqlError, match="Could not determine output schema") as error:
        client.execute(
            f"CREATE TABLE t AS SELECT 'all' AS k, {call} AS x FROM words GROUP BY 'all';"
        )
    assert message in str(error.value)


def test_describe_function(client: KsqlClient) -> None:
    (reply,) = client.ask("DESCRIBE FUNCTION or_default;")
    assert reply["name"] == "OR_DEFAULT"
    assert "The value, or the default for NULL." in reply["description"]
    assert ">>> or_default(None, \"x\")" in reply["description"]
    arguments = reply["functions"][0]["arguments"]
    assert [(a["name"], a["type"], a["description"]) for a in arguments] == [
        ("value", "VARCHAR", "may be NULL"),
        ("default", "VARCHAR", "what stands for NULL"),
    ]


_LENGTHS = {"short": 18, "long": 38, "longest": 78}
_ODD = (None, "", "-1", "1e5", " 1", "x", "9" * 79)


@pytest.mark.parametrize("lengths", _LENGTHS)
@pytest.mark.parametrize("decimals", [(18,), (6,), (0,), (19,), (18, 6, 30, None, -1, 100)])
@pytest.mark.parametrize("odd", [0, 1], ids=["amounts", "some odd"])
@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()], ids=str)
def test_amounts_over_arrays_are_those_one_by_one(
    lengths: str, decimals: tuple[int | None, ...], odd: int, kind: pa.DataType
) -> None:
    """Which of the ways they are computed in depends on what is in the array."""
    rng = random.Random(f"{lengths}{decimals}{odd}")

    def text() -> str | None:
        if odd and rng.random() < 0.1:
            return rng.choice(_ODD)
        return "".join(rng.choices("0123456789", k=rng.randint(1, _LENGTHS[lengths])))

    for count in (0, 1, 7, 300):
        texts = [text() for _ in range(count)]
        places = [rng.choice(decimals) for _ in range(count)]
        start = count // 3
        columns = pa.array(texts, kind).slice(start), pa.array(places, pa.int32()).slice(start)
        for function in (token_amount, token_amount_double):
            definition = registry.functions()[function.__name__.upper()]
            expected = [
                None if a is None or d is None else function(a, Int32(d))
                for a, d in zip(texts[start:], places[start:], strict=True)
            ]
            assert definition.arrow is not None
            assert definition.arrow(*columns).to_pylist() == expected
