"""EMIT FINAL on the embedded server: a window's row is given once, when stream time closes the window."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.embedded.windows import Row, WindowModel, analysed, database, in_batches

SIZE, GRACE = 6, 4
KINDS = {
    "tumbling": ("TUMBLING (SIZE 6 MILLISECONDS, {}GRACE PERIOD 4 MILLISECONDS)", 6),
    "hopping": ("HOPPING (SIZE 6 MILLISECONDS, ADVANCE BY 2 MILLISECONDS, {}GRACE PERIOD 4 MILLISECONDS)", 2),
}
ROWS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 60)), max_size=40)
CUTS = st.lists(st.integers(0, 40), max_size=6)


@pytest.fixture(scope="module")
def cursor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    storage = database(tmp_path_factory.mktemp("final"))
    with storage.cursor() as opened:
        yield opened
    storage.close()


def select(kind: str, retention: int | None) -> str:
    window = KINDS[kind][0].format(f"RETENTION {retention} MILLISECONDS, " if retention else "")
    return f"SELECT k, COLLECT_LIST(v) AS l FROM s WINDOW {window} GROUP BY k EMIT FINAL"


CASES = [(kind, retention) for kind in KINDS for retention in (None, 1_000)]
ANALYSES = {case: analysed(select(*case)) for case in CASES}


@pytest.mark.parametrize("case", CASES, ids=str)
@settings(max_examples=30, deadline=None)
@given(rows=ROWS, cuts=CUTS)
def test_final_rows_do_not_depend_on_the_batches(
    cursor: duckdb.DuckDBPyConnection, case: tuple[str, int | None], rows: list[tuple[str, int]], cuts: list[int]
) -> None:
    kind, retention = case
    records = [Row(key, time, n, partition=int(key == "c")) for n, (key, time) in enumerate(rows)]
    places = sorted({0, *cuts, len(records)})
    computed = in_batches(cursor, ANALYSES[case], [records[low:high] for low, high in pairwise(places)])
    models = [WindowModel(SIZE, KINDS[kind][1], GRACE, retention or SIZE + GRACE) for _ in range(2)]
    for record in records:
        models[record.partition].take(record)
    final = [r for r in computed if r["_off"] is not None]
    assert sorted((r["K"], r["WINDOWSTART"], tuple(r["L"])) for r in final) == sorted(
        row for model in models for row in model.emitted
    )
    assert sorted(r["_off"] for r in final) == list(range(len(final)))
