"""Waiting for queries, against made-up descriptions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.migrations.errors import MigrationError
from opensea_metrics.deploy.migrations.run.catch_up import wait
from opensea_metrics.deploy.migrations.run.progress import CatchUpProgress, StepProgress
from opensea_metrics.deploy.replies import Description, Offsets, ServerQuery

GROUP = "_confluent-ksql-default_query_CTAS_T_1"
INNER = f"{GROUP}-Aggregate-GroupBy-repartition"


@dataclass
class Told(KsqlClient):
    """A client that describes T as it was told to, one description after the other."""

    story: list[Description] = field(default_factory=list)
    asked: int = 0

    def describe_all(self, names: Sequence[str], extended: bool = False) -> tuple[Description, ...]:
        assert (list(names), extended) == (["T"], True)
        self.asked += 1
        return (self.story.pop(0) if len(self.story) > 1 else self.story[0],)

    def query_errors(self, query_id: str) -> tuple[str, ...]:
        return ("older", f"{query_id}: no such broker")


def at(*offsets: tuple[str, int, int, int], state: str = "RUNNING", paused: bool = False) -> Description:
    query = ServerQuery("CTAS_T_1", ("T",), state, "", paused)
    found = tuple(Offsets(GROUP, topic, part, end, done) for topic, part, end, done in offsets)
    # A query of another sink's name must not be mistaken for it.
    other = Offsets("_confluent-ksql-default_query_INSERTQUERY_9", "raw", 0, 100, 0)
    return Description("T", "TABLE", "T", (), (), (query,), offsets=(*found, other))


def run(*story: Description, timeout: float = 5, silence: float = 5) -> list[CatchUpProgress]:
    client = Told("http://127.0.0.1:1", wait=0.001, story=list(story))
    news: list[StepProgress | CatchUpProgress] = []
    wait(client, {"CTAS_T_1": "T"}, news.append, timeout, silence)
    return [each for each in news if isinstance(each, CatchUpProgress)]


def test_up_to_the_ends_seen_first() -> None:
    news = run(
        at(("raw", 0, 10, 0), ("raw", 1, 5, 0)),
        at(("raw", 0, 50, 8), ("raw", 1, 60, 60)),
        at(("raw", 0, 70, 11), ("raw", 1, 80, 60)),
    )
    assert [(each.consumed, each.end) for each in news] == [(0, 15), (13, 15), (15, 15)]


def test_then_its_own_topics_up_to_where_they_are_then() -> None:
    news = run(
        at(("raw", 0, 10, 0), (INNER, 0, 0, 0)),
        at(("raw", 0, 10, 10), (INNER, 0, 9, 4)),
        at(("raw", 0, 30, 20), (INNER, 0, 25, 8)),
        at(("raw", 0, 30, 20), (INNER, 0, 25, 9)),
        at(("raw", 0, 30, 30), (INNER, 0, 99, 30)),
    )
    assert len(news) == 4


def test_a_query_that_has_nothing_to_read_is_not_waited_for() -> None:
    assert run(at(), silence=0.01)[-1] == CatchUpProgress("CTAS_T_1", 0, 0)


def test_offsets_may_come_late() -> None:
    assert len(run(at(), at(), at(("raw", 0, 3, 3)))) == 3


def test_a_failed_query_stops_it_with_the_servers_words() -> None:
    with pytest.raises(MigrationError, match="CTAS_T_1 has failed:\n  CTAS_T_1: no such broker"):
        run(at(("raw", 0, 10, 0)), at(("raw", 0, 10, 3), state="ERROR"))


def test_a_paused_or_ended_query_stops_it() -> None:
    with pytest.raises(MigrationError, match="is paused"):
        run(at(("raw", 0, 10, 0), paused=True))
    with pytest.raises(MigrationError, match="has ended"):
        run(Description("T", "TABLE", "T", (), (), ()))


def test_a_time_out() -> None:
    with pytest.raises(MigrationError, match=r"CTAS_T_1: not caught up after 0\.05 s"):
        run(at(("raw", 0, 10, 3)), timeout=0.05)
