"""A stream joined with a stream WITHIN a time.

Of two records that match, the later one in the order of processing produces the result. In an outer join, a
record without a match gives a row of its own. Without GRACE PERIOD it does so at once, otherwise as soon as its window
and the grace period have passed in stream time. Stream time is the greatest time of both sides so far.

Source: Kafka Streams' behaviour (docs/ksqldb-facts.md, Joins).
"""

from __future__ import annotations

from dataclasses import dataclass

import duckdb

from opensea_metrics.deploy.embedded.queries.ordered.side import Side
from opensea_metrics.sql.language.lowering.duckdb.ordered import ORDER
from opensea_metrics.sql.language.queries.analysis import JoinWindow

_TEMP = "CREATE OR REPLACE TEMP TABLE"


@dataclass(frozen=True)
class StreamJoin:
    """A join of two streams. ``rows`` are the tables with the records of both sides that may still find a match.

    ``by_partition`` is true if both sides are joined on their own keys, so that each partition has its stream time.
    """

    left: Side
    right: Side
    rows: tuple[str, str]
    window: JoinWindow
    side: str
    by_partition: bool

    def create(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """Create the empty tables of records.

        Beside the records' columns they have ``_waits``: whether the record waits for its window to close.
        """
        for side, table in zip((self.left, self.right), self.rows, strict=True):
            columns = ", ".join(side.columns)
            cursor.execute(
                f"CREATE OR REPLACE TABLE {table} AS SELECT {columns}, false AS _waits FROM ({side.items}) LIMIT 0"
            )

    def join(self, cursor: duckdb.DuckDBPyConnection, result: str) -> None:
        """Create the temporary table ``result`` of the joined items, and bring ``rows`` up to date."""
        task = "_part" if self.by_partition else "0"
        for number, side in enumerate((self.left, self.right)):
            columns = ", ".join(side.columns)
            cursor.execute(
                f"{_TEMP} side_{number} AS SELECT row_number() OVER () AS _id, *, {task} AS _task FROM ("
                f"SELECT {columns}, _waits FROM {self.rows[number]} UNION ALL"
                f" SELECT {columns}, false FROM ({side.items}))"
            )
        self._time(cursor)
        self._pairs(cursor)
        parts = [self._matched()]
        for number, name in enumerate(("LEFT", "RIGHT")):
            if self.side in (name, "FULL"):
                self._lonely(cursor, number)
                parts.append(self._alone(number))
        own = ", ".join([*self.left.names, *self.right.names, "_n", "_part", "_time", "_gone", "_key"])
        order = "_n, _phase, _other_time, _other_n, _other_s"
        cursor.execute(
            f"{_TEMP} {result} AS SELECT {own}, row_number() OVER (ORDER BY {order}) AS _s"
            f" FROM ({' UNION ALL BY NAME '.join(parts)})"
        )
        self._keep(cursor)

    def _time(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """Table ``clock``: for each record that arrived, the stream time, and what each side has seen before it.

        Records with equal times have their own rows, because ``_n`` and ``_s`` identify a record.
        """
        records = " UNION ALL ".join(
            f"SELECT _n, _s, _time, _task, {number} AS _side, _key FROM side_{number}" for number in (0, 1)
        )
        over = "OVER (PARTITION BY _task ORDER BY _n, _s ROWS UNBOUNDED PRECEDING)"
        seen = ", ".join(
            f"max(CASE WHEN _side = {number} AND _key IS NOT NULL THEN _time END) {over} AS _seen_{number}"
            for number in (0, 1)
        )
        cursor.execute(
            f"{_TEMP} clock AS SELECT * FROM (SELECT _n, _s, _task, _time, _key, max(_time) {over} AS _now, {seen}"
            f" FROM ({records})) WHERE _n >= 0"
        )

    def _pairs(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """Table ``pairs``: the records that match, and which of the two arrived later (``_n``, ``_s``).

        Times are cut into slices as long as the window, so that a key with many records does not meet all of them.
        """
        before, after = self.window.span(self.side)
        size = before + after + 1
        left = (
            "SELECT _id, _key, _time, _n, _s, _task,"
            f" unnest(list_distinct([(_time - {before}) // {size}, (_time + {after}) // {size}])) AS _slice"
            " FROM side_0 WHERE _key IS NOT NULL"
        )
        right = f"SELECT _id, _key, _time, _n, _s, _task, _time // {size} AS _slice FROM side_1 WHERE _key IS NOT NULL"
        is_later = "(l._n, l._s) > (r._n, r._s)"
        pairs = (
            f"SELECT l._id AS _l, r._id AS _r, l._task, {is_later} AS _is_left,"
            " CASE WHEN _is_left THEN l._n ELSE r._n END AS _n, CASE WHEN _is_left THEN l._s ELSE r._s END AS _s,"
            " CASE WHEN _is_left THEN r._time ELSE l._time END AS _other_time,"
            " CASE WHEN _is_left THEN r._n ELSE l._n END AS _other_n,"
            " CASE WHEN _is_left THEN r._s ELSE l._s END AS _other_s,"
            " CASE WHEN _is_left THEN r._id ELSE l._id END AS _other_id"
            f" FROM ({left}) AS l JOIN ({right}) AS r ON l._key = r._key AND l._slice = r._slice"
            f" AND l._task = r._task AND r._time BETWEEN l._time - {before} AND l._time + {after}"
            " AND (l._n >= 0 OR r._n >= 0)"
        )
        seen = "CASE WHEN _is_left THEN _seen_1 ELSE _seen_0 END"
        cursor.execute(
            f"{_TEMP} pairs AS SELECT pairs.* FROM ({pairs}) AS pairs JOIN clock USING (_n, _s)"
            f" WHERE _other_time > {seen} - {self.window.kept}"
        )

    def _matched(self) -> str:
        columns = [
            *(f"l.{name}" for name in self.left.names),
            *(f"r.{name}" for name in self.right.names),
            "p._n", "1 AS _phase", "CASE WHEN _is_left THEN l._part ELSE r._part END AS _part",
            "greatest(l._time, r._time) AS _time", "false AS _gone", "l._key AS _key",
            "p._other_time", "p._other_n", "p._other_s",
        ]  # fmt: skip
        return (
            f"SELECT {', '.join(columns)} FROM pairs AS p JOIN side_0 AS l ON l._id = p._l"
            " JOIN side_1 AS r ON r._id = p._r"
        )

    def _lonely(self, cursor: duckdb.DuckDBPyConnection, number: int) -> None:
        """Table ``lonely_…``: records of a side that have found no match when they arrived, and the ``_n`` at which
        they give a row without one. It is NULL as long as they wait, and if a match came first."""
        own = f"p._is_left = {'true' if number == 0 else 'false'}"
        mine = "p._l" if number == 0 else "p._r"
        unmatched = (
            f"SELECT * FROM side_{number} AS s WHERE (_waits OR _n >= 0)"
            f" AND NOT (_n >= 0 AND _id IN (SELECT {mine} FROM pairs AS p WHERE {own}))"
        )
        if self.window.grace is None:
            cursor.execute(f"{_TEMP} lonely_{number} AS SELECT _id, _n AS _at, 2 AS _phase FROM ({unmatched})")
            return
        before, after = self.window.span(self.side)
        open_for = after if number == 0 else before
        # A record whose window has ended before it arrived does not wait, and neither does one without a key.
        now = f"c._now > s._time + {open_for} OR s._key IS NULL"
        closes = f"s._time + {open_for + self.window.grace}"
        moves = "_key IS NOT NULL AND _time = _now"
        ticks = f"SELECT _task, _now, min(_n) AS _n FROM clock WHERE {moves} GROUP BY _task, _now"
        matches = f"SELECT {mine} AS _id, min(_n) AS _n FROM pairs AS p WHERE NOT ({own}) GROUP BY 1"
        at = f"CASE WHEN s._n >= 0 AND ({now}) THEN s._n ELSE t._n END"
        phase = f"CASE WHEN s._n >= 0 AND ({now}) THEN 2 ELSE 0 END"
        cursor.execute(
            f"{_TEMP} lonely_{number} AS SELECT s._id, {phase} AS _phase, m._n IS NULL AS _is_free,"
            f" CASE WHEN m._n IS NULL OR m._n > {at} THEN {at} END AS _at"
            f" FROM ({unmatched}) AS s LEFT JOIN clock AS c ON s._n = c._n AND s._s = c._s"
            f" ASOF LEFT JOIN ({ticks}) AS t ON s._task = t._task AND {closes} < t._now"
            " LEFT JOIN (" + matches + ") AS m ON m._id = s._id"
        )

    def _alone(self, number: int) -> str:
        side, other = (self.left, self.right) if number == 0 else (self.right, self.left)
        columns = [
            *(f"s.{name}" for name in side.names), *(f"NULL AS {name}" for name in other.names),
            "a._at AS _n", "a._phase", "s._part", "s._time", "false AS _gone", "s._key",
            "s._time AS _other_time", "s._n AS _other_n", "s._s AS _other_s",
        ]  # fmt: skip
        return (
            f"SELECT {', '.join(columns)} FROM lonely_{number} AS a JOIN side_{number} AS s ON s._id = a._id"
            " WHERE a._at IS NOT NULL"
        )

    def _keep(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """Keep the records that may still find a match. One of them has the side's greatest time."""
        for number, (side, name) in enumerate(((self.left, "LEFT"), (self.right, "RIGHT"))):
            waits = "false"
            if self.window.grace is not None and self.side in (name, "FULL"):
                waits = f"_id IN (SELECT _id FROM lonely_{number} WHERE _at IS NULL AND _is_free)"
            columns = [c for c in side.columns if c not in ORDER]
            order = "-1 AS _n, row_number() OVER (ORDER BY _n, _s) AS _s, _part, _time, _gone"
            newest = "max(CASE WHEN _key IS NOT NULL THEN _time END) OVER (PARTITION BY _task)"
            # Of the records without a key, the one with the greatest time stays, because it has moved stream time.
            last = "row_number() OVER (PARTITION BY _task, _key ORDER BY _time DESC)"
            cursor.execute(
                f"{_TEMP} kept AS SELECT {', '.join(columns)}, {order}, {waits} AS _waits FROM side_{number}"
                f" QUALIFY CASE WHEN _key IS NULL THEN {last} = 1 ELSE _time > {newest} - {self.window.kept} END"
            )
            cursor.execute(f"DELETE FROM {self.rows[number]}")
            cursor.execute(f"INSERT INTO {self.rows[number]} BY NAME SELECT * FROM kept")
