"""Values, tables and files: for people on a terminal, exact elsewhere."""

from __future__ import annotations

import csv
import doctest
import io
import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from opensea_metrics.core.errors import SqlError
from opensea_metrics.core.types import BIGINT, DOUBLE, STRING, TIMESTAMP, DecimalType, array, struct
from opensea_metrics.deploy.output import forms, parquet, readable
from opensea_metrics.deploy.output.forms import Form, OutputRefused, form_for
from opensea_metrics.deploy.output.grid import table
from opensea_metrics.deploy.output.readable import Look, lines
from opensea_metrics.deploy.output.rows import show_push, show_reply, show_rows
from opensea_metrics.deploy.replies import Rows
from opensea_metrics.deploy.reply_columns import ServerColumn

STYLE = re.compile(r"\x1b\[[0-9;]*m")
NOON = 1_789_473_600_000  # 2026-09-15 12:00:00
TOP = [
    {"KEY": "otters-000", "VALUE": 1234.5, "DETAIL": '{"SALES":2,"URL":"https://x.example/a-long-name"}'},
    {"KEY": "日本", "VALUE": 3, "DETAIL": '{"SALES":10,"URL":null}'},
]


@pytest.mark.parametrize(
    ("value", "look", "expected"),
    [
        (None, Look("A"), ["NULL"]),
        (NOON, Look("WINDOWSTART", "BIGINT", True), ["2026-09-15 12:00:00"]),
        (NOON + 7, Look("TS", "BIGINT", True), ["2026-09-15 12:00:00.007"]),
        (2**62, Look("ROWTIME", "BIGINT", True), [str(2**62)]),
        (NOON, Look("N", "BIGINT"), ["1,789,473,600,000"]),
        ("2026-09-15T12:00:00.000", Look("T", "TIMESTAMP"), ["2026-09-15 12:00:00"]),
        ("2026-09-15T12:00:00.125", Look("T", "TIMESTAMP"), ["2026-09-15 12:00:00.125"]),
        (195185.40426926521, Look("USD", "DOUBLE"), ["195,185.40"]),
        (-0.000123456, Look("D", "DECIMAL(9, 9)"), ["-0.0001235"]),
        (0.5, Look("USD", "DOUBLE"), ["0.50"]),
        (0.99999, Look("USD", "DOUBLE"), ["1.00"]),
        (2, Look("USD", "DOUBLE"), ["2"]),
        (float("nan"), Look("USD", "DOUBLE"), ["nan"]),
        ("NaN", Look("USD", "DOUBLE"), ["NaN"]),
        ("1234567", Look("ID", "STRING"), ["1234567"]),
        ([1, 2], Look("L", "ARRAY<INTEGER>"), ["[1, 2]"]),
        ([], Look("L", "ARRAY<STRUCT<…>>"), ["[]"]),
        (True, Look("B", "BOOLEAN"), ["true"]),
    ],
)
def test_values_for_people(value: Any, look: Look, expected: list[str]) -> None:
    assert lines(value, look) == expected


def test_a_top_list_is_a_small_table() -> None:
    look = Look("TOP", "ARRAY<STRUCT<KEY STRING, VALUE DOUBLE, DETAIL STRING>>")
    assert lines(TOP, look) == [
        "key            value  sales  url",
        "otters-000  1,234.50      2  https://x.example/a-long-name",
        "日本               3     10",
    ]
    assert lines(TOP, look, 40) == [
        "key            value  sales  url",
        "otters-000  1,234.50      2  https://x.…",
        "日本               3     10",
    ]


def test_the_examples_in_docstrings() -> None:
    assert tuple(doctest.testmod(readable)) == (0, 1)


def rows() -> Rows:
    columns = (
        ServerColumn("SLUG", "STRING"), ServerColumn("WS", "BIGINT"), ServerColumn("USD", "DOUBLE"),
        ServerColumn("TOP", "ARRAY<STRUCT<`K` STRING>>"),
    )  # fmt: skip
    return Rows(columns, iter([["a,\"b\"\n", NOON, 195185.40426926521, [{"K": "x"}]], [None, None, None, None]]))


def test_a_table_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert show_rows(rows(), {"WS"}, exact=False) == 2
    assert capsys.readouterr().out.splitlines()[3:6] == [
        '│ a,"b"\\n │ 2026-09-15 12:00:00 │ 195,185.40 │ k    │',
        "│         │                     │            │ x    │",
        "│ NULL    │ NULL                │       NULL │ NULL │",
    ]


def test_rows_of_a_push_query_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert show_push(rows(), {"WS"}, exact=False) == 2
    assert capsys.readouterr().out.splitlines()[1].split() == [
        'a,"b"\\n', "2026-09-15", "12:00:00", "195,185.40", '[{"K":', '"x"}]',
    ]  # fmt: skip


def test_vertical_rows(capsys: pytest.CaptureFixture[str]) -> None:
    show_rows(rows(), {"WS"}, exact=True, vertical=True)
    assert capsys.readouterr().out.splitlines()[1:5] == [
        'SLUG  a,"b"\\n', f"WS    {NOON}", "USD   195185.40426926521", "TOP   {K=x}",
    ]  # fmt: skip


