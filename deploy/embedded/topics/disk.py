"""The disk space that the server uses, by topic and by query."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import duckdb

from opensea_metrics.core.quoting import quoted
from opensea_metrics.deploy.embedded.files import walk
from opensea_metrics.deploy.embedded.topics import log_tables


@dataclass(frozen=True)
class DiskUse:
    """Sizes in bytes.

    ``database`` is the size of the database file, and ``free`` is the unused part inside it. ``topics`` and
    ``queries`` estimate how much of the file each topic and each query uses, by name. ``files`` is the size of the
    archive's files, by topic.
    """

    database: int
    free: int
    topics: dict[str, int]
    queries: dict[str, int]
    files: dict[str, int]

    def text(self) -> str:
        """All sizes on one line, with the largest topic, query and set of files."""
        parts = [f"database {megabytes(self.database)} ({megabytes(self.free)} of it free)"]
        for kind, sizes in (("topic", self.topics), ("query", self.queries), ("files of", self.files)):
            if sizes and (name := max(sizes, key=lambda part: sizes[part])):
                parts.append(f"largest {kind} {name} {megabytes(sizes[name])}")
        return ", ".join(parts)


def megabytes(count: int) -> str:
    """A number of bytes as text, in megabytes."""
    return f"{count / 1e6:,.1f} MB"


def disk_use(cursor: duckdb.DuckDBPyConnection, database: Path, root: Path) -> DiskUse:
    """The size of the database and of the topics' files. Small tables share blocks, so the parts are estimates."""
    ((size, free),) = cursor.execute("SELECT block_size, free_blocks FROM pragma_database_size()").fetchall()
    topics: Counter[str] = Counter()
    queries: Counter[str] = Counter()
    for name, columns in log_tables.logs(cursor).items():
        if columns:
            topics[log_tables.topic_of(name)] += _bytes(cursor, "log", name, size)
    states = cursor.execute("SELECT table_name FROM duckdb_tables() WHERE schema_name = 'state'").fetchall()
    for (name,) in states:
        queries[name] += _bytes(cursor, "state", name, size)
    texts = dict(
        cursor.execute(
            "SELECT topic, sum(coalesce(length(key), 0) + coalesce(length(value), 0) + 1) FROM meta.records"
            " GROUP BY topic"
        ).fetchall()
    )
    stored, total = _bytes(cursor, "meta", "records", size), sum(texts.values())
    for topic, length in texts.items():
        topics[topic] += int(stored * length / total)
    files = {
        topic: sum(file.size for file in walk.listing(root, topic, None).files)
        for topic in walk.directories(root)
    }
    return DiskUse(database.stat().st_size, int(size * free), dict(topics), dict(queries), files)


def _bytes(cursor: duckdb.DuckDBPyConnection, schema: str, table: str, block: int) -> int:
    try:
        (blocks,) = cursor.execute(
            "SELECT count(DISTINCT block_id) FROM pragma_storage_info(?) WHERE persistent AND block_id >= 0",
            [f"{quoted(schema)}.{quoted(table)}"],
        ).fetchone()  # type: ignore[misc]
    except duckdb.CatalogException:
        return 0  # it has just been dropped
    return int(blocks) * block
