"""Waiting until queries have read what their sources held when they were created.

A query has caught up when it has consumed its source topics up to the end offsets seen first, and
then its own internal topics (repartitioning) up to the ends seen at that moment.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.migrations.errors import MigrationError
from opensea_metrics.deploy.migrations.work import Catching, Report
from opensea_metrics.deploy.replies import Description, Offsets

INTERNAL = "_confluent-ksql-"
# A query shows offsets once it has committed some, which it does every two seconds if there is
# something to read. Without any for so long, its sources are empty.
SILENCE = 20.0


@dataclass
class _Waiting:
    """One query: its goals, that is end offsets by topic and partition, as far as they are known."""

    query_id: str
    goals: dict[tuple[str, int], int] = field(default_factory=dict)
    inner: dict[tuple[str, int], int] = field(default_factory=dict)
    done: bool = False

    def take(self, offsets: Sequence[Offsets]) -> Catching:
        """Take note of how far it has come; sets ``done``."""
        at = {(each.topic, each.partition): each for each in offsets}
        for key, each in at.items():
            if not each.topic.startswith(INTERNAL):
                self.goals.setdefault(key, each.end)
        if self.goals and _reached(self.goals, at):
            if not self.inner:
                self.inner = {k: each.end for k, each in at.items() if k[0].startswith(INTERNAL)}
            self.done = _reached(self.inner, at)
        consumed = sum(min(at[key].consumed, end) for key, end in self.goals.items() if key in at)
        return Catching(self.query_id, consumed, sum(self.goals.values()))


def wait(
    client: KsqlClient,
    sinks: Mapping[str, str],
    report: Report,
    timeout: float,
    silence: float = SILENCE,
) -> None:
    """Wait until the queries have caught up; ``sinks`` maps their ids to what they write into.

    Raises MigrationError if one fails, is paused or ends, or if it takes longer than ``timeout``
    seconds.
    """
    waiting = {query_id: _Waiting(query_id) for query_id in sinks}
    started = time.monotonic()
    while True:
        left = [each for each in waiting.values() if not each.done]
        if not left:
            return
        names = sorted({sinks[each.query_id] for each in left})
        described = {each.name: each for each in client.describe_all(names, extended=True)}
        for each in left:
            sink = described.get(sinks[each.query_id])
            _check(client, each.query_id, sink)
            assert sink is not None
            news = each.take(_offsets_of(each.query_id, sink.offsets))
            if not each.goals and time.monotonic() - started > silence:
                each.done = True
            report(news)
        late = [each.query_id for each in left if not each.done]
        if late and time.monotonic() - started > timeout:
            raise MigrationError(
                f"{', '.join(late)}: not caught up after {timeout:g} s\n"
                "  hint: the queries go on; wait longer with --timeout"
            )
        if late:
            time.sleep(client.wait)


def _check(client: KsqlClient, query_id: str, sink: Description | None) -> None:
    queries = {each.id: each for each in (sink.write_queries if sink else ())}
    query = queries.get(query_id)
    if query is None:
        raise MigrationError(f"query {query_id} has ended while it was waited for")
    if query.state == "ERROR":
        said = "\n  ".join(client.query_errors(query_id)[-1:]) or "no reason given"
        raise MigrationError(f"query {query_id} has failed:\n  {said}")
    if query.paused:
        raise MigrationError(f"query {query_id} is paused: RESUME it, and wait again")


def _offsets_of(query_id: str, offsets: Iterable[Offsets]) -> list[Offsets]:
    return [each for each in offsets if each.group.endswith(f"query_{query_id}")]


def _reached(goals: Mapping[tuple[str, int], int], at: Mapping[tuple[str, int], Offsets]) -> bool:
    return all(key in at and at[key].consumed >= end for key, end in goals.items())
