"""Data directories of earlier versions with statements that this version may refuse."""

from __future__ import annotations

from pathlib import Path

import pytest

from opensea_metrics.deploy.embedded.engine import Engine
from opensea_metrics.deploy.embedded.replay import Outdated, replayed
from opensea_metrics.deploy.embedded.storage import Storage

GOOD = "CREATE STREAM good (a INT) WITH (KAFKA_TOPIC='good', VALUE_FORMAT='JSON', PARTITIONS=1);"
BAD = "CREATE STREAM bad (a VARCHAR) WITH (KAFKA_TOPIC='s3cret/../x', VALUE_FORMAT='JSON', PARTITIONS=1);"
UNREADABLE = "CREATE STREAM old-name (a INT) WITH (KAFKA_TOPIC='x', VALUE_FORMAT='JSON', PARTITIONS=1);"
READER = "CREATE STREAM reader AS SELECT * FROM bad;"


@pytest.mark.parametrize("bad", [BAD, UNREADABLE])
def test_a_directory_with_a_statement_that_is_refused_now(tmp_path: Path, bad: str) -> None:
    Engine(Storage(tmp_path)).stop()
    storage = Storage(tmp_path)
    storage.cursor().executemany("INSERT INTO meta.commands VALUES (?, ?)", [(7, GOOD), (8, bad)])
    storage.close()
    with pytest.raises(Outdated, match=r"accepted statement 8 of .*\(CREATE STREAM \S+\)") as caught:
        Engine(Storage(tmp_path))
    assert "drop what the statement created" in str(caught.value)
    storage = Storage(tmp_path)  # the directory is not locked, and nothing in it has changed
    kept = storage.cursor().execute("SELECT statement FROM meta.commands WHERE seq > 6 ORDER BY seq").fetchall()
    assert kept == [(GOOD,), (bad,)]
    storage.cursor().execute(  # as the earlier version does
        "INSERT INTO meta.commands VALUES (9, ?)", [f"DROP STREAM {bad.split()[2]};"]
    )
    storage.close()
    engine = Engine(Storage(tmp_path))
    assert list(engine.catalog.sources) == ["KSQL_PROCESSING_LOG", "GOOD"]
    engine.stop()


def test_readers_of_a_refused_source_must_be_dropped_too() -> None:
    log = [(1, BAD), (2, READER), (3, "INSERT INTO reader SELECT * FROM bad;"), (4, "TERMINATE INSERTQUERY_3;")]
    with pytest.raises(Outdated, match=r"statement 1 "):
        replayed(log)
    with pytest.raises(Outdated, match="statement 2 "):
        replayed([*log, (5, "DROP STREAM IF EXISTS bad;")])
    dropped = [*log, (5, "DROP STREAM reader DELETE TOPIC;"), (6, "DROP STREAM `BAD`;"), (7, GOOD)]
    assert list(replayed(dropped).sources) == ["GOOD"]


def test_a_drop_of_another_source_does_not_count() -> None:
    with pytest.raises(Outdated, match="statement 1 "):
        replayed([(1, BAD), (2, GOOD), (3, "DROP STREAM good;")])
    with pytest.raises(Outdated, match="statement 1 "):
        replayed([(1, BAD), (2, "DROP STREAM `bad`;")])
