"""What is on a server at one moment, as plain data, and what can be concluded from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from deploy.client import KsqlClient
from deploy.migrations.state import MAKES_SOURCE, StatementRecord
from deploy.replies import Query, Source
from sql.statements import Kind


@dataclass(frozen=True)
class Server:
    """Streams and tables by name, queries by id, the names of topics.

    ``readers``: for the names that were asked for, the queries that read from each.
    """

    sources: Mapping[str, Source] = field(default_factory=dict)
    queries: Mapping[str, Query] = field(default_factory=dict)
    topics: frozenset[str] = frozenset()
    readers: Mapping[str, tuple[Query, ...]] = field(default_factory=dict)

    def writers(self, target: str | None) -> tuple[str, ...]:
        """The ids of the queries that write into a stream or table."""
        return tuple(sorted(each.id for each in self.queries.values() if target in each.sinks))


@dataclass(frozen=True)
class Effect:
    """A statement is seen to have been carried out; ``query_id`` of the query that it started."""

    query_id: str | None = None


def look(client: KsqlClient, describe: Iterable[str] = ()) -> Server:
    """Ask a server; ``describe`` names the streams and tables whose readers matter."""
    sources, queries, topics = client.everything()
    names = {each.name for each in sources}
    return Server(
        sources={each.name: each for each in sources},
        queries={each.id: each for each in queries},
        topics=frozenset(each.name for each in topics),
        readers={
            name: client.describe(name).read_queries
            for name in dict.fromkeys(describe)
            if name in names
        },
    )


def effect_of(record: StatementRecord, server: Server) -> Effect | None:
    """Whether a statement that was sent is seen to be carried out, by comparing with before it.

    None if it is not, or if it leaves no trace that could be seen (INSERT INTO … VALUES; a second
    definition of what existed already).
    """
    target, present = record.target, record.target in server.sources
    started = [each for each in server.writers(target) if each not in record.writers]
    if record.kind in MAKES_SOURCE:
        done = present and not record.target_existed
    elif record.kind in (Kind.DROP_STREAM, Kind.DROP_TABLE):
        done = record.target_existed and not present
    elif record.kind is Kind.INSERT_SELECT:
        done = bool(started)
    elif record.kind is Kind.TERMINATE:
        done = record.target_existed and target not in server.queries
    else:
        done = False
    return Effect(started[0] if started else None) if done else None