def test_a_table_that_does_not_fit() -> None:
    cells = [[["one two three"], ["1"]]]
    assert table(["A", "B"], cells, [False, True], [True, False], 13) == [
        "┏━━━━━━━┳━━━┓", "┃ A     ┃ B ┃", "┡━━━━━━━╇━━━┩", "│ one   │ 1 │", "│ two   │   │", "│ three │   │",
        "└───────┴───┘",
    ]  # fmt: skip
    assert table(["A", "B"], cells, [False, True], [True, False], 12) is None
    assert table(["A", "B"], cells, [False, True], [False, False], 13) is None


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """stdout is a terminal of 40 columns."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "40")


def test_a_list_is_cut_to_the_terminal(terminal: None, capsys: pytest.CaptureFixture[str]) -> None:
    reply = [{"@type": "queries", "queries": [
        {"id": "CTAS_VOLUME_3", "queryString": "CREATE TABLE volume AS SELECT …", "sinks": ["VOLUME", "X"]}
    ]}]  # fmt: skip
    show_reply(reply)
    assert STYLE.sub("", capsys.readouterr().out).splitlines() == [
        "queries",
        "┏━━━━━━━━━━━━━━━┳━━━━━━━━━━┳━━━━━━━━━━━┓",
        "┃ id            ┃ querySt… ┃ sinks     ┃",
        "┡━━━━━━━━━━━━━━━╇━━━━━━━━━━╇━━━━━━━━━━━┩",
        "│ CTAS_VOLUME_3 │ CREATE…  │ VOLUME, X │",
        "└───────────────┴──────────┴───────────┘",
    ]


def test_rows_that_are_wider_than_the_terminal_come_one_below_the_other(
    terminal: None, capsys: pytest.CaptureFixture[str]
) -> None:
    show_push(rows(), {"WS"})
    lines = STYLE.sub("", capsys.readouterr().out).splitlines()
    assert lines[:6] == [
        f"row 1 {'─' * 34}", 'SLUG  a,"b"\\n', "WS    2026-09-15 12:00:00", "USD   195,185.40", "TOP   k", "      x",
    ]  # fmt: skip


def test_csv_and_json_are_exact(capsys: pytest.CaptureFixture[str]) -> None:
    names = [column.name for column in rows().columns]
    assert forms.write_csv(names, rows().values) == 2
    read = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    assert read == [names, ['a,"b"\n', str(NOON), "195185.40426926521", '[{"K": "x"}]'], ["", "", "", ""]]
    assert forms.write_json(names, rows().values) == 2
    first = json.loads(capsys.readouterr().out.splitlines()[0])
    assert first == {"SLUG": 'a,"b"\n', "WS": NOON, "USD": 195185.40426926521, "TOP": [{"K": "x"}]}


def test_parquet_has_timestamps_and_types(tmp_path: Path) -> None:
    money = DecimalType("DECIMAL", 9, 2)
    columns = (
        ("SLUG", STRING), ("WS", BIGINT), ("N", BIGINT), ("T", TIMESTAMP), ("FEE", money),
        ("TOP", array(struct(("K", STRING), ("V", DOUBLE)))),
    )  # fmt: skip
    values: list[list[Any]] = [["a", NOON, 5, "2026-09-15T12:00:00.000", 1.25, [{"K": "x", "V": 1.5}]], [None] * 6]
    assert parquet.write_parquet(tmp_path / "x.parquet", columns, iter(values), {"WS"}) == 2
    read = pq.read_table(tmp_path / "x.parquet")
    assert [str(field.type) for field in read.schema][:5] == [
        "string", "timestamp[ms, tz=UTC]", "int64", "timestamp[ms]", "decimal128(9, 2)",
    ]  # fmt: skip
    assert read.schema.field("TOP").type == pa.list_(pa.struct([("K", pa.string()), ("V", pa.float64())]))
    first = read.to_pylist()[0]
    assert (first["WS"], first["FEE"]) == (datetime(2026, 9, 15, 12, tzinfo=UTC), Decimal("1.25"))
    assert first["T"] == datetime(2026, 9, 15, 12)
    assert read.to_pylist()[1] == dict.fromkeys(name for name, _ in columns)


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    def failing() -> Any:
        yield ["a"]
        raise SqlError("gone")

    with pytest.raises(SqlError):
        parquet.write_parquet(tmp_path / "x.parquet", [("A", STRING)], failing(), ())
    with pytest.raises(SqlError), forms.redirected(tmp_path / "x.csv"):
        forms.write_csv(["A"], failing())
    assert list(tmp_path.iterdir()) == []

    def interrupted() -> Any:
        yield ["a"]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        parquet.write_parquet(tmp_path / "x.parquet", [("A", STRING)], interrupted(), ())
    assert pq.read_table(tmp_path / "x.parquet").to_pylist() == [{"A": "a"}]


def test_the_form_follows_the_file() -> None:
    assert form_for(None, None) is Form.TABLE
    assert form_for(None, Path("x.CSV")) is Form.CSV
    assert form_for(Form.JSON, Path("x.csv")) is Form.JSON
    assert form_for(None, Path("x.txt")) is Form.TABLE
    with pytest.raises(OutputRefused, match="--out FILE"):
        form_for(Form.PARQUET, None)
