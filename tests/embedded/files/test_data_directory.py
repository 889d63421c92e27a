"""A data directory may be moved, and one of an earlier version is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from opensea_metrics.deploy.embedded.storage import Storage, StorageError
from tests.embedded.topic import CountedTopic, lines, running


def test_the_database_of_an_earlier_version_is_refused(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        server._cursor.execute("DROP TABLE meta.layout")
    with pytest.raises(StorageError, match=r"an earlier version .* created .*\n  hint: move embedded\.duckdb"):
        Storage(tmp_path)
    (tmp_path / "embedded.duckdb").unlink()
    with running(tmp_path):
        pass


def test_a_data_directory_may_be_moved(tmp_path: Path) -> None:
    with running(tmp_path / "a") as server:
        topic = CountedTopic(server, "t")
        topic.write("x.json", lines("x", 2))
        topic.write("y.json.gz", lines("y", 2))
        assert topic.counts() == {"x": 2, "y": 2}
    (tmp_path / "a").rename(tmp_path / "b")
    with running(tmp_path / "b") as server:
        assert CountedTopic(server, "t").counts() == {"x": 2, "y": 2}
