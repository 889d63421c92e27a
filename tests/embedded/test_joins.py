"""Joins and queries over tables: every kind against a model that takes one record at a time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from opensea_metrics.deploy.embedded.ordered import moving
from opensea_metrics.deploy.embedded.topics import TopicRecord
from tests.embedded import join_model
from tests.embedded.inside import Inside, inside
from tests.embedded.join_model import Record, Row

SOURCES = """
CREATE STREAM l (k INT KEY, v INT) WITH (KAFKA_TOPIC='l', VALUE_FORMAT='JSON', PARTITIONS=1);
CREATE STREAM r (k INT KEY, v INT) WITH (KAFKA_TOPIC='r', VALUE_FORMAT='JSON', PARTITIONS=1);
CREATE TABLE lt (k INT PRIMARY KEY, v INT) WITH (KAFKA_TOPIC='l', VALUE_FORMAT='JSON');
CREATE TABLE rt (k INT PRIMARY KEY, v INT) WITH (KAFKA_TOPIC='r', VALUE_FORMAT='JSON');
"""
SIDES = ("INNER", "LEFT", "RIGHT", "FULL")
BEFORE, AFTER, GRACE = 3, 5, 4
WITHIN = f"WITHIN ({BEFORE} MILLISECONDS, {AFTER} MILLISECONDS)"


def stream_join(side: str, grace: int | None) -> str:
    late = "" if grace is None else f" GRACE PERIOD {grace} MILLISECONDS"
    key = "ROWKEY" if side == "FULL" else "r.k" if side == "RIGHT" else "l.k"
    return f"SELECT {key} AS id, l.v AS a, r.v AS b FROM l {side} JOIN r {WITHIN}{late} ON l.k = r.k"


QUERIES: dict[str, tuple[str, Callable[[Sequence[Record]], list[Row]]]] = {
    **{
        f"st_{side}": (
            f"CREATE STREAM st_{side} AS SELECT l.k AS id, l.v AS a, rt.v AS b FROM l {side} JOIN rt ON l.k = rt.k;",
            lambda records, side=side: join_model.stream_table(records, side == "LEFT"),  # type: ignore[misc]
        )
        for side in ("INNER", "LEFT")
    },
    **{
        f"tt_{side}": (
            f"CREATE TABLE tt_{side} AS SELECT {'ROWKEY' if side == 'FULL' else 'rt.k' if side == 'RIGHT' else 'lt.k'}"
            f" AS id, lt.v AS a, rt.v AS b FROM lt {side} JOIN rt ON lt.k = rt.k;",
            lambda records, side=side: sorted(join_model.table_table(records, side).values()),  # type: ignore[misc]
        )
        for side in SIDES
    },
    **{
        f"ss_{side}_{grace}": (
            f"CREATE STREAM ss_{side}_{grace} AS {stream_join(side, grace)};",
            lambda records, side=side, grace=grace: join_model.stream_stream(  # type: ignore[misc]
                records, side, BEFORE, AFTER, grace
            ),
        )
        for side in SIDES
        for grace in (None, GRACE)
    },
}


def insert(server: Inside, records: Sequence[Record]) -> None:
    """Records arrive in both topics before a query takes them."""
    for record in records:
        source = server.engine.catalog.sources["LR"[record.source]]
        key = None if record.key is None else json.dumps({"K": record.key})
        value = None if record.value is None else json.dumps({"V": record.value})
        server.engine.insert(source, [TopicRecord(record.time, key, value)])


def results(server: Inside, name: str) -> list[Row]:
    rows = server.ask(f"SELECT id, a, b, ROWTIME AS at FROM {name} EMIT CHANGES;")
    return [Row(row["ID"], row["A"], row["B"], row["AT"]) for row in rows]


def check(server: Inside, records: Sequence[Record]) -> None:
    assert server.engine.failures == {}
    for name, (_, model) in QUERIES.items():
        rows = results(server, name)
        assert (sorted(rows) if name.startswith("tt") else rows) == model(records), name


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Inside]:
    with inside(tmp_path) as begun:
        begun.done(SOURCES)
        yield begun


RECORDS = st.lists(
    st.builds(
        Record,
        source=st.sampled_from((0, 1)),
        key=st.sampled_from((1, 1, 1, 2, None)),
        value=st.sampled_from((1, 2, 3, 4, None)),
        time=st.integers(0, 40),
    ),
    max_size=14,
)


@settings(
    max_examples=10,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # an example takes seconds, and shrinking needs hundreds
    suppress_health_check=[HealthCheck.too_slow],
)
@given(records=RECORDS, most=st.sampled_from((1, 2, 5, 1_000)))
def test_every_join_is_as_one_record_at_a_time(
    tmp_path_factory: pytest.TempPathFactory, records: list[Record], most: int
) -> None:
    before = moving.MOST_RECORDS
    moving.MOST_RECORDS = most
    try:
        with inside(tmp_path_factory.mktemp("data")) as server:
            server.done(SOURCES + "".join(sql for sql, _ in QUERIES.values()))
            insert(server, records)
            server.settle()
            check(server, records)
    finally:
        moving.MOST_RECORDS = before
