"""Finds the columns of a result that hold times, from the definitions on the server."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from sqlglot import exp

from opensea_metrics.core.errors import SqlError
from opensea_metrics.deploy.client import ClientError, KsqlClient
from opensea_metrics.deploy.client.snapshot import parsed, source_of
from opensea_metrics.deploy.query.grammar import read
from opensea_metrics.deploy.replies import Description, ServerSource
from opensea_metrics.deploy.reply_columns import ServerColumn
from opensea_metrics.sql.language.catalog.moments import BOUNDS, Moments
from opensea_metrics.sql.language.catalog.sources import Source


def time_columns(client: KsqlClient, sql: str, columns: Iterable[ServerColumn]) -> frozenset[str]:
    """The names of a result's BIGINT columns that hold times. ``sql`` is the SELECT.

    Asks the server only if a column could be derived from a time. If the server fails, only WINDOWSTART, WINDOWEND and
    ROWTIME count as times.
    """
    whole = [column.name for column in columns if column.type == "BIGINT"]
    known = {name for name in whole if name in BOUNDS}
    rest = [name for name in whole if name not in known]
    if rest:
        with suppress(SqlError, ClientError):
            query = read(sql).query
            moments = Moments(_ServerDefinitions(client))
            known |= {name for name in rest if moments.is_time_in(query, name)}
    return frozenset(known)


class _ServerDefinitions:
    """The definitions of a server. Each source is described once."""

    def __init__(self, client: KsqlClient) -> None:
        self._client = client
        self._described: dict[str, Description | None] = {}
        self._listed: tuple[ServerSource, ...] | None = None

    def source(self, name: str) -> Source | None:
        if name not in self._described:
            self._described[name] = next(iter(self._client.describe_all([name])), None)
        described = self._described[name]
        return source_of(described) if described else None

    def select_into(self, name: str) -> exp.Expression | None:
        described = self._described.get(name)
        statements = (parsed(query.text) for query in (described.write_queries if described else ()))
        queries = (statement.ast.args.get("query") for statement in statements if statement is not None)
        return next((query for query in queries if query is not None), None)

    def sources_of(self, topic: str) -> list[str]:
        if self._listed is None:
            self._listed = (*self._client.tables(), *self._client.streams())
        return [source.name for source in self._listed if source.topic == topic]
