"""All changes of an aggregation's rows: the state after each record, not only after a batch."""

from __future__ import annotations

from dataclasses import replace

import duckdb

from opensea_metrics.sql.language.lowering.duckdb.groupings import Grouping

_TEMP = "CREATE OR REPLACE TEMP TABLE"


def all_changes(
    cursor: duckdb.DuckDBPyConnection, grouping: Grouping, state: str, relation: str, result: str
) -> str:
    """Create the temporary table ``result``, and return a relation of the changes that the records cause.

    ``state`` are the rows of the state before the records of ``relation``, one for each key. The changes have the
    SELECT's columns, ROWTIME, ``record_topic.RECORD``, ``record_topic.TOMBSTONE`` and ``_off``, the record's number.

    The states are merged in steps: each state with the previous one, then with the one two before it, then four. So
    even a key with many records takes few steps.
    """
    one = replace(grouping, key_sql=(*grouping.key_sql, "_off"))
    keys, place = grouping.keys, f"_k{len(grouping.key_sql)}"
    own = ", ".join(keys)
    cursor.execute(f"{_TEMP} {result} AS {one.partial(relation, None)}")
    cursor.execute(
        f"{_TEMP} history_order AS SELECT {own}, {place},"
        f" row_number() OVER (PARTITION BY {own} ORDER BY {place}) AS _place FROM {result}"
    )
    old = f"SELECT * EXCLUDE (_off), 0 AS {place} FROM ({state}) AS old SEMI JOIN {result} AS new USING ({own})"
    cursor.execute(
        f"{_TEMP} {result} AS SELECT * EXCLUDE ({place}, _place), _place AS {place}"
        f" FROM {result} JOIN history_order USING ({own}, {place}) UNION ALL BY NAME {old}"
    )
    (most,) = cursor.execute(f"SELECT coalesce(max({place}), 0) + 1 FROM {result}").fetchone()  # type: ignore[misc]
    step = 1
    while step < most:
        earlier = f"SELECT * REPLACE ({place} + {step} AS {place}), 0 AS _src FROM {result}"
        within = f"SELECT * FROM ({earlier}) AS e SEMI JOIN {result} AS t USING ({own}, {place})"
        both = f"{within} UNION ALL BY NAME SELECT *, 1 AS _src FROM {result}"
        cursor.execute(f"{_TEMP} history_next AS {one.merge(both)}")
        cursor.execute(f"{_TEMP} {result} AS SELECT * FROM history_next")
        step *= 2
    numbered = (
        f"SELECT s.* EXCLUDE ({place}), o.{place} AS _off FROM {result} AS s"
        f" JOIN history_order AS o"
        f" ON {' AND '.join(f's.{key} = o.{key}' for key in keys)} AND s.{place} = o._place"
    )
    record = f"SELECT _off, ROWPARTITION, 0::BIGINT AS ROWOFFSET FROM ({relation})"
    return f"SELECT * FROM ({grouping.changes(numbered)}) JOIN ({record}) USING (_off)"


def newest_changes(grouping: Grouping, changed: str) -> str:
    """The newest rows of the keys that have changed, as a relation like that of :func:`all_changes`.

    ``changed`` are their rows of state.
    """
    rows = grouping.changes(changed)
    return f"SELECT *, 0::INTEGER AS ROWPARTITION, 0::BIGINT AS ROWOFFSET FROM ({rows})"
