"""Rows of sessions that other rows have replaced, for streams over the topic of a table with SESSION windows.

A session that grows or merges gets another key, so its earlier rows are records of their own in the topic. Such a
stream still has them, while the table does not. They are kept if a stream is declared over the topic.
"""

from __future__ import annotations

import duckdb

from opensea_metrics.deploy.embedded.topics import table_feeds
from opensea_metrics.deploy.embedded.topics.log_tables import state_table
from opensea_metrics.sql.language.catalog.catalog import Catalog, Query
from opensea_metrics.sql.language.lowering.duckdb.groupings import Grouping

_KNOWN = "known_sessions"


def prepare(cursor: duckdb.DuckDBPyConnection, catalog: Catalog) -> None:
    """Create the missing tables of replaced rows, after a statement that created a source."""
    for query in catalog.queries.values():
        if (table := table_of(catalog, query)) is not None:
            cursor.execute(f"CREATE TABLE IF NOT EXISTS {table} AS SELECT * FROM {state_table(query.id)} LIMIT 0")


def table_of(catalog: Catalog, query: Query) -> str | None:
    """The table of a query's replaced rows, or None if they are not kept."""
    return table_feeds.replaced_table(query.id) if table_feeds.keeps_replaced(catalog, query) else None


def note(cursor: duckdb.DuckDBPyConnection, grouping: Grouping, table: str, delta: str) -> None:
    """Remember the sessions of the keys in ``delta``, before these rows are merged into the state in ``table``."""
    same = " AND ".join(f"old.{key} = new.{key}" for key in grouping.group)
    known = f"SELECT * FROM {table} AS old SEMI JOIN {delta} AS new ON {same}"
    cursor.execute(f"CREATE OR REPLACE TEMP TABLE {_KNOWN} AS {known}")


def keep(cursor: duckdb.DuckDBPyConnection, table: str, replaced: str) -> None:
    """Add the sessions that are no longer in the state to the table ``replaced``."""
    cursor.execute(f"INSERT INTO {replaced} BY NAME SELECT * FROM {_KNOWN} ANTI JOIN {table} USING (_off)")
