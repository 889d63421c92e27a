"""Records of streams that have no value.

ksqlDB passes them on from stream to stream, with their key. A WHERE clause, a table function, a join and an
aggregation drop them, and no client sees them. They have an effect only in the topic of a stream: a table that is
declared over this topic deletes their keys (observed on 7.9.1, 2026-11-30).
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp

from opensea_metrics.core.quoting import column as column_of
from opensea_metrics.core.quoting import text
from opensea_metrics.core.types import name_of
from opensea_metrics.deploy.embedded.topics.record_topic import UNREADABLE
from opensea_metrics.sql.language.lowering.duckdb import selects
from opensea_metrics.sql.language.lowering.records.rows import NO_VALUE
from opensea_metrics.sql.language.queries.analysis import Analysis, makes_rows

HAS_VALUE = f"{UNREADABLE[0]} IS DISTINCT FROM {text(NO_VALUE)}"
"""A condition for rows with the columns ``record_topic.UNREADABLE``."""


def rows(
    analysis: Analysis, relation: str, has_value: str, unreadable: Sequence[str] = (), carried: Sequence[str] = ()
) -> str:
    """:func:`selects.rows`, with the records without a value that the SELECT passes on.

    ``has_value`` is a condition that is false for such a record, in the relation and in the result. The record keeps
    its key if the SELECT keeps the key. Otherwise its key is NULL. Its other columns have no meaning.
    """
    is_selective = analysis.where is not None or any(makes_rows(p.expression) for p in analysis.projections)
    if is_selective:
        relation = f"SELECT * FROM ({relation}) WHERE {has_value}"
    selected = selects.rows(analysis, relation, unreadable, carried)
    if is_selective or _keeps_key(analysis):
        return selected
    keys = [column_of(projection.column.name) for projection in analysis.projections if projection.column.is_key]
    empty = ", ".join(f"CASE WHEN {has_value} THEN {key} END AS {key}" for key in keys)
    return f"SELECT * REPLACE ({empty}) FROM ({selected})" if keys else selected


def _keeps_key(analysis: Analysis) -> bool:
    """True without PARTITION BY, or if PARTITION BY names the existing key of the source."""
    keys = [column.name for column in analysis.source.columns if column.is_key]
    named = [name_of(part.this) if isinstance(part, exp.Column) else None for part in analysis.partition]
    return not analysis.partition or named == keys
