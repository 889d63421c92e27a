"""Two streams joined WITHIN a time, as the embedded server joins them.

See ``deploy.embedded.queries.ordered.stream_stream``.

When two records match, the one that is processed later produces the result. In an outer join, a record without a match
also produces a row. Without GRACE PERIOD it does so at once; otherwise as soon as its window and the grace period have
passed in stream time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from opensea_metrics.sql.language.lowering.ordered.items import ORDER, ItemRelation
from opensea_metrics.sql.language.queries.analysis import JoinWindow

_BEFORE = "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW"


@dataclass(frozen=True)
class WithinJoin:
    """A join of the items of two streams, which have ``_key``. ``prefix`` begins the names of its relations.

    With ``by_partition`` both sides are joined on their own keys, so each partition has its own stream time.
    """

    left: ItemRelation
    right: ItemRelation
    window: JoinWindow
    side: str
    by_partition: bool
    prefix: str

    def steps(self) -> Iterator[tuple[str, str]]:
        """The names of the relations with their SQL.

        Each relation reads earlier ones, and the last one has the joined items.
        """
        yield f"{self.prefix}_clock", self._clock()
        yield f"{self.prefix}_pairs", self._pairs()
        parts = [self._matched()]
        for number, name in enumerate(("LEFT", "RIGHT")):
            if self.side in (name, "FULL"):
                yield f"{self.prefix}_alone_{number}", self._alone(number)
                parts.append(f"SELECT * FROM {self.prefix}_alone_{number}")
        own = ", ".join([*self.left.names, *self.right.names, "_n", "_part", "_time", "_gone", "_key"])
        order = "_phase, _other_time, _other_n, _other_s"
        place = f"row_number() OVER (PARTITION BY _n ORDER BY {order})"
        yield self.prefix, f"SELECT {own}, {place} AS _s FROM ({' UNION ALL '.join(parts)})"

    @property
    def _task(self) -> str:
        return "_part" if self.by_partition else "0"

    def _clock(self) -> str:
        """For each record: the stream time, and the greatest time of each side up to this record."""
        records = " UNION ALL ".join(
            f"SELECT _n, _s, _time, {self._task} AS _task, {number} AS _side, _key FROM {side.table}"
            for number, side in enumerate((self.left, self.right))
        )
        over = f"OVER (PARTITION BY _task ORDER BY _n, _s {_BEFORE})"
        seen = ", ".join(
            f"max(CASE WHEN _side = {number} AND _key IS NOT NULL THEN _time END) {over} AS _seen_{number}"
            for number in (0, 1)
        )
        moves = "_key IS NOT NULL AND _time = _now"
        timed = f"SELECT _n, _s, _task, _side, _time, _key, max(_time) {over} AS _now, {seen} FROM ({records})"
        return f"SELECT _n, _s, _task, _side, _now, _seen_0, _seen_1, {moves} AS _moves FROM ({timed})"

    def _pairs(self) -> str:
        """The records that match, with their columns. ``_is_left`` is true if the left one came later.

        Times are divided into slices as long as the window, so that a record is not compared with all records of its
        key.
        """
        before, after = self.window.span(self.side)
        size = before + after + 1
        left = [*self.left.names, *ORDER, "_key"]
        first, last = f"_time - {before}", f"_time + {after}"
        slices = [f"({time} - ({time}) % {size})" for time in (first, last)]
        rows = f"SELECT {', '.join(left)}, {{}} AS _slice FROM {self.left.table} WHERE _key IS NOT NULL"
        of_left = f"{rows.format(slices[0])} UNION ALL {rows.format(slices[1])} AND {slices[0]} <> {slices[1]}"
        right = ", ".join([*self.right.names, *ORDER, "_key"])
        of_right = f"SELECT {right}, _time - _time % {size} AS _slice FROM {self.right.table} WHERE _key IS NOT NULL"
        columns = [
            *(f"l.{name}" for name in self.left.names), *(f"r.{name}" for name in self.right.names),
            "l._key AS _key", "greatest(l._time, r._time) AS _time", "l._n > r._n AS _is_left",
            *(f"{side}.{name} AS {side}{name}" for side in "lr" for name in ("_n", "_s", "_time", "_part")),
        ]  # fmt: skip
        same = "l._key = r._key AND l._slice = r._slice"
        if self.by_partition:
            same += " AND l._part = r._part"
        pairs = (
            f"SELECT {', '.join(columns)} FROM ({of_left}) AS l JOIN ({of_right}) AS r ON {same}"
            f" AND r._time >= l._time - {before} AND r._time <= l._time + {after}"
        )
        later = ", ".join(f"CASE WHEN _is_left THEN l{name} ELSE r{name} END AS {name}" for name in ("_n", "_s"))
        clock = f"SELECT _n, _s, CASE WHEN _side = 0 THEN _seen_1 ELSE _seen_0 END AS _seen FROM {self.prefix}_clock"
        earlier = "CASE WHEN p._is_left THEN p.r_time ELSE p.l_time END"
        pairs = f"SELECT *, {later} FROM ({pairs})"
        return (
            f"SELECT p.* FROM ({pairs}) AS p JOIN ({clock}) AS c ON p._n = c._n AND p._s = c._s"
            f" WHERE {earlier} > c._seen - {self.window.kept}"
        )

    def _matched(self) -> str:
        """The rows of pairs."""
        other = [
            f"CASE WHEN _is_left THEN r{name} ELSE l{name} END AS _other{name}" for name in ("_time", "_n", "_s")
        ]
        part = "CASE WHEN _is_left THEN l_part ELSE r_part END AS _part"
        columns = [*self.left.names, *self.right.names, "_n", "1 AS _phase", part, "_time", "false AS _gone", "_key"]
        return f"SELECT {', '.join([*columns, *other])} FROM {self.prefix}_pairs"

    def _alone(self, number: int) -> str:
        """The rows of a side's records that have no match: neither when they arrived, nor until their turn came."""
        side, other = (self.left, self.right) if number == 0 else (self.right, self.left)
        own = "_is_left" if number == 0 else "NOT _is_left"
        mine = "l" if number == 0 else "r"
        columns = [*side.names, *ORDER, "_key"]
        met = (
            f"SELECT {mine}_n AS _n, {mine}_s AS _s, max(CASE WHEN {own} THEN 1 ELSE 0 END) AS _at_once,"
            f" min(CASE WHEN NOT ({own}) THEN _n END) AS _met FROM {self.prefix}_pairs GROUP BY {mine}_n, {mine}_s"
        )
        waiting = (
            f"SELECT {', '.join(f's.{name}' for name in columns)}, c._task, c._now, m._met"
            f" FROM {side.table} AS s JOIN {self.prefix}_clock AS c ON s._n = c._n AND s._s = c._s"
            f" LEFT JOIN ({met}) AS m ON m._n = s._n AND m._s = s._s WHERE coalesce(m._at_once, 0) = 0"
        )
        nothing = [f"NULL AS {name}" for name in other.names]
        names = [*side.names, *nothing] if number == 0 else [*nothing, *side.names]
        result = [*names, "_at AS _n", "_phase", "_part", "_time", "false AS _gone", "_key"]
        result += ["_time AS _other_time", "_n AS _other_n", "_s AS _other_s"]
        chosen = ", ".join(result)
        if self.window.grace is None:
            return f"SELECT {chosen} FROM (SELECT *, _n AS _at, 2 AS _phase FROM ({waiting}))"
        before, after = self.window.span(self.side)
        open_for = after if number == 0 else before
        # A record without a key does not wait for a match, nor does a record whose window ended before the record
        # arrived.
        at_once = f"_now > _time + {open_for} OR _key IS NULL"
        closes = f"_time + {open_for + self.window.grace}"
        # A tick is a record that moves stream time forward. It closes the windows that end before the new time.
        ticks = (
            f"SELECT {', '.join(f'NULL AS {name}' for name in columns)}, k._task, NULL AS _now, NULL AS _met,"
            f" 0 AS _waits, k._now AS _closes, k._n AS _tick FROM {self.prefix}_clock AS k WHERE k._moves"
        )
        both = f"SELECT *, 1 AS _waits, {closes} AS _closes, NULL AS _tick FROM ({waiting}) UNION ALL {ticks}"
        following = (
            "min(_tick) OVER (PARTITION BY _task ORDER BY _closes, _waits"
            " ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING)"
        )
        timed = (
            f"SELECT *, CASE WHEN {at_once} THEN _n ELSE _next END AS _at, CASE WHEN {at_once} THEN 2 ELSE 0 END"
            f" AS _phase FROM (SELECT *, {following} AS _next FROM ({both})) WHERE _waits = 1"
        )
        return f"SELECT {chosen} FROM ({timed}) WHERE _at IS NOT NULL AND (_met IS NULL OR _met > _at)"
