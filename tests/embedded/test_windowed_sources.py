"""Sources whose keys have windows: joins match a key with its window, as a model of one record at a time does."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from opensea_metrics.deploy.embedded import trial
from opensea_metrics.deploy.embedded.topics.record_topic import TopicRecord
from opensea_metrics.deploy.embedded.trial import TrialRecord
from tests.embedded import join_model
from tests.embedded.inside import Inside, inside
from tests.embedded.join_model import Record
from tests.embedded.test_joins import AFTER, BEFORE, GRACE, SETTINGS, SIDES, WITHIN, steps_of

SIZE = 5
WINDOWS = {
    "TUMBLING": f", WINDOW_TYPE='TUMBLING', WINDOW_SIZE='{SIZE} MILLISECONDS'",
    "SESSION": ", WINDOW_TYPE='SESSION'",
}
KEYS = {1: (7, 0), 2: (7, SIZE), 3: (8, 0)}
"""A key and the start of its window, for each key of the model."""


def sources(kind: str) -> str:
    return "".join(
        f"CREATE {created} (k INT {role}, v INT)"
        f" WITH (KAFKA_TOPIC='{topic}', VALUE_FORMAT='JSON', PARTITIONS=1{WINDOWS[kind]});"
        for topic in ("l", "r")
        for created, role in ((f"STREAM {topic}", "KEY"), (f"TABLE {topic}t", "PRIMARY KEY"))
    )


def select(side: str, grace: int | None) -> str:
    late = "" if grace is None else f" GRACE PERIOD {grace} MILLISECONDS"
    key = "ROWKEY" if side == "FULL" else "r.k" if side == "RIGHT" else "l.k"
    bounds = "coalesce(l.WINDOWSTART, r.WINDOWSTART) AS ws"
    return f"SELECT {key} AS id, l.v AS a, r.v AS b, {bounds} FROM l {side} JOIN r {WITHIN}{late} ON l.k = r.k"


EARLIEST = {"auto.offset.reset": "earliest"}
JOINS = {f"ss_{side}_{grace}": (side, grace) for side in SIDES for grace in (None, GRACE)}


def insert(server: Inside, records: Sequence[Record]) -> None:
    for record in records:
        source = server.engine.catalog.sources["R" if record.source else "L"]
        key = None
        if record.key is not None:
            name, start = KEYS[record.key]
            fields = {"K": name, "WINDOWSTART": start}
            if source.window is not None and source.window.is_session:
                fields["WINDOWEND"] = start + 3
            key = json.dumps(fields)
        value = None if record.value is None else json.dumps({"V": record.value})
        server.engine.insert(source, [TopicRecord(record.time, key, value)])


def check(server: Inside, records: Sequence[Record], end: int) -> None:
    """All joins have the rows of the model. ``end`` is how long after its start a window ends."""
    assert server.engine.failures == {}
    for name, (side, grace) in JOINS.items():
        # The window of a row is that of its key, and stays where a row has no match.
        asked = server.ask(
            f"SELECT id, a, b, WINDOWSTART AS s, WINDOWEND AS e, ws, ROWTIME AS t FROM {name} EMIT CHANGES;"
        )
        assert all(row["S"] == row["WS"] for row in asked)
        assert all(row["E"] == row["S"] + end for row in asked if row["S"] is not None)
        rows = [((row["ID"], row["S"]), row["A"], row["B"], row["T"]) for row in asked]
        model = join_model.stream_stream(records, side, BEFORE, AFTER, grace)
        # KEYS of a record without a key: ksqlDB's query fails at such a record.
        assert rows == [(KEYS.get(row.key or 0, (None, None)), *row[1:]) for row in model], name


RECORDS = st.lists(
    st.builds(
        Record,
        source=st.sampled_from((0, 1)),
        key=st.sampled_from((1, 1, 1, 2, 3, None)),
        value=st.sampled_from((1, 2, 3, None)),
        time=st.integers(0, 40),
    ),
    max_size=16,
)
EXAMPLE = [
    Record(number % 2, (number // 2) % 4 or None, number % 5 or None, (number * 7) % 30)
    for number in range(24)
]
"""Repeated keys, equal and falling times, records without a key or without a value."""
EXAMPLE_WITHOUT_3 = [record for record in EXAMPLE if record.key != 3]


@SETTINGS
@example(records=EXAMPLE, most=3, kind="TUMBLING")
@example(records=EXAMPLE, most=1_000, kind="SESSION")
@given(records=RECORDS, most=st.sampled_from((1, 3, 1_000)), kind=st.sampled_from(tuple(WINDOWS)))
def test_joins_match_keys_with_their_windows(
    tmp_path_factory: pytest.TempPathFactory, records: list[Record], most: int, kind: str
) -> None:
    data = tmp_path_factory.mktemp("data")
    with steps_of(most), inside(data) as server:
        server.done(
            sources(kind)
            + "".join(f"CREATE STREAM {n} AS {select(*join)};" for n, join in JOINS.items())
        )
        insert(server, records)
        server.engine.work()
    with steps_of(most), inside(data) as server:  # after a restart in between
        server.settle()
        check(server, records, SIZE if kind == "TUMBLING" else 3)


@pytest.mark.parametrize("kind", WINDOWS)
def test_push_queries_with_windowed_tables(tmp_path: Path, kind: str) -> None:
    """A 7.9.1 runs them, too, except for the join of two tables, in which its query fails at the first record."""
    end = SIZE if kind == "TUMBLING" else 3
    with inside(tmp_path) as server:
        server.done(sources(kind))
        insert(server, EXAMPLE_WITHOUT_3)
        for outer in (False, True):
            asked = server.ask(
                f"SELECT l.k, l.WINDOWSTART, l.v, rt.v, rt.WINDOWEND FROM l {'LEFT ' * outer}JOIN rt ON l.k = rt.k"
                " EMIT CHANGES;"
            )
            model = join_model.stream_table(EXAMPLE_WITHOUT_3, outer)
            assert [tuple(row.values())[:4] for row in asked] == [
                (*KEYS.get(row.key or 0, (None, None)), row.left, row.right) for row in model
            ]
            assert {row["RT_WINDOWEND"] for row in asked if row["RT_V"]} == {end, SIZE + end}
        asked = server.ask(
            "SELECT ROWKEY, lt.v, rt.v FROM lt FULL JOIN rt ON lt.k = rt.k EMIT CHANGES;"
        )
        tables = join_model.table_table(EXAMPLE_WITHOUT_3, "FULL")
        assert sorted(map(repr, (tuple(row.values()) for row in asked))) == sorted(
            repr((KEYS[key][0], row.left, row.right)) for key, row in tables.items()
        )
        newest = {r.key: r.value for r in EXAMPLE_WITHOUT_3 if r.source == 0 and r.key is not None}
        (grouped,) = server.ask("SELECT k, COUNT(*) AS n FROM lt GROUP BY k EMIT CHANGES;")
        assert grouped == {"K": 7, "N": sum(value is not None for value in newest.values())}


OBSERVED = """
CREATE STREAM l (id INT KEY, k2 INT, v INT) WITH (KAFKA_TOPIC='l', VALUE_FORMAT='JSON', PARTITIONS=1{window});
CREATE STREAM r (id INT KEY, k2 INT, v INT) WITH (KAFKA_TOPIC='r', VALUE_FORMAT='JSON', PARTITIONS=1{window});
CREATE STREAM m (id INT KEY, k2 INT, v INT) WITH (KAFKA_TOPIC='m', VALUE_FORMAT='JSON', PARTITIONS=1{window});
CREATE STREAM every AS SELECT * FROM l a JOIN r b WITHIN 10 SECONDS ON a.id = b.id;
CREATE STREAM three AS SELECT a.id AS id, a.v AS v1, b.v AS v2, c.v AS v3 FROM l a JOIN r b WITHIN 10 SECONDS
  ON a.id = b.id LEFT JOIN m c WITHIN 10 SECONDS ON a.id = c.id;
