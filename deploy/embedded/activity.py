"""How much the server has read, and how far behind its queries are."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from dataclasses import dataclass

from opensea_metrics.deploy.embedded.engine import Engine
from opensea_metrics.deploy.embedded.topics import readers
from opensea_metrics.deploy.embedded.topics.positions import STREAM_TIME, positions


@dataclass(frozen=True)
class Activity:
    """``read``: how many records were read from topics that no query writes. ``behind``: how many records of any topic
    the slowest query still has to read. ``newest``: the time of the newest event (epoch ms), None before the first.
    ``database``: the size in bytes of the database with its log. ``free``: the free bytes on its disk.
    """

    read: int
    behind: int
    newest: int | None
    database: int
    free: int


def activity(engine: Engine, ignored: Collection[str]) -> Activity:
    """The activity of a running server. Queries that write into ``ignored`` do not count.

    Raises duckdb.Error if the database fails, and OSError.
    """
    read: dict[str, int] = {}
    behind = 0
    newest: int | None = None
    cursor = engine.cursor()
    try:
        with engine.turn():
            catalog = engine.catalog
            written = {catalog.sources[query.sink].topic for query in catalog.queries.values()}
            for reader in readers.readers(catalog):
                query, name = reader.query, reader.source.topic
                if query.sink in ignored or readers.is_sent(catalog, reader):
                    continue
                keeps_rows = query.analysis.is_aggregation or query.analysis.is_ordered
                reached = positions(cursor, reader.id)
                offsets = engine.topic(name).offsets(cursor, reached, keeps_rows)
                behind = max(behind, sum(partition.end - partition.reached for partition in offsets))
                if name not in written:
                    read[name] = max(read.get(name, 0), sum(partition.reached for partition in offsets))
                times = [number for position, number in reached.items() if position.feed == STREAM_TIME]
                newest = max([*times, *([] if newest is None else [newest])], default=None)
    finally:
        cursor.close()
    folder = engine.database_file.parent
    database = sum(file.stat().st_size for file in folder.glob(f"{engine.database_file.name}*"))
    return Activity(sum(read.values()), behind, newest, database, shutil.disk_usage(folder).free)
