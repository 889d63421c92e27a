"""recompute of joins and of queries over tables: what an embedded server has of the same archive."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from opensea_metrics.core.errors import SqlError
from opensea_metrics.producer.archive.location import open_archive
from opensea_metrics.spark_batch.recompute import computed, prepare
from opensea_metrics.spark_batch.targets import TargetError
from opensea_metrics.spark_batch.upkeep.compact import compact
from opensea_metrics.spark_batch.upkeep.runs import groups
from opensea_metrics.sql.language.catalog.changes import check
from opensea_metrics.sql.language.project.project import load_project
from tests.spark_batch.archives import DAY_MS, START, needs, recomputed, request
from tests.spark_batch.joined import Given, of_recompute, of_server, written

HOUR = 3_600_000
SIDES = ("INNER", "LEFT", "RIGHT", "FULL")


def within(side: str, grace: str = "") -> str:
    key = "ROWKEY" if side == "FULL" else "r.k" if side == "RIGHT" else "l.k"
    return (
        f"SELECT {key} AS id, l.v AS a, r.v AS b FROM l {side} JOIN r"
        f" WITHIN (3 MILLISECONDS, 5 MILLISECONDS){grace} ON l.k = r.k"
    )


GRACE = " GRACE PERIOD 4 MILLISECONDS"
QUERIES = {
    **{f"ss_{side.lower()}": f"CREATE STREAM ss_{side} AS {within(side)};" for side in SIDES},
    **{f"sg_{side.lower()}": f"CREATE STREAM sg_{side} AS {within(side, GRACE)};" for side in SIDES},
    "counted": "CREATE TABLE counted AS SELECT k, COUNT(*) AS n, MAX(v) AS most, LATEST_BY_OFFSET(v) AS newest"
    " FROM r GROUP BY k HAVING COUNT(*) <> 2;",
    "st_inner": "CREATE STREAM st_inner AS SELECT l.k AS id, v, n, most, newest"
    " FROM l JOIN counted ON l.k = counted.k;",
    "st_left": "CREATE STREAM st_left AS SELECT l.k AS id, v, n, newest FROM l LEFT JOIN counted ON l.k = counted.k"
    " WHERE v > 1;",
    "three": "CREATE STREAM three AS SELECT l.k AS id, l.v AS a, r.v AS b, x.v AS c, n FROM l"
    " JOIN r WITHIN 5 MILLISECONDS ON l.k = r.k"
    " LEFT JOIN x WITHIN 6 MILLISECONDS GRACE PERIOD 1 MILLISECOND ON r.k = x.k"
    " LEFT JOIN counted ON l.k = counted.k;",
    "own": "CREATE STREAM own AS SELECT x.k AS id, x.v AS a, y.v AS b FROM x LEFT JOIN y WITHIN 4 MILLISECONDS"
    " GRACE PERIOD 2 MILLISECONDS ON x.k = y.k;",
    "over": "CREATE STREAM over AS SELECT id, a + b AS c FROM ss_inner WHERE a <> 2;",
    "by_value": "CREATE STREAM by_value AS SELECT over.c AS c, id, n"
    " FROM over LEFT JOIN counted ON over.c = counted.k;",
    "groups": "CREATE TABLE groups AS SELECT l.k AS id, COUNT(*) AS n, SUM(r.v) AS s, COLLECT_LIST(r.v) AS vs FROM l"
    " JOIN r WITHIN 5 MILLISECONDS ON l.k = r.k GROUP BY l.k;",
    "met": "CREATE STREAM met AS SELECT x.k AS id, v, n, vs FROM x JOIN groups ON x.k = groups.id;",
    "windows": "CREATE TABLE windows AS SELECT l.k AS id, COUNT(*) AS n FROM l"
    " JOIN r WITHIN 5 MILLISECONDS ON l.k = r.k WINDOW TUMBLING (SIZE 10 MILLISECONDS) GROUP BY l.k;",
    "summed": "CREATE TABLE summed AS SELECT k, SUM(v) AS s, COUNT(*) AS n FROM l GROUP BY k;",
    "chosen": "CREATE TABLE chosen AS SELECT k, s + 1 AS s1, n FROM summed WHERE n > 1;",
    "of_chosen": "CREATE STREAM of_chosen AS SELECT x.k AS id, v, s1 FROM x LEFT JOIN chosen ON x.k = chosen.k;",
    **{
        f"tt_{side.lower()}": f"CREATE TABLE tt_{side} AS SELECT {key} AS id, s, n1, s1 FROM summed {side} JOIN"
        f" counted_x ON summed.k = counted_x.k;"
        for side, key in zip(SIDES, ("summed.k", "summed.k", "counted_x.k", "ROWKEY"), strict=True)
    },
    "of_joined": "CREATE STREAM of_joined AS SELECT r.k AS id, v, s, n1 FROM r LEFT JOIN tt_full ON r.k = tt_full.id;",
    "foreign_inner": "CREATE TABLE foreign_inner AS SELECT summed.k, s, n1 FROM summed JOIN counted_x"
    " ON summed.n = counted_x.k;",
    "foreign_left": "CREATE TABLE foreign_left AS SELECT summed.k, s, n1 FROM summed LEFT JOIN counted_x"
    " ON summed.n = counted_x.k WHERE s > 3;",
    "grouped": "CREATE TABLE grouped AS SELECT n, COUNT(*) AS c, SUM(s) AS total, AVG(k) AS mean"
    " FROM summed GROUP BY n;",
    "few": "CREATE TABLE few AS SELECT s1, COUNT(*) AS c FROM chosen GROUP BY s1 HAVING COUNT(*) = 1;",
    "of_grouped": "CREATE STREAM of_grouped AS SELECT x.k AS id, v, c, total"
    " FROM x LEFT JOIN grouped ON x.k = grouped.n;",
}
LATE = {
    "short": "CREATE TABLE short AS SELECT k, COUNT(*) AS n, SUM(v) AS s FROM l"
    " WINDOW TUMBLING (SIZE 5 MILLISECONDS, GRACE PERIOD 3 MILLISECONDS) WHERE v IS NOT NULL GROUP BY k;",
    "hops": "CREATE TABLE hops AS SELECT k, LATEST_BY_OFFSET(v) AS newest, COUNT(*) AS n FROM x"
    " WINDOW HOPPING (SIZE 6 MILLISECONDS, ADVANCE BY 2 MILLISECONDS, GRACE PERIOD 1 MILLISECOND) GROUP BY k;",
    "joined": "CREATE TABLE joined AS SELECT l.k AS id, COUNT(*) AS n FROM l JOIN r WITHIN 5 MILLISECONDS ON l.k = r.k"
    " WINDOW TUMBLING (SIZE 10 MILLISECONDS, GRACE PERIOD 2 MILLISECONDS) GROUP BY l.k;",
}
GIVEN = (
    "CREATE STREAM x AS SELECT k, v FROM given WHERE kind <> 'l' PARTITION BY k;"
    "CREATE STREAM y AS SELECT k, v FROM given WHERE kind = 'l' PARTITION BY k;"
    "CREATE TABLE counted_x AS SELECT k, COUNT(*) AS n1, MAX(v) AS s1 FROM x GROUP BY k HAVING COUNT(*) <> 2;"
)
RECORDS = [
    Given("l", 1, 1, 10), Given("r", 1, 2, 12), Given("l", None, 3, 12), Given("r", None, 4, 13),
    Given("r", 1, 5, 12), Given("l", 1, 6, 8), Given("r", 2, 7, 20), Given("l", 2, 8, 20), Given("l", 2, 9, 30),
    Given("r", 1, 10, 15), Given("l", 1, 11, 40), Given("r", 3, 12, 41), Given("l", 3, None, 2), Given("r", 3, 1, 3),
    Given("l", 4, 1, 45), Given("r", 4, 2, 60), Given("l", 4, 3, 56), Given("r", 2, None, 57), Given("l", 1, 5, 57),
]  # fmt: skip
OTHER_PARTITION = [Given(*record[:3], record.time * 2 % 50, partition=1) for record in RECORDS]


@pytest.mark.parametrize("others", [[], OTHER_PARTITION], ids=["one partition", "two partitions"])
def test_what_a_server_has(tmp_path: Path, others: list[Given]) -> None:
    statements = GIVEN + "".join(QUERIES.values())
    topic, project = written(tmp_path, RECORDS + others, statements)
    expected = of_server(tmp_path, statements, list(QUERIES))
    assert all(expected.values())
    assert of_recompute(topic, project, list(QUERIES), "duckdb") == expected


OF_SPARK = [
    pytest.param(["ss_left", "st_left"], id="two"),
    pytest.param(["sg_full", "three", "own", "windows", "met"], id="streams", marks=pytest.mark.slow),
    pytest.param(["of_joined", "foreign_left", "grouped", "few"], id="tables", marks=pytest.mark.slow),
]
"""Spark takes seconds for each query."""


@pytest.mark.parametrize("wanted", OF_SPARK)
def test_spark_has_it_too(tmp_path: Path, wanted: list[str]) -> None:
    needs("spark")
    names = [name for name in QUERIES if any(name in with_sources(other) for other in wanted)]
    statements = GIVEN + "".join(QUERIES[name] for name in names)
    topic, project = written(tmp_path, RECORDS + OTHER_PARTITION, statements)
    assert of_recompute(topic, project, names, "spark") == of_server(tmp_path, statements, names)


records = st.lists(
    st.builds(
        Given,
        kind=st.sampled_from("lrx"),
        k=st.one_of(st.integers(1, 3), st.none()),
        v=st.one_of(st.integers(0, 5), st.none()),
        time=st.integers(0, 40),
        partition=st.integers(0, 1),
        hour=st.integers(0, 1),
    ),
    max_size=25,
)


def with_sources(name: str) -> list[str]:
    """A query and those whose results it reads. A table that is grouped is also joined with a stream: otherwise an
    embedded server takes its newest rows only, and its groups depend on how it cuts the records into batches."""
    wanted = {name, *({"grouped": ["of_grouped"], "few": ["of_chosen"]}.get(name, []))}
    for other in reversed(QUERIES):
        if any(re.search(rf"\b{other}\b", QUERIES[reader]) for reader in wanted):
            wanted.add(other)
    return [other for other in QUERIES if other in wanted]


@pytest.mark.parametrize("engine", ["duckdb", pytest.param("spark", marks=pytest.mark.slow)])
def test_late_records_are_dropped_as_a_server_drops_them(tmp_path: Path, engine: str) -> None:
    needs(engine)
    statements = GIVEN + "".join(LATE.values())
    topic, project = written(tmp_path, RECORDS + OTHER_PARTITION, statements)
    expected = of_server(tmp_path, statements, list(LATE))
    assert of_recompute(topic, project, list(LATE), engine, as_streamed=True) == expected
    complete = of_recompute(topic, project, list(LATE), engine)
    assert all(complete[name] != expected[name] for name in LATE)


@pytest.mark.parametrize("engine", ["duckdb", pytest.param("spark", marks=pytest.mark.slow)])
def test_late_records_of_a_stream_with_columns_that_no_query_reads(tmp_path: Path, engine: str) -> None:
    needs(engine)
    statements = (
        "CREATE TABLE kinds AS SELECT kind, COUNT(*) AS n FROM given"
        " WINDOW TUMBLING (SIZE 5 MILLISECONDS, GRACE PERIOD 3 MILLISECONDS) GROUP BY kind;"
    )
    topic, project = written(tmp_path, RECORDS, statements)
    assert of_recompute(topic, project, ["kinds"], engine, as_streamed=True) == of_server(
        tmp_path, statements, ["kinds"]
    )


EARLY_AND_LATE = [
    Given("l", 1, 1, HOUR - 2), Given("l", 2, 2, HOUR - 1), Given("r", 1, 3, HOUR + 1, hour=1),
    Given("l", 3, 4, HOUR + 2, hour=1), Given("r", 3, 5, HOUR + 4, hour=1), Given("r", 2, 6, 2 * HOUR, hour=2),
]  # fmt: skip
"""The first pair is of two hours."""


@pytest.mark.parametrize(("hours", "expected"), [((0, 1), []), ((1, 2), ["1 1 3", "3 4 5"]), ((2, 3), [])])
def test_a_period_has_the_rows_whose_time_is_in_it(
    tmp_path: Path, hours: tuple[int, int], expected: list[str]
) -> None:
    """The record before the period counts, and the row has the later time of its two records."""
    topic, project = written(tmp_path, EARLY_AND_LATE, QUERIES["ss_inner"])
    first, end = (START + hour * HOUR for hour in hours)
    tables, _, _ = recomputed(topic, request(wanted="ss_inner", first=first, end=end), project)
    assert sorted(f"{row['ID']} {row['A']} {row['B']}" for row in tables["SS_INNER"]) == expected


def test_a_table_without_windows_needs_all_records(tmp_path: Path) -> None:
    topic, project = written(tmp_path, EARLY_AND_LATE, QUERIES["groups"])
    with pytest.raises(TargetError, match="GROUPS has no window, so it depends on all records: omit --from and --to"):
        prepare(request(wanted="groups", first=START + HOUR), open_archive(topic), project)


def test_compacted_files_give_the_same(tmp_path: Path) -> None:
    names = ["ss_full", "counted", "st_left"]
    statements = "".join(QUERIES[name] for name in names)
    topic, project = written(tmp_path, [*EARLY_AND_LATE, *RECORDS], statements)
    before = of_recompute(topic, project, names, "duckdb")
    source = open_archive(topic)
    stream = check(load_project(project)).sources["GIVEN"]
    planned = groups(source.listing().files, START + 90 * DAY_MS, 0, START, START + 9 * HOUR)
    assert compact(source, stream, planned).compacted
    assert of_recompute(topic, project, names, "duckdb") == before


UNION = "CREATE STREAM both AS SELECT k, v FROM l; INSERT INTO both SELECT k, v FROM r;"


@pytest.mark.parametrize(
    ("statements", "wanted", "as_streamed", "message"),
    [
        (
            "CREATE TABLE of_keys (k BIGINT PRIMARY KEY, v BIGINT)"
            " WITH (KAFKA_TOPIC='OpenSeaRawEvents', VALUE_FORMAT='JSON');"
            "CREATE STREAM x AS SELECT l.k AS id, of_keys.v AS v FROM l JOIN of_keys ON l.k = of_keys.k;",
            "x", False, "OF_KEYS is a table of the archive's records, whose keys are not read",
        ),
        (
            f"{UNION}CREATE STREAM x AS SELECT both.k AS id, l.v AS v FROM both"
            " JOIN l WITHIN 1 SECOND ON both.k = l.k;",
            "x", False, "the order of the rows of BOTH, which several queries write, is not supported by recompute on",
        ),
        (
            QUERIES["summed"] + "CREATE STREAM changes (s BIGINT) WITH (KAFKA_TOPIC='SUMMED', VALUE_FORMAT='JSON');"
            "CREATE STREAM x AS SELECT l.k AS id, s FROM l JOIN changes WITHIN 1 SECOND ON l.k = changes.s;",
            "x", False, "the order of the rows of CHANGES, a stream over the topic of a table, is not supported",
        ),
        (
            QUERIES["summed"] + "CREATE TABLE x AS SELECT n, COLLECT_LIST(s) AS all_s FROM summed GROUP BY n;",
            "x", False, "COLLECT_LIST over a table is not supported by recompute on",
        ),
        (
            "CREATE TABLE x AS SELECT k, COLLECT_SET(v) AS vs FROM l WINDOW SESSION (1 SECOND) GROUP BY k;",
            "x", False, "COLLECT_SET over a SESSION window is not supported by recompute on",
        ),
        (
            "CREATE TABLE x AS SELECT k, COUNT(*) AS n FROM l WINDOW SESSION (1 SECOND) GROUP BY k;",
            "x", True, "WINDOW SESSION with --late as-streamed is not supported by recompute on",
        ),
        (
            "CREATE TABLE x AS SELECT k, COUNT(*) AS n FROM l WINDOW TUMBLING (SIZE 1 SECOND) GROUP BY k EMIT FINAL;",
            "x", True, "EMIT FINAL with --late as-streamed is not supported by recompute on",
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("engine", ["duckdb", "spark"])
def test_refusals_name_the_feature(
    tmp_path: Path, statements: str, wanted: str, as_streamed: bool, message: str, engine: str
) -> None:
    topic, project = written(tmp_path, RECORDS, statements)
    asked = request(wanted=wanted, engine=engine, as_streamed=as_streamed)
    refused = pytest.raises((SqlError, TargetError), match=re.escape(message))
    with refused, computed(prepare(asked, open_archive(topic), project), lambda *_: None):
        pass


@settings(
    max_examples=int(os.environ.get("JOIN_EXAMPLES", "12")), deadline=None, phases=[Phase.explicit, Phase.generate],
    derandomize="JOIN_EXAMPLES" not in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
)  # fmt: skip
@given(records, st.sampled_from([*QUERIES, *LATE]))
def test_any_records_give_what_a_server_has(given_records: list[Given], name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        names = with_sources(name) if name in QUERIES else [name]
        statements = GIVEN + "".join(QUERIES.get(other) or LATE[other] for other in names)
        topic, project = written(Path(folder), [Given("l", 1, 1, 0, 1), *given_records], statements)
        expected = of_server(Path(folder), statements, names)
        assert of_recompute(topic, project, names, "duckdb", as_streamed=name in LATE) == expected