CREATE STREAM again AS SELECT a.id AS id, v1, b.v AS v3 FROM three a JOIN m b WITHIN 10 SECONDS ON a.id = b.id;
CREATE STREAM same_key AS SELECT * FROM l PARTITION BY id;
CREATE TABLE grouped AS SELECT a.k2 AS k2, COUNT(*) AS n FROM l a JOIN r b WITHIN 10 SECONDS ON a.id = b.id
  GROUP BY a.k2;
"""
ARRIVED = (
    ("l", 1, 10000, {"V": 1, "K2": 7}, 10500), ("r", 1, 10000, {"V": 2}, 11000), ("r", 1, 15000, {"V": 3}, 11500),
    ("l", 1, 15000, {"V": 4, "K2": 7}, 12000), ("m", 1, 15000, {"V": 40}, 12000), ("r", 1, 10000, {"V": 5}, 12000),
    ("l", 2, 10000, None, 12500), ("r", 2, 10000, {"V": 6}, 12500), ("l", 2, 10000, {"V": 8, "K2": 8}, 9000),
    ("m", 2, 10000, {"V": 80}, 9000), ("r", 2, 10000, {"V": 9}, 30000), ("l", 1, 10000, {"V": 10}, 31000),
    ("l", 3, 0, {"V": 11}, 15000), ("r", 3, 0, {"V": 12}, 15000), ("r", 3, 0, {"V": 13}, 60000),
    ("l", 9, 0, {"V": 14}, 90000), ("r", 9, 5000, {"V": 15}, 90000),
)  # fmt: skip
"""Topic, key, start of the key's window, value, and time."""


