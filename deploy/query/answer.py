"""Answers one SELECT without EMIT: by the server alone, or by the server and DuckDB."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb

from opensea_metrics.core.database import scratch_database
from opensea_metrics.core.errors import OpenSeaMetricsError, SqlError
from opensea_metrics.core.quoting import column as duckdb_column
from opensea_metrics.core.quoting import column_name, quoted
from opensea_metrics.core.types import duckdb as duckdb_type
from opensea_metrics.core.types import name_of
from opensea_metrics.core.wording import counted, nearest
from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.client.snapshot import source_of
from opensea_metrics.deploy.query.grammar import LocalSelect, needs_tool, read, tokens_of
from opensea_metrics.deploy.query.names import NameResolver, check_sources
from opensea_metrics.deploy.query.pushdown import PullQuery, pulls, split_where
from opensea_metrics.deploy.query.stages import LocalQuery, Relation, Stages
from opensea_metrics.deploy.query.values import arrow_table, reply_rows
from opensea_metrics.deploy.replies import Rows
from opensea_metrics.deploy.reply_columns import ServerColumn
from opensea_metrics.sql.language.catalog.sources import Source
from opensea_metrics.sql.language.lowering.duckdb.setup import SETUP, register_functions
from opensea_metrics.udfs import duckdb as udfs

MOST_ROWS = 100_000
"""The most rows that are pulled from one source, unless the caller passes another limit."""
_MEMORY: Mapping[str, str | bool] = {"memory_limit": "1GB", "error_on_division_by_zero": False}


class TooManyRows(OpenSeaMetricsError):
    """A source has more rows than may be pulled. The message names a WHERE to add."""


@dataclass(frozen=True)
class Answer:
    """The rows of a query. ``note`` says in one line what this tool did itself; None if the server did everything."""

    rows: Rows
    note: str | None = None


def answer(client: KsqlClient, sql: str, limit: int = MOST_ROWS) -> Answer:
    """The rows of a SELECT without EMIT.

    ORDER BY, GROUP BY, aggregates, JOIN and OVER run here, over at most ``limit`` rows of each source. The server
    checks WHERE. Changes nothing on the server. Raises SqlError, TooManyRows, and ClientError.
    """
    tokens = tokens_of(sql)
    if not tokens or tokens[0].text.upper() != "SELECT":
        raise SqlError("a query is a SELECT", hint="SELECT * FROM collection_1_minute LIMIT 10")
    text = sql[tokens[0].start : tokens[-1].end + 1]
    if not needs_tool(tokens):
        return Answer(client.pull_rows(f"{text};", exact=True))
    select = read(text)
    for clause in ("emit", "window", "partition"):
        if select.query.args.get(clause):
            words = {"emit": "EMIT", "window": "WINDOW", "partition": "PARTITION BY"}[clause]
            hint = "a push query never ends; sort and group a query without EMIT" if clause == "emit" else None
            raise SqlError(f"{words} cannot be in a query that is grouped, joined or sorted here", hint=hint)
    return _local(client, select, limit)


def _local(client: KsqlClient, select: LocalSelect, limit: int) -> Answer:
    names = NameResolver(select, _sources(client, select))
    stages = Stages(names)
    pushed, rest = split_where(names)
    queries = pulls(names, pushed, stages.used(rest))
    relations = {pull.part.alias: _relation(names, pull, at) for at, pull in enumerate(queries)}
    written = stages.write(relations, rest)  # before any row is pulled, because this step detects most mistakes
    if not written.steps:  # a column is called order or group
        return Answer(client.pull_rows(f"{select.statement.text};", exact=True))
    tables = [_pulled(client, pull, limit) for pull in queries]
    rows = _run(written, [(pull.columns, values) for pull, values in zip(queries, tables, strict=True)])
    columns = tuple(ServerColumn(name, str(kind)) for name, kind in written.columns)
    steps = ", ".join(written.steps[:-1]) + (" and " if written.steps[1:] else "") + written.steps[-1]
    return Answer(Rows(columns, iter(rows)), f"{steps} here, {counted(sum(map(len, tables)), 'row')} pulled")


def _sources(client: KsqlClient, select: LocalSelect) -> dict[str, Source]:
    references = (select.query.args["source"], *(join.this for join in select.query.args["joins"]))
    wanted = list(dict.fromkeys(name_of(reference.this) for reference in references))
    known = {description.name: source_of(description) for description in client.describe_all(wanted)}
    if missing := [name for name in wanted if name not in known]:
        names = [source.name for source in (*client.streams(), *client.tables())]
        near = nearest(missing[0], names)
        check_sources(select, known, f"did you mean {near}?" if near else "SHOW TABLES lists what there is")
    return known


def _relation(names: NameResolver, pull: PullQuery, at: int) -> Relation:
    """The pulled rows of a source as a relation with the names of the query."""
    alias = pull.part.alias
    columns = {names.name(alias, name): kind for name, kind in pull.columns}
    written = (
        f"CAST({duckdb_column(name)} AS {duckdb_type(kind)}) AS {duckdb_column(names.name(alias, name))}"
        for name, kind in pull.columns
    )
    number = "" if names.is_join else ", row_number() OVER () AS _off"
    return Relation(columns, f"SELECT {', '.join(written)}{number} FROM {quoted(f'pulled_{at}')}")


def _pulled(client: KsqlClient, pull: PullQuery, limit: int) -> list[Sequence[Any]]:
    rows = client.pull_rows(pull.text(limit + 1), exact=True)
    values = list(rows.values)
    if len(values) <= limit:
        return values
    source = pull.part.source
    word = "AND" if pull.condition else "WHERE"
    keys = [column.name for column in source.columns if column.is_key]
    example = f"{keys[0]} = '…'" if source.is_table and keys else "ROWTIME >= '2026-09-15T10:00:00'"
    if source.window:
        example = "WINDOWSTART >= '2026-09-15T10:00:00'"
    raise TooManyRows(
        f"{source.name} has more than {limit:,} rows for this query, and at most that many are read\n"
        f"  hint: select fewer rows on the server, for instance {word} {example}"
    )


def _run(
    query: LocalQuery, tables: Sequence[tuple[Sequence[tuple[str, Any]], list[Sequence[Any]]]]
) -> list[list[Any]]:
    with scratch_database(settings=_MEMORY, setup=SETUP) as (database, _):
        udfs.register(database)
        register_functions(database)
        for at, (columns, rows) in enumerate(tables):
            named = [(column_name(name), kind) for name, kind in columns]
            database.register(f"pulled_{at}", arrow_table(named, rows))
        try:
            result = database.execute(query.sql).fetchall()
        except duckdb.Error as error:
            message = str(error).partition("\n")[0]
            raise SqlError(f"the query cannot be computed here: {message}") from error
    return list(reply_rows([kind for _, kind in query.columns], result))
