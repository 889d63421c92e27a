"""recompute of SESSION windows and of EMIT FINAL, on each engine: the results that a server has of all records."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path

import pytest

from opensea_metrics.core.errors import SqlError
from opensea_metrics.producer.archive.location import open_archive
from opensea_metrics.spark_batch.recompute import computed, prepare
from opensea_metrics.spark_batch.targets import TargetError
from tests.embedded.windows import Row, SessionModel
from tests.spark_batch.archives import START, add, needs, recomputed, request

HOUR, MINUTE = 3_600_000, 60_000
PROJECT = """
CREATE STREAM given (k VARCHAR, v INT, t BIGINT)
  WITH (KAFKA_TOPIC='OpenSeaRawEvents', VALUE_FORMAT='JSON', TIMESTAMP='t');
CREATE TABLE visits WITH (VALUE_FORMAT='JSON') AS
  SELECT k, COUNT(*) AS n, SUM(v) AS total, WINDOWSTART AS ws, WINDOWEND AS we
  FROM given WINDOW SESSION (1 MINUTE, GRACE PERIOD 1 DAY) GROUP BY k;
CREATE TABLE closed WITH (VALUE_FORMAT='JSON') AS
  SELECT k, COUNT(*) AS n FROM given WINDOW TUMBLING (SIZE 1 MINUTE) GROUP BY k EMIT FINAL;
CREATE STREAM changes (n BIGINT) WITH (KAFKA_TOPIC='VISITS', VALUE_FORMAT='JSON');
CREATE TABLE of_changes WITH (VALUE_FORMAT='JSON') AS
  SELECT n, LATEST_BY_OFFSET(n) AS m FROM changes WINDOW TUMBLING (SIZE 1 MINUTE) GROUP BY n;
CREATE STREAM by_minute (k VARCHAR KEY, n BIGINT)
  WITH (KAFKA_TOPIC='CLOSED', VALUE_FORMAT='JSON', WINDOW_TYPE='TUMBLING', WINDOW_SIZE='1 MINUTE');
CREATE STREAM busy AS SELECT k, n, WINDOWEND AS we FROM by_minute WHERE n > 3;
CREATE STREAM keyed (k VARCHAR KEY, t BIGINT)
  WITH (KAFKA_TOPIC='OpenSeaRawEvents', VALUE_FORMAT='JSON', TIMESTAMP='t', WINDOW_TYPE='SESSION');
CREATE TABLE of_keyed AS SELECT UCASE(k) AS u, COUNT(*) AS n FROM keyed WINDOW TUMBLING (SIZE 1 MINUTE)
  GROUP BY UCASE(k);
CREATE STREAM sales AS SELECT k AS collection, CAST(v AS DOUBLE) AS usd FROM given;
"""
PAGE = Path(__file__).parents[2] / "docs/change-between-windows.md"
CHANGE = PAGE.read_text(encoding="utf-8").split("```sql\n")[1].split("```")[0]


@pytest.fixture(scope="module")
def records() -> list[Row]:
    """Records of two hours, about a minute apart for each key, and not in the order of time."""
    chosen = random.Random(7)
    rows = [Row(chosen.choice("abc"), START + chosen.randrange(2 * HOUR), n) for n in range(400)]
    edges = [Row("a", START + HOUR - 1, 1_000), Row("a", START + HOUR, 2_000), Row("b", START, 3_000)]
    return rows + edges


@pytest.fixture(scope="module")
def archive(records: list[Row], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The topic's folder and the project's."""
    root = tmp_path_factory.mktemp("sessions")
    topic = root / "OpenSeaRawEvents"
    (root / "project/migrations").mkdir(parents=True)
    (root / "project/settings.yml").write_text("{}")
    (root / "project/migrations/V001__given.sql").write_text(PROJECT + CHANGE)
    for hour in (START, START + HOUR):
        lines = [
            json.dumps({"k": row.key, "v": row.value, "t": row.time}).encode()
            for row in records
            if hour <= row.time < hour + HOUR
        ]
        add(topic, hour, 0, lines[:50])
        add(topic, hour, 50, lines[50:])
    return topic, root / "project"


def sessions(records: list[Row]) -> list[tuple[str, int, int, int, int]]:
    model = SessionModel(MINUTE, 10 * HOUR, 20 * HOUR)
    for record in records:
        model.take(record)
    return [(key, first, last, len(values), sum(values)) for key, first, last, values in model.rows()]


