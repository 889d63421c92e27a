"""Waits until queries have read the records that their sources held when the queries started.

A query has caught up in two stages. First it consumes its source topics up to the end offsets that were seen first.
Then it consumes its own internal topics (repartitioning) up to their end offsets at that moment.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.migrations.errors import MigrationError
from opensea_metrics.deploy.migrations.run.progress import CatchUpProgress, Report
from opensea_metrics.deploy.replies import Description, Offsets

INTERNAL = "_confluent-ksql-"
# A query shows offsets when it has committed some, which it does every two seconds if it reads anything. If a
# query shows none for this many seconds, its sources are empty.
SILENCE = 20.0

Goals = dict[tuple[str, int], int]
"""End offsets by topic and partition."""


@dataclass
class CatchUp:
    """One query, with the offsets that it must reach: of its sources, and then of its internal topics."""

    query_id: str
    goals: Goals = field(default_factory=dict)
    internal: Goals = field(default_factory=dict)
    is_done: bool = False

    def update(self, offsets: Sequence[Offsets]) -> CatchUpProgress:
        """Compare the query's offsets with its goals; sets ``is_done``."""
        now = {(offset.topic, offset.partition): offset for offset in offsets}
        for key, partition in now.items():
            if not partition.topic.startswith(INTERNAL):
                self.goals.setdefault(key, partition.end)
        if self.goals and _reached(self.goals, now):
            if not self.internal:
                self.internal = {key: partition.end for key, partition in now.items() if key[0].startswith(INTERNAL)}
            self.is_done = _reached(self.internal, now)
        consumed = sum(min(now[key].consumed, end) for key, end in self.goals.items() if key in now)
        return CatchUpProgress(self.query_id, consumed, sum(self.goals.values()))


def wait(
    client: KsqlClient, sinks: Mapping[str, str], report: Report, timeout: float, silence: float = SILENCE
) -> None:
    """Wait until the queries have caught up; ``sinks`` maps their ids to their sinks.

    Raises MigrationError if a query fails, is paused or ends, or if this takes longer than ``timeout`` seconds.
    """
    waiting = [CatchUp(query_id) for query_id in sinks]
    started = time.monotonic()
    while waiting:
        names = sorted({sinks[query.query_id] for query in waiting})
        described = {source.name: source for source in client.describe_all(names, extended=True)}
        for query in waiting:
            offsets = _offsets(client, query.query_id, described.get(sinks[query.query_id]))
            progress = query.update(offsets)
            if not query.goals and time.monotonic() - started > silence:
                query.is_done = True
            report(progress)
        waiting = [query for query in waiting if not query.is_done]
        if waiting and time.monotonic() - started > timeout:
            late = ", ".join(query.query_id for query in waiting)
            raise MigrationError(
                f"{late}: not caught up after {timeout:g} s\n"
                "  hint: the queries continue to run. Wait longer with --timeout"
            )
        if waiting:
            time.sleep(client.wait)


def _offsets(client: KsqlClient, query_id: str, sink: Description | None) -> list[Offsets]:
    """The offsets of a query. Raises MigrationError if the query does not run."""
    query = next((query for query in (sink.write_queries if sink else ()) if query.id == query_id), None)
    if sink is None or query is None:
        raise MigrationError(f"query {query_id} has ended before it caught up\n  hint: see diff")
    if query.state == "ERROR":
        reason = "\n  ".join(client.query_errors(query_id)[-1:]) or "no reason given"
        raise MigrationError(f"query {query_id} has failed:\n  {reason}")
    if query.paused:
        raise MigrationError(f"query {query_id} is paused\n  hint: RESUME it, and wait again")
    return [offset for offset in sink.offsets if offset.group.endswith(f"query_{query_id}")]


def _reached(goals: Goals, now: Mapping[tuple[str, int], Offsets]) -> bool:
    return all(key in now and now[key].consumed >= end for key, end in goals.items())
