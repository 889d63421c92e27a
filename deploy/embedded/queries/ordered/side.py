"""The sides of a join, and the newest rows of a table as a join remembers them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from opensea_metrics.sql.language.lowering.duckdb.ordered import ORDER


@dataclass(frozen=True)
class Side:
    """A relation of items (see :mod:`sql.language.lowering.duckdb.ordered`) that have a key.

    ``names`` are the columns that come from sources.
    """

    items: str
    names: tuple[str, ...]
    is_table: bool

    @property
    def columns(self) -> list[str]:
        return [*self.names, *ORDER, "_key"]


def create_rows(cursor: duckdb.DuckDBPyConnection, table: str, side: Side) -> None:
    """Create the empty table of a side's rows."""
    cursor.execute(f"CREATE OR REPLACE TABLE {table} AS SELECT {', '.join(side.columns)} FROM ({side.items}) LIMIT 0")


def keep_newest(cursor: duckdb.DuckDBPyConnection, table: str, side: Side) -> None:
    """Merge the changes of a side into the table of its newest rows. Rows that are deleted go."""
    cursor.execute(
        f"CREATE OR REPLACE TEMP TABLE newest AS SELECT {', '.join(side.columns)} FROM ({side.items})"
        " QUALIFY row_number() OVER (PARTITION BY _key ORDER BY _n DESC, _s DESC) = 1"
    )
    cursor.execute(f"DELETE FROM {table} AS old USING newest AS new WHERE old._key = new._key")
    cursor.execute(f"INSERT INTO {table} SELECT * REPLACE (-1 AS _n, 0 AS _s) FROM newest WHERE NOT _gone")


def packed(names: Sequence[str], prefix: str) -> str:
    """Columns as the fields of one struct, so that a window function takes them all at once."""
    return f"struct_pack({', '.join(f'{name} := {prefix}{name}' for name in [*names, '_time', '_gone'])})"
