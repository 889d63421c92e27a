"""Queries that need more memory than DuckDB is given at first."""

from __future__ import annotations

import threading
from pathlib import Path

import duckdb
import pytest

from opensea_metrics.producer.archive.layout import HOUR_MS
from opensea_metrics.spark_batch import memory
from opensea_metrics.spark_batch.memory import Memory, MemoryExhausted
from tests import oracle
from tests.spark_batch.archives import (
    compare,
    configure,
    recomputed,
    records_of,
    request,
    write_sample,
)


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What the limit was set to."""
    found: list[int] = []
    once = Memory._set

    def noted(self: Memory, limit: int) -> None:
        found.append(limit)
        once(self, limit)

    monkeypatch.setattr(Memory, "_set", noted)
    return found


def test_recompute_takes_more_memory_where_it_has_to(
    tmp_path: Path, limits: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "_LEAST", 1_000_000)
    topic = write_sample(tmp_path, 6_000)
    tables, _, counts = recomputed(topic, request("1 hour"))
    assert len(limits) > 1
    assert limits == [1_000_000 * 2**n for n in range(len(limits))]
    records = records_of(topic)
    assert counts.used == len(records)
    compare(tables, "1_HOUR", oracle.compute(records, HOUR_MS))


def test_more_than_there_is_is_an_error_that_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = write_sample(tmp_path, 6_000)
    configure(monkeypatch, memory_limit="3MB")
    with pytest.raises(MemoryExhausted, match=r"more than the 0\.0 GB .* shorter period, or use --engine spark"):
        recomputed(topic, request("1 hour"))


def test_threads_that_lack_memory_together_double_it_once(limits: list[int]) -> None:
    with duckdb.connect() as database:
        given = Memory(database)
        together = threading.Barrier(4, timeout=60)

        def query(tries: list[int]) -> int:
            tries.append(limits[-1])
            if len(tries) == 1:
                together.wait()
                raise duckdb.OutOfMemoryException
            return limits[-1]

        found: list[int] = []

        def work() -> None:
            tries: list[int] = []
            found.append(given.enough(lambda: query(tries)))

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [700_000_000] * 4
        assert limits == [350_000_000, 700_000_000]
        asked = database.execute("SELECT parse_formatted_bytes(current_setting('memory_limit'))").fetchall()
        assert asked[0][0] == pytest.approx(700_000_000, rel=0.01)
