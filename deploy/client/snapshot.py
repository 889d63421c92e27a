"""A server at one moment: its streams, tables, queries and topics, as plain data and as a catalog."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from sqlglot import exp

from opensea_metrics.core.errors import Place, SqlError
from opensea_metrics.core.quoting import ksqldb_quoted
from opensea_metrics.core.types import KsqlType, from_ast
from opensea_metrics.deploy.client.client import KsqlClient
from opensea_metrics.deploy.replies import Description, ServerQuery, ServerSource
from opensea_metrics.sql.language.catalog.catalog import Catalog
from opensea_metrics.sql.language.catalog.catalog import Query as CatalogQuery
from opensea_metrics.sql.language.catalog.sources import Column as CatalogColumn
from opensea_metrics.sql.language.catalog.sources import Source as CatalogSource
from opensea_metrics.sql.language.catalog.sources import Topic as CatalogTopic
from opensea_metrics.sql.language.catalog.sources import Window
from opensea_metrics.sql.language.dialect import expressions as node
from opensea_metrics.sql.language.queries.resolution import analyse
from opensea_metrics.sql.language.statements.parser import parse_statement
from opensea_metrics.sql.language.statements.statements import Statement

_PLACE = Place("<server>", 1, 1)


@dataclass(frozen=True)
class Server:
    """Streams and tables by name, queries by id (if they were requested), and the names of topics.

    ``partitions``: the number of partitions of each topic. ``described``: the streams and tables that exist and
    whose description was requested. ``is_embedded``: this is the embedded server, which supports less.
    """

    sources: Mapping[str, ServerSource] = field(default_factory=dict)
    queries: Mapping[str, ServerQuery] = field(default_factory=dict)
    topics: frozenset[str] = frozenset()
    described: Mapping[str, Description] = field(default_factory=dict)
    is_embedded: bool = False
    partitions: Mapping[str, int] = field(default_factory=dict)

    def readers(self, name: str) -> tuple[ServerQuery, ...]:
        """The queries that read a stream or table that was described."""
        return self.described[name].read_queries if name in self.described else ()

    def writers(self, target: str | None) -> tuple[str, ...]:
        """The ids of the queries that write into a stream or table."""
        described = self.described[target].write_queries if target and target in self.described else ()
        return tuple(sorted({query.id for query in (*self.queries.values(), *described) if target in query.sinks}))


def look(client: KsqlClient, describe: Iterable[str] | None = (), with_queries: bool = True) -> Server:
    """Ask a server. ``describe``: the names to describe, None for all."""
    known, queries, topics = client.everything(with_queries)
    names = [source.name for source in known]
    wanted = names if describe is None else [name for name in set(describe) if name in names]
    return Server(
        sources={source.name: source for source in known},
        queries={query.id: query for query in queries},
        topics=frozenset(topic.name for topic in topics),
        partitions={topic.name: topic.partitions for topic in topics},
        described={description.name: description for description in client.describe_all(sorted(wanted))},
    )


@lru_cache(maxsize=4096)
def parsed(text: str) -> Statement | None:
    """A statement of the server, None if this tool cannot read it."""
    try:
        return parse_statement(text)
    except SqlError:
        return None


def sendable(statement: Statement) -> Statement:
    """A definition as the server writes it, in the form that the server accepts.

    ksqlDB adds CLEANUP_POLICY to the WITH clause, and refuses a statement that has it (observed).
    """
    return statement.without_property("CLEANUP_POLICY")


def catalog_of(server: Server, with_queries: bool) -> Catalog:
    """The streams and tables that were described, and the queries if they matter.

    Omits queries that this tool cannot read, for instance because of an unknown function. The server still checks them.
    """
    known = {name: source_of(description) for name, description in server.described.items()}
    queries = {}
    for query in server.queries.values() if with_queries else ():
        for sink in query.sinks:
            try:
                statement = parse_statement(query.text)
                analysis = analyse(statement, statement.ast.args["query"], known)
            except (SqlError, LookupError):
                continue
            queries[query.id] = CatalogQuery(query.id, sink, analysis)
    # The embedded server also lists topics that only files imply. A statement may still give them more partitions.
    declared = {source.topic for source in known.values()}
    topics = {
        name: CatalogTopic(count)
        for name, count in server.partitions.items()
        if count and (name in declared or not server.is_embedded)
    }
    return Catalog(known, queries, topics)


def source_of(known: Description) -> CatalogSource:
    """A stream or table in the catalog's form. The size of a window is 0 if this tool cannot read the statement."""
    key_role = "PRIMARY KEY" if known.kind == "TABLE" else "KEY"
    statement = _definition(known)
    columns = tuple(
        CatalogColumn(column.name, type_named(column.type), key_role if column.key else None)
        for column in known.columns
    )
    names = {column.name for column in columns}
    timestamp = known.timestamp if known.timestamp in names else known.timestamp.upper()
    return CatalogSource(
        name=known.name,
        kind=known.kind,
        columns=columns,
        topic=known.topic,
        value_format=known.value_format,
        key_format=known.key_format,
        statement=statement,
        window=_window(known, statement),
        timestamp=timestamp or None,
    )


@lru_cache(maxsize=1024)
def type_named(text: str) -> KsqlType:
    """The type of a name that the server reports. If this tool cannot read the name, the type keeps it."""
    statement = parsed(f"ALTER STREAM x ADD c {text};")
    known = from_ast(statement.ast.expressions[0].args["kind"]) if statement else None
    return known or KsqlType(text)


def _definition(known: Description) -> Statement:
    """The statement that defined a source. Only the text of a query's sink is complete."""
    if (known.window or known.write_queries) and (statement := parsed(known.statement)) is not None:
        return statement
    name = exp.Identifier(this=known.name, quoted=True)
    return Statement(
        text=known.statement or f"CREATE {known.kind} {ksqldb_quoted(known.name)};",
        place=_PLACE,
        ast=node.CreateSource(this=name, kind=known.kind, properties=[]),
    )


def _window(known: Description, statement: Statement) -> Window | None:
    if known.window is None:
        return None
    size = advance = 0
    query = statement.ast.args.get("query")
    clause = query.args.get("window") if query is not None else None
    if clause is not None:
        size = int(clause.args["size"].this)
        advance = int(clause.args["advance"].this) if clause.args.get("advance") else size
    return Window(known.window, size, advance or size, 0)