@pytest.mark.parametrize("engine", ["duckdb", "spark"])
def test_sessions_of_a_whole_archive(archive: tuple[Path, Path], records: list[Row], engine: str) -> None:
    needs(engine)
    topic, project = archive
    tables, _, _ = recomputed(topic, request(wanted="visits", engine=engine), project)
    rows = [(r["K"], r["WINDOWSTART"], r["WINDOWEND"], r["N"], r["TOTAL"]) for r in tables["VISITS"]]
    assert sorted(rows) == sessions(records)
    assert all((r["WS"], r["WE"]) == (r["WINDOWSTART"], r["WINDOWEND"]) for r in tables["VISITS"])


@pytest.mark.parametrize("engine", ["duckdb", "spark"])
def test_sessions_that_a_period_may_cut_are_left_out(
    archive: tuple[Path, Path], records: list[Row], engine: str
) -> None:
    needs(engine)
    topic, project = archive
    wanted = request(wanted="visits", engine=engine, first=START + HOUR)
    tables, _, _ = recomputed(topic, wanted, project)
    whole = [row for row in sessions(records) if row[1] >= START + HOUR + MINUTE]
    rows = [(r["K"], r["WINDOWSTART"], r["WINDOWEND"], r["N"], r["TOTAL"]) for r in tables["VISITS"]]
    assert sorted(rows) == whole
    assert len(whole) < len([row for row in sessions(records) if row[2] >= START + HOUR])


@pytest.mark.parametrize("engine", ["duckdb", "spark"])
def test_final_results_are_the_results_of_all_records(
    archive: tuple[Path, Path], records: list[Row], engine: str
) -> None:
    needs(engine)
    topic, project = archive
    tables, _, _ = recomputed(topic, request(wanted="closed", engine=engine), project)
    expected = Counter((row.key, row.time - row.time % MINUTE) for row in records)
    assert {(r["K"], r["WINDOWSTART"]): r["N"] for r in tables["CLOSED"]} == expected


@pytest.mark.parametrize("engine", ["duckdb", "spark"])
def test_a_stream_over_the_topic_of_a_windowed_table(
    archive: tuple[Path, Path], records: list[Row], engine: str
) -> None:
    needs(engine)
    topic, project = archive
    tables, _, _ = recomputed(topic, request(wanted="busy", engine=engine), project)
    counts = Counter((row.key, row.time - row.time % MINUTE) for row in records)
    rows = [(r["K"], r["WINDOWSTART"], r["WINDOWEND"], r["WE"], r["N"]) for r in tables["BUSY"]]
    busy = [(key, at, at + MINUTE, at + MINUTE, count) for (key, at), count in counts.items() if count > 3]
    assert busy
    assert sorted(rows) == sorted(busy)


def test_an_archive_has_no_windows_in_keys(archive: tuple[Path, Path]) -> None:
    topic, project = archive
    with pytest.raises(TargetError, match="KEYED has windows in its keys, which an archive does not have"):
        prepare(request(wanted="of_keyed"), open_archive(topic), project)


@pytest.mark.parametrize("engine", ["duckdb", "spark"])
def test_the_change_between_windows(archive: tuple[Path, Path], records: list[Row], engine: str) -> None:
    needs(engine)
    topic, project = archive
    tables, _, _ = recomputed(topic, request(wanted="usd_change_1_hour", engine=engine), project)
    sums: Counter[tuple[str, int]] = Counter()
    for row in records:
        sums[row.key, row.time - row.time % HOUR] += row.value
    rows = [(r["COLLECTION"], r["WS"], r["USD_VOLUME"], r["USD_VOLUME_BEFORE"]) for r in tables["USD_CHANGE_1_HOUR"]]
    assert sorted(rows) == [(key, START + HOUR, sums[key, START + HOUR], sums[key, START]) for key in "abc"]


@pytest.mark.parametrize("engine", ["duckdb", "spark"])
def test_a_stream_over_merged_sessions_is_refused(archive: tuple[Path, Path], engine: str) -> None:
    topic, project = archive
    prepared = prepare(request(wanted="of_changes", engine=engine), open_archive(topic), project)
    with pytest.raises(SqlError, match="a stream over the topic of VISITS"), computed(prepared, lambda *_: None):
        pass
