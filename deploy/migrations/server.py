"""What is on a server at one moment, as plain data, and what can be concluded from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from opensea_metrics.core.types import from_ast, name_of
from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.migrations.state import MAKES_SOURCE, StatementRecord
from opensea_metrics.deploy.replies import Description, ServerColumn, ServerQuery, ServerSource
from opensea_metrics.sql.language.statements.parser import parse_statement
from opensea_metrics.sql.language.statements.statements import Kind


@dataclass(frozen=True)
class Server:
    """Streams and tables by name, queries by id, the names of topics.

    ``partitions``: how many each topic has. ``described``: the streams and tables of which a description
    was asked for, and that exist.
    ``is_embedded``: it is the embedded server, which cannot run everything that ksqlDB can.
    """

    sources: Mapping[str, ServerSource] = field(default_factory=dict)
    queries: Mapping[str, ServerQuery] = field(default_factory=dict)
    topics: frozenset[str] = frozenset()
    described: Mapping[str, Description] = field(default_factory=dict)
    is_embedded: bool = False
    partitions: Mapping[str, int] = field(default_factory=dict)

    def readers(self, name: str) -> tuple[ServerQuery, ...]:
        """The queries that read from a stream or table that was described."""
        return self.described[name].read_queries if name in self.described else ()

    def writers(self, target: str | None) -> tuple[str, ...]:
        """The ids of the queries that write into a stream or table."""
        return tuple(sorted(each.id for each in self.queries.values() if target in each.sinks))


@dataclass(frozen=True)
class Effect:
    """A statement is seen to have been carried out.

    ``query_id`` of the query that it started; ``defined``: the statement as the server wrote it;
    ``again``: it was sent more than once, so it may also have been carried out more than once.
    """

    query_id: str | None = None
    defined: str | None = None
    again: bool = False


def look(client: KsqlClient, describe: Iterable[str] | None = ()) -> Server:
    """Ask a server; ``describe`` names what is to be described: None means everything."""
    sources, queries, topics = client.everything()
    names = [each.name for each in sources]
    wanted = names if describe is None else [each for each in set(describe) if each in names]
    return Server(
        sources={each.name: each for each in sources},
        queries={each.id: each for each in queries},
        topics=frozenset(each.name for each in topics),
        partitions={each.name: each.partitions for each in topics},
        described={each.name: each for each in client.describe_all(sorted(wanted))},
    )


def effect_of(record: StatementRecord, server: Server) -> Effect | None:
    """Whether a statement that was sent is seen to be carried out, by comparing with before it.

    None if it is not, or if it leaves no trace that could be seen (INSERT INTO … VALUES, PAUSE), or
    if doing it again does no harm (CREATE OR REPLACE without a query).
    """
    target, present = record.target, record.target in server.sources
    started = [each for each in server.writers(target) if each not in record.writers]
    if record.kind in MAKES_SOURCE:
        done = present and (not record.target_existed or bool(started))
    elif record.kind in (Kind.DROP_STREAM, Kind.DROP_TABLE):
        done = record.target_existed and not present
    elif record.kind is Kind.INSERT_SELECT:
        done = bool(started)
    elif record.kind is Kind.ALTER:
        known = server.described.get(target or "")
        done = known is not None and known.columns[-1:] == _last_added(record.text)
    elif record.kind is Kind.TERMINATE:
        done = record.target_existed and target not in server.queries
    else:
        done = False
    return Effect(started[0] if started else None) if done else None


def _last_added(text: str) -> tuple[ServerColumn, ...]:
    """The last column that an ALTER adds: it is the last of the stream once that is done."""
    definition = parse_statement(text).ast.expressions[-1]
    return (ServerColumn(name_of(definition.this), str(from_ast(definition.args["kind"]))),)
