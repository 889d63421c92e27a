"""Session windows: merges rows into the sessions of an aggregation's state, as Kafka Streams does row by row.

Rows that are neither late nor near sessions that the store no longer holds merge in any order to the same sessions,
so SQL merges them. Other keys are *watched*: for these, :class:`_Sessions` takes the rows one by one, and decides
which rows and sessions form a session. SQL computes the aggregates in both cases.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from operator import attrgetter

import duckdb

from opensea_metrics.deploy.embedded import changed_rows
from opensea_metrics.sql.language.catalog.sources import Window
from opensea_metrics.sql.language.lowering.duckdb.selects import Grouping
from opensea_metrics.sql.language.lowering.duckdb.stream_time import StreamTime

_MADE = "CREATE OR REPLACE TEMP TABLE"


def merge(
    cursor: duckdb.DuckDBPyConnection, grouping: Grouping, table: str, relation: str, time: StreamTime, now: int
) -> int:
    """Take the sessions that the rows of a relation change out of the state, and write them, merged, into ``changed``.

    ``delta`` is ``grouping.partial`` of the rows, and ``now`` the greatest stream time after them. Returns the number
    of late rows, which are left out. A row is late if its session, with the sessions that it touches, ended longer
    than the gap and the grace period before stream time.
    """
    window = grouping.analysis.window
    assert window is not None
    keys = ", ".join(grouping.group)
    same = " AND ".join(f"old.{key} = new.{key}" for key in grouping.group)
    touching = f"{same} AND old._ws <= new._we + {window.size} AND old._we >= new._ws - {window.size}"
    (first,) = cursor.execute("SELECT min(_ws) FROM delta").fetchone()  # type: ignore[misc]
    if not grouping.is_ordered and first > max(now - _kept(grouping) + window.size, now - window.grace - window.size):
        changed_rows.take_out(cursor, grouping, table, touching)
        return 0
    cursor.execute(f"{_MADE} timed AS SELECT {keys}, ROWTIME, _off, _before, _now, _place"
                   f" FROM ({grouping.timed(relation, time)})")  # fmt: skip
    cursor.execute(f"{_MADE} watched AS {_watched(grouping, table)}")
    of_key = " AND ".join(f"timed.{key} = watched.{key}" for key in grouping.group)
    cursor.execute(f"{_MADE} watched_rows AS SELECT _key, timed.* FROM timed JOIN watched ON {of_key}")
    ((is_watched,),) = cursor.execute("SELECT count(*) > 0 FROM watched").fetchall()
    if not is_watched:
        changed_rows.take_out(cursor, grouping, table, touching)
        return 0
    others = f"SELECT * FROM ({relation}) ANTI JOIN watched_rows USING (_off)"
    cursor.execute(f"{_MADE} delta AS {grouping.partial(others, None)}")
    changed_rows.take_out(cursor, grouping, table, touching)
    return _merge_watched(cursor, grouping, table, relation)


def _kept(grouping: Grouping) -> int:
    """For how long after its end (ms) a session can be merged. With EMIT FINAL, a session that is closed stays so."""
    window = grouping.analysis.window
    assert window is not None
    return window.size + window.grace if grouping.analysis.emit == "FINAL" else window.kept


def _watched(grouping: Grouping, table: str) -> str:
    """The keys of ``timed`` that are watched, with a number ``_key``.

    A key is watched if one of its rows may be late. If the order of merging matters, it is also watched if its rows
    are not in the order of time, because such a row may connect two sessions.
    """
    window = grouping.analysis.window
    assert window is not None
    keys = ", ".join(grouping.group)
    chosen = f"ROWTIME <= _before - {_kept(grouping) - window.size} OR ROWTIME < _now - {window.grace + window.size}"
    rows = f"SELECT {keys}, {chosen} AS _chosen FROM timed"
    if grouping.is_ordered:
        same = " AND ".join(f"old.{key} = timed.{key}" for key in grouping.group)
        before = "ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING"
        earlier = f"max(ROWTIME) OVER (PARTITION BY {keys} ORDER BY _place {before})"
        rows = (
            f"SELECT {keys}, {chosen} OR coalesce(ROWTIME < {earlier}, false) AS _chosen FROM timed UNION ALL"
            f" SELECT {keys}, true FROM timed SEMI JOIN {table} AS old ON {same} AND timed.ROWTIME < old._we"
        )
    return f"SELECT {keys}, row_number() OVER () AS _key FROM ({rows}) WHERE _chosen GROUP BY {keys}"


def _merge_watched(cursor: duckdb.DuckDBPyConnection, grouping: Grouping, table: str, relation: str) -> int:
    """Merge the rows of watched keys, and add their sessions to ``changed``. Returns the number of late rows."""
    window = grouping.analysis.window
    assert window is not None
    of_key = " AND ".join(f"old.{key} = watched.{key}" for key in grouping.group)
    stored = f"{table} AS old JOIN watched ON {of_key}"
    by_key = _of_keys(window, _kept(grouping), cursor.execute(f"SELECT _key, _ws, _we FROM {stored}").fetchall())
    late = 0
    watched = cursor.execute("SELECT _key, _off, ROWTIME, _before, _now FROM watched_rows ORDER BY _place")
    while batch := watched.fetchmany(100_000):
        for key, offset, at, before, now in batch:
            late += not by_key[key].take(offset, at, before, now)
    parts = [(key, *part) for key, of_key in by_key.items() for part in of_key.parts()]
    columns = [list(values) for values in zip(*parts, strict=True)] or [[]] * 6
    names = ("_key", "_off", "_first", "_last", "_session", "_src")
    unnested = ", ".join(f"unnest(?::BIGINT[]) AS {name}" for name in names)
    cursor.execute(f"{_MADE} parts AS SELECT {unnested}", columns)
    taken = f"SELECT * FROM ({relation}) SEMI JOIN parts USING (_off)"
    is_part = "parts._off IS NULL AND parts._key = watched._key AND parts._first = old._ws AND parts._last = old._we"
    rows = f"({grouping.one_by_one(taken)}) AS row JOIN parts USING (_off)"
    of_rows = f"SELECT row.* EXCLUDE (_off), _session, _src FROM {rows}"
    of_sessions = f"SELECT old.* EXCLUDE (_off), _session, _src FROM {stored} JOIN parts ON {is_part}"
    of_sessions += " WHERE _session IS NOT NULL"
    cursor.execute(f"INSERT INTO changed BY NAME {grouping.combine(f'{of_rows} UNION ALL BY NAME {of_sessions}')}")
    cursor.execute(f"DELETE FROM {table} AS old USING watched, parts WHERE {of_key} AND {is_part}")
    return late


def _of_keys(window: Window, kept: int, stored: Iterable[tuple[int, int, int]]) -> defaultdict[int, _Sessions]:
    """The sessions of keys. ``stored`` are a key, and the first and last time of one of its sessions."""
    by_key: defaultdict[int, _Sessions] = defaultdict(lambda: _Sessions(window.size, window.grace, kept))
    for key, first, last in stored:
        by_key[key].sessions.append(_Session(first, last, [(None, first, last)]))
    for of_key in by_key.values():
        of_key.sessions.sort(key=attrgetter("last", "first"))
    return by_key


@dataclass
class _Session:
    """A session from its ``first`` to its ``last`` time, and the rows and sessions in it, in the order of merging.

    A part has the row's ``_off``, or None for a session of the state, and its first and last time.
    """

    first: int
    last: int
    parts: list[tuple[int | None, int, int]]
    is_changed: bool = False


@dataclass
class _Sessions:
    """The sessions of one key, ordered by their last time. All times are in ms."""

    gap: int
    grace: int
    kept: int
    sessions: list[_Session] = field(default_factory=list)
    replaced: list[_Session] = field(default_factory=list)

    def take(self, offset: int, at: int, before: int, now: int) -> bool:
        """Add a row, unless it is late. ``before`` and ``now`` are the stream time before and after it."""
        low = bisect_left(self.sessions, max(at - self.gap, before - self.kept + 1), key=attrgetter("last"))
        high = low
        while high < len(self.sessions) and self.sessions[high].first <= at + self.gap:
            high += 1
        touched = self.sessions[low:high]
        last = max([at, *(session.last for session in touched)])
        if last < now - self.grace - self.gap:
            return False
        first = min([at, *(session.first for session in touched)])
        merged = touched[0] if touched else _Session(first, last, [])
        for session in touched[1:]:
            merged.parts += session.parts
        merged.parts.append((offset, at, at))
        merged.first, merged.last, merged.is_changed = first, last, True
        del self.sessions[low:high]
        place = bisect_left(self.sessions, (last, first), key=attrgetter("last", "first"))
        if place < len(self.sessions) and (self.sessions[place].first, self.sessions[place].last) == (first, last):
            self.replaced.append(self.sessions.pop(place))  # the store holds one session with these times
        self.sessions.insert(place, merged)
        return True

    def parts(self) -> Iterable[tuple[int | None, int, int, int | None, int]]:
        """The parts of changed sessions: ``_off``, first and last time, the session's number, and the part's place.

        A part without a session is replaced.
        """
        for number, session in enumerate(self.sessions):
            if session.is_changed:
                for place, part in enumerate(session.parts):
                    yield *part, number, place
        for session in self.replaced:
            for part in session.parts:
                yield *part, None, 0
