"""SESSION windows on the embedded server: as Kafka Streams computes them row by row, however the rows are batched."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import duckdb
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.embedded.windows import Row, SessionModel, absorbed, analysed, database, in_batches

GAP, GRACE = 5, 7


@pytest.fixture(scope="module")
def cursor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    storage = database(tmp_path_factory.mktemp("sessions"))
    with storage.cursor() as opened:
        yield opened
    storage.close()


def select(aggregates: str, retention: int | None = None, emit: str = "CHANGES") -> str:
    kept = f"RETENTION {retention} MILLISECONDS, " if retention else ""
    window = f"WINDOW SESSION ({GAP} MILLISECONDS, {kept}GRACE PERIOD {GRACE} MILLISECONDS)"
    return f"SELECT k, {aggregates} FROM s {window} GROUP BY k EMIT {emit}"


LISTS, COUNTS = "COLLECT_LIST(v) AS l, COUNT(*) AS n", "COUNT(*) AS n, SUM(v) AS v"
ROWS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 60)), max_size=40)
REPLACED = [("a", 34), ("a", 46), ("a", 34), ("a", 47)]
"""Without RETENTION, the third row is not merged with the first. Its session takes the place of the first session."""
CUTS = st.lists(st.integers(0, 40), max_size=6)
RETENTIONS = (None, 30)
ANALYSES = {
    (aggregates, retention, emit): analysed(select(aggregates, retention, emit))
    for aggregates in (LISTS, COUNTS)
    for retention in RETENTIONS
    for emit in ("CHANGES", "FINAL")
}


def records_of(rows: list[tuple[str, int]]) -> list[Row]:
    """Records of which the keys a and b are in one partition, and c in another."""
    return [Row(key, time, n, partition=int(key == "c")) for n, (key, time) in enumerate(rows)]


def cut(rows: list[Row], cuts: list[int]) -> list[list[Row]]:
    places = sorted({0, *cuts, len(rows)})
    return [rows[low:high] for low, high in pairwise(places)]


def models(records: list[Row], retention: int | None, is_final: bool = False) -> list[SessionModel]:
    """The models of the two partitions after all records."""
    both = [SessionModel(GAP, GRACE, retention or GAP + GRACE, is_final) for _ in range(2)]
    for record in records:
        both[record.partition].take(record)
    return both


@pytest.mark.parametrize("retention", RETENTIONS)
@settings(max_examples=30, deadline=None)
@given(rows=ROWS, cuts=CUTS)
@example(rows=REPLACED, cuts=[])
def test_lists_of_sessions_are_in_the_order_of_merging(
    cursor: duckdb.DuckDBPyConnection, retention: int | None, rows: list[tuple[str, int]], cuts: list[int]
) -> None:
    records = records_of(rows)
    computed = in_batches(cursor, ANALYSES[LISTS, retention, "CHANGES"], cut(records, cuts))
    sessions = sorted((r["K"], r["WINDOWSTART"], r["WINDOWEND"], tuple(r["L"])) for r in computed)
    assert sessions == sorted(row for model in models(records, retention) for row in model.rows())
    assert all(r["N"] == len(r["L"]) and r["ROWTIME"] == r["WINDOWEND"] for r in computed)


@pytest.mark.parametrize("retention", RETENTIONS)
@settings(max_examples=30, deadline=None)
@given(rows=ROWS, cuts=CUTS)
def test_sums_of_sessions_do_not_depend_on_the_batches(
    cursor: duckdb.DuckDBPyConnection, retention: int | None, rows: list[tuple[str, int]], cuts: list[int]
) -> None:
    records = records_of(rows)
    computed = in_batches(cursor, ANALYSES[COUNTS, retention, "CHANGES"], cut(records, cuts))
    expected = [row for model in models(records, retention) for row in model.rows()]
    assert sorted((r["K"], r["WINDOWSTART"], r["WINDOWEND"], r["N"], r["V"]) for r in computed) == sorted(
        (key, first, last, len(values), sum(values)) for key, first, last, values in expected
    )


@pytest.mark.parametrize("aggregates", [LISTS, COUNTS])
@settings(max_examples=30, deadline=None)
@given(rows=ROWS, cuts=CUTS)
def test_late_rows_are_counted(
    cursor: duckdb.DuckDBPyConnection, aggregates: str, rows: list[tuple[str, int]], cuts: list[int]
) -> None:
    records = records_of(rows)
    late = absorbed(cursor, ANALYSES[aggregates, None, "CHANGES"], cut(records, cuts))
    assert late == sum(model.late for model in models(records, None))


@pytest.mark.parametrize("aggregates", [LISTS, COUNTS])
@settings(max_examples=30, deadline=None)
@given(rows=ROWS, cuts=CUTS)
@example(rows=REPLACED, cuts=[])
@example(rows=REPLACED, cuts=[2])
def test_a_session_is_final_once(
    cursor: duckdb.DuckDBPyConnection, aggregates: str, rows: list[tuple[str, int]], cuts: list[int]
) -> None:
    records = records_of(rows)
    computed = in_batches(cursor, ANALYSES[aggregates, None, "FINAL"], cut(records, cuts))
    final = [r for r in computed if r["_off"] is not None]
    expected = [row for model in models(records, None, is_final=True) for row in model.emitted]
    assert sorted((r["K"], r["WINDOWSTART"], r["WINDOWEND"], r["N"]) for r in final) == sorted(
        (key, first, last, len(values)) for key, first, last, values in expected
    )
    assert sorted(r["_off"] for r in final) == list(range(len(final)))
