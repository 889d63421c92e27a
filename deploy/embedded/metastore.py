"""The statements and topics that the server has recorded, and the catalog that follows from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb

from opensea_metrics.core.errors import SqlError, os_reason
from opensea_metrics.deploy.embedded.files import walk
from opensea_metrics.deploy.embedded.replay import replayed
from opensea_metrics.sql.language.catalog.catalog import Catalog


@dataclass(frozen=True)
class TopicInfo:
    """A topic as SHOW TOPICS lists it.

    A directory of the archive is a topic even before a statement declares it. Then ``is_declared`` is False, the
    names of its files determine ``partitions``, and ``file`` is a file of the last partition.
    """

    name: str
    partitions: int
    replicas: int
    is_declared: bool = True
    file: str = ""


def load(cursor: duckdb.DuckDBPyConnection) -> tuple[Catalog, int]:
    """The catalog after all recorded statements, and the number of the next one. Raises Outdated."""
    statements = cursor.execute("SELECT seq, statement FROM meta.commands ORDER BY seq").fetchall()
    return replayed(statements), statements[-1][0] + 1 if statements else 0


def record(cursor: duckdb.DuckDBPyConnection, number: int, text: str) -> None:
    """Save a statement that changed the catalog."""
    cursor.execute("INSERT INTO meta.commands (seq, statement) VALUES (?, ?)", [number, text])


def declared_topics(cursor: duckdb.DuckDBPyConnection) -> dict[str, TopicInfo]:
    """The topics that statements created, by name."""
    rows = cursor.execute("SELECT name, partitions, replicas FROM meta.topics").fetchall()
    return {name: TopicInfo(name, partitions, replicas) for name, partitions, replicas in rows}


def all_topics(declared: Mapping[str, TopicInfo], root: Path) -> dict[str, TopicInfo]:
    """The topics that statements created, and the topics in the archive, in the order of their names.

    Raises SqlError if the archive's directories cannot be listed.
    """
    try:
        names = walk.directories(root)
    except OSError as error:
        raise SqlError(f"cannot list {root}: {os_reason(error)}", code=50000) from error
    others = {name: _of_directory(root, name) for name in names if name not in declared}
    return dict(sorted({**declared, **others}.items()))


def partitions_by_topic(cursor: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """The numbers of partitions of all topics that statements have declared."""
    return dict(cursor.execute("SELECT name, partitions FROM meta.topics").fetchall())


def partitions_of_files(root: Path, topic: str) -> int:
    """The number of partitions that the files of a topic need."""
    return _of_directory(root, topic).partitions


def _of_directory(root: Path, name: str) -> TopicInfo:
    last, file = walk.highest_partition(root, name)
    return TopicInfo(name, max(1, last + 1), 1, is_declared=False, file=file)
