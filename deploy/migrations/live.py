"""The catalog of what is on a server, from its own descriptions: what a plan is checked against."""

from __future__ import annotations

from functools import lru_cache

from sqlglot import exp

from opensea_metrics.core.errors import Place, SqlError
from opensea_metrics.core.quoting import ksqldb_quoted
from opensea_metrics.core.types import KsqlType, from_ast
from opensea_metrics.deploy.migrations.server import Server
from opensea_metrics.deploy.replies import Description
from opensea_metrics.sql.language.catalog.catalog import Catalog, Query
from opensea_metrics.sql.language.catalog.sources import Column, Source, Topic, Window
from opensea_metrics.sql.language.dialect import expressions as node
from opensea_metrics.sql.language.queries.resolution import analyse
from opensea_metrics.sql.language.statements.parser import parse_statement
from opensea_metrics.sql.language.statements.statements import Statement

_PLACE = Place("<server>", 1, 1)


def catalog_of(server: Server, with_queries: bool) -> Catalog:
    """The streams and tables that were described, and the queries if they matter.

    What the server runs and this project's reader cannot read (a JOIN, a foreign function) is left
    out: then the server has the last word.
    """
    sources = {name: _source(each) for name, each in server.described.items()}
    queries = {}
    if with_queries:
        for query in server.queries.values():
            for sink in query.sinks:
                try:
                    statement = parse_statement(query.text)
                    analysis = analyse(statement, statement.ast.args["query"], sources)
                except (SqlError, LookupError):
                    continue
                queries[query.id] = Query(query.id, sink, analysis)
    # The embedded server also lists topics that files only imply: a statement may still give them more partitions.
    declared = {each.topic for each in sources.values()}
    topics = {
        name: Topic(count)
        for name, count in server.partitions.items()
        if count and (name in declared or not server.is_embedded)
    }
    return Catalog(sources, queries, topics)


def _source(known: Description) -> Source:
    is_table = known.kind == "TABLE"
    statement = _statement(known)
    columns = tuple(
        Column(each.name, type_of(each.type), _role(is_table) if each.key else None)
        for each in known.columns
    )
    return Source(
        name=known.name,
        kind=known.kind,
        columns=columns,
        topic=known.topic,
        value_format=known.value_format,
        key_format=known.key_format,
        statement=statement,
        window=_window(known, statement),
        timestamp=_timestamp(known.timestamp, columns),
    )


def _role(is_table: bool) -> str:
    return "PRIMARY KEY" if is_table else "KEY"


@lru_cache(maxsize=1024)
def type_of(text: str) -> KsqlType:
    """The type that a server's text stands for; one by that name if it cannot be read."""
    try:
        ast = parse_statement(f"ALTER STREAM x ADD c {text};").ast
    except SqlError:
        return KsqlType(text)
    return from_ast(ast.expressions[0].args["kind"]) or KsqlType(text)


@lru_cache(maxsize=4096)
def parsed(text: str) -> Statement | None:
    """A server's statement, None if it cannot be read."""
    try:
        return parse_statement(text)
    except SqlError:
        return None


def sendable(statement: Statement) -> Statement:
    """A definition as a server writes it, as it takes it again.

    ksqlDB completes the WITH clause with CLEANUP_POLICY, and refuses one that holds it (observed).
    """
    return statement.without_property("CLEANUP_POLICY")


def _statement(known: Description) -> Statement:
    if known.window or known.write_queries:
        found = parsed(known.statement)
        if found is not None:
            return found
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


def _timestamp(text: str, columns: tuple[Column, ...]) -> str | None:
    """DESCRIBE gives the property as it was written."""
    names = {each.name for each in columns}
    return (text if text in names else text.upper()) if text else None