@pytest.mark.parametrize(("kind", "end"), [("TUMBLING", 5000), ("SESSION", 1234)])
def test_rows_of_a_real_server(kind: str, end: int) -> None:
    """The records and rows were observed on a 7.9.1 on 2026-11-30. A record of ARRIVED came after the one before."""
    window = WINDOWS[kind].replace(f"{SIZE} MILLISECONDS", "5 SECONDS")
    statements = OBSERVED.format(window=window).strip().split(";")
    records = [
        TrialRecord(
            topic,
            None if value is None else json.dumps(value),
            json.dumps({"ID": key}),
            time,
            window=(at, at + end),
        )
        for topic, key, at, value, time in ARRIVED
    ]
    result = trial.run(
        [f"{text};" for text in statements if text.strip()], records, properties=EARLIEST
    )
    assert (result.refusal, result.failures) == (None, {})

    def rows(name: str) -> list[tuple[object, ...]]:
        return [tuple(row.values()) for row in result.rows[name]]

    def windowed(key: int, start: int, *values: object) -> tuple[object, ...]:
        *first, time = values
        return (key, *first, start, start + end, time)

    assert rows("THREE") == [
        windowed(1, 10000, 1, 2, None, 11000), windowed(1, 15000, 4, 3, None, 12000),
        windowed(1, 15000, 4, 3, 40, 12000), windowed(1, 10000, 1, 5, None, 12000),
        windowed(2, 10000, 8, 6, None, 12500), windowed(2, 10000, 8, 6, 80, 12500),
        windowed(3, 0, 11, 12, None, 15000),
    ]  # fmt: skip
    assert (
        rows("AGAIN")
        == [windowed(1, 15000, 4, 40, 12000)] * 2 + [windowed(2, 10000, 8, 80, 12500)] * 2
    )
    assert result.rows["EVERY"][0] == {
        "A_ID": 1, "A_WINDOWSTART": 10000, "A_WINDOWEND": 10000 + end, "A_K2": 7, "A_V": 1,
        "B_ID": 1, "B_WINDOWSTART": 10000, "B_WINDOWEND": 10000 + end, "B_K2": None, "B_V": 2,
        "WINDOWSTART": 10000, "WINDOWEND": 10000 + end, "ROWTIME": 11000,
    }  # fmt: skip
    assert len(rows("EVERY")) == 5
    assert rows("SAME_KEY")[2] == windowed(2, 10000, None, None, 12500)
    assert rows("GROUPED") == [(7, 3, 12000), (8, 1, 12500)]
