"""``archive compact``: turns many small files of JSON into a few files of sorted Parquet with zstd.

For each hour and partition, it writes a compacted file under a hidden name, reads it back, and compares it with
the originals. Then it publishes the file and removes the originals. It can be killed at any time: readers find the
originals, the verified file, or both. If there are both, readers skip the originals (``layout.newest_cover``).
The next compaction continues from there.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from opensea_metrics.producer.archive.layout import (
    HOUR_MS,
)
from opensea_metrics.producer.archive.location import Archive
from opensea_metrics.spark_batch.prefetch import in_order
from opensea_metrics.spark_batch.upkeep.group_compaction import GroupCompaction
from opensea_metrics.spark_batch.upkeep.lock import locked
from opensea_metrics.spark_batch.upkeep.outcome import DEFAULTS, CompactionOutcome, Options
from opensea_metrics.spark_batch.upkeep.rows import database
from opensea_metrics.spark_batch.upkeep.runs import (
    HourGroup,
)
from opensea_metrics.spark_batch.upkeep.store import (
    open_store,
)
from opensea_metrics.sql.language.catalog.sources import Source as Stream

_AT_ONCE = 2



def compact(
    source: Archive,
    stream: Stream,
    groups: Sequence[HourGroup],
    options: Options = DEFAULTS,
    progress: Callable[[int, int, int], None] = lambda done, total, files: None,
    stop: Callable[[], bool] = lambda: False,
) -> CompactionOutcome:
    """Compact groups (``runs.groups``) in order, two at the same time. Calls ``stop`` before each group.

    Calls ``progress`` with the bytes done, the total bytes, and the files done. Memory is bounded by the limits of two
    compacted files. Raises CompactError or ArchiveError. The archive stays consistent even after an error.
    """
    began = time.monotonic()
    outcome = CompactionOutcome()
    store = open_store(source)
    of_folders = [file for group in groups for file in (*group.originals[:1], *group.compacted)]
    hours = [group.hour_ms for group in groups]
    companions = source.listing(min(hours), max(hours) + HOUR_MS).companions if hours else set()
    done = files = 0
    total = sum(group.bytes for group in groups)
    with (
        locked(source) as lock,
        database(source.folders(of_folders)) as (connection, temporary),
        ThreadPoolExecutor(_AT_ONCE) as pool,
    ):

        def compacted(group: HourGroup) -> CompactionOutcome:
            group_outcome = CompactionOutcome()
            with (
                tempfile.TemporaryDirectory(dir=temporary) as folder,
                connection.cursor() as cursor,
            ):
                compaction = GroupCompaction(
                    source, stream, options, store, lock, cursor, Path(folder), companions, group_outcome
                )
                compaction.run(group)
            return group_outcome

        def wanted() -> Iterator[HourGroup]:
            cleared = ""
            for group in groups:
                if stop():
                    outcome.finished = False
                    return
                if group.folder != cleared:  # no group has started
                    store.remove(store.leftovers(group.folder))
                    cleared = group.folder
                yield group

        results = in_order(pool, compacted, wanted(), _AT_ONCE)
        for group, group_outcome in zip(groups, results, strict=False):  # fewer results after a stop
            outcome.add(group_outcome)
            done, files = done + group.bytes, files + len(group.originals)
            progress(done, total, files)
    outcome.seconds = time.monotonic() - began
    return outcome
