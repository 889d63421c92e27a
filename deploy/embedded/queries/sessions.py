"""Session windows: merges rows into the sessions of an aggregation's state, as Kafka Streams does row by row.

Rows that are neither late nor near sessions that the store no longer holds merge in any order to the same sessions,
so SQL merges them. Other rows are *watched*, with all that may be in one session with them: :class:`_Sessions` takes
them one by one, and decides which rows and sessions form a session. SQL computes the aggregates in both cases.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from operator import itemgetter

import duckdb
import pyarrow as pa

from opensea_metrics.deploy.embedded.queries import changed_rows
from opensea_metrics.deploy.embedded.topics import log_tables
from opensea_metrics.sql.language.catalog.sources import Window
from opensea_metrics.sql.language.lowering.duckdb.groupings import Grouping
from opensea_metrics.sql.language.lowering.duckdb.stream_time import StreamTime

_PARTS = "python_parts"
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
    cursor.execute(f"{_MADE} chosen AS {_chosen(grouping, table)}")
    ((is_any,),) = cursor.execute("SELECT count(*) > 0 FROM chosen").fetchall()
    if not is_any:
        changed_rows.take_out(cursor, grouping, table, touching)
        return 0
    # Sessions that end before _low or begin after _high are near no row.
    cursor.execute(
        f"{_MADE} watched AS SELECT *, row_number() OVER () AS _key FROM (SELECT {keys},"
        f" min(ROWTIME) - {window.size} AS _low, max(ROWTIME) + {window.size} AS _high"
        f" FROM timed LEFT JOIN chosen ON timed._off = chosen._off GROUP BY {keys} HAVING count(chosen._off) > 0)"
    )
    cursor.execute(f"{_MADE} near AS {_near(grouping, table)}")
    cursor.execute(f"{_MADE} watched_rows AS SELECT * EXCLUDE (_are_late) FROM near WHERE NOT _are_late")
    late = log_tables.rows_of(cursor, "near") - log_tables.rows_of(cursor, "watched_rows")
    others = f"SELECT * FROM ({relation}) ANTI JOIN near USING (_off)"
    cursor.execute(f"{_MADE} delta AS {grouping.partial(others, None)}")
    changed_rows.take_out(cursor, grouping, table, touching)
    return late + _merge_watched(cursor, grouping, table, relation)


def _kept(grouping: Grouping) -> int:
    """For how long after its end (ms) a session can be merged. With EMIT FINAL, a session that is closed stays so."""
    window = grouping.analysis.window
    assert window is not None
    return window.size + window.grace if grouping.analysis.emit == "FINAL" else window.kept


def _chosen(grouping: Grouping, table: str) -> str:
    """The ``_off`` of the rows of ``timed`` that SQL cannot merge.

    Such a row may be late, or near a session that the store no longer holds. If the order of merging matters, so may a
    row that is not in the order of time, because it may connect two sessions.
    """
    window = grouping.analysis.window
    assert window is not None
    keys = ", ".join(grouping.group)
    chosen = f"ROWTIME <= _before - {_kept(grouping) - window.size} OR {_may_be_late(window)}"
    if not grouping.is_ordered:
        return f"SELECT _off FROM timed WHERE {chosen}"
    same = " AND ".join(f"old.{key} = timed.{key}" for key in grouping.group)
    before = "ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING"
    earlier = f"max(ROWTIME) OVER (PARTITION BY {keys} ORDER BY _place {before})"
    return (
        f"SELECT _off FROM timed QUALIFY {chosen} OR coalesce(ROWTIME < {earlier}, false) UNION"
        f" SELECT _off FROM timed SEMI JOIN {table} AS old ON {same} AND timed.ROWTIME < old._we"
    )


def _stored(grouping: Grouping, table: str) -> str:
    """The sessions of the state that may be near a row of a watched key: ``old`` and ``watched``, joined."""
    of_key = " AND ".join(f"old.{key} = watched.{key}" for key in grouping.group)
    return f"{table} AS old JOIN watched ON {of_key} AND old._we >= watched._low AND old._ws <= watched._high"


def _may_be_late(window: Window) -> str:
    return f"ROWTIME < _now - {window.grace + window.size}"


def _near(grouping: Grouping, table: str) -> str:
    """The rows of ``timed`` that a chain of rows and stored sessions connects with a chosen row.

    The members of a chain are at most the gap apart. ``_key`` is the number of a row's key. ``_are_late`` is true if
    all members of the chain are late rows, so none of them is near a session.
    """
    window = grouping.analysis.window
    assert window is not None
    of_key = " AND ".join(f"timed.{key} = watched.{key}" for key in grouping.group)
    rows = (
        "SELECT _key, ROWTIME AS _first, ROWTIME AS _last, timed._off, chosen._off IS NOT NULL AS _is_chosen,"
        f" {_may_be_late(window)} AS _is_late, ROWTIME, _before, _now, _place"
        f" FROM timed JOIN watched ON {of_key} LEFT JOIN chosen ON timed._off = chosen._off"
    )
    stored = (
        "SELECT _key, _ws AS _first, _we AS _last, false AS _is_chosen, false AS _is_late"
        f" FROM {_stored(grouping, table)}"
    )
    earlier = "ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING"
    begins = f"_first > max(_last) OVER (PARTITION BY _key ORDER BY _first, _last {earlier}) + {window.size}"
    begun = f"SELECT *, coalesce({begins}, true) AS _begins FROM ({rows} UNION ALL BY NAME {stored})"
    chains = f"SELECT *, sum(_begins::INT) OVER (PARTITION BY _key ORDER BY _first, _last) AS _chain FROM ({begun})"
    of_chain = "OVER (PARTITION BY _key, _chain)"
    flags = f"bool_or(_is_chosen) {of_chain} AS _has_chosen, bool_and(_is_late) {of_chain} AS _are_late"
    columns = "_key, _off, ROWTIME, _before, _now, _place, _are_late"
    return f"SELECT {columns} FROM (SELECT *, {flags} FROM ({chains})) WHERE _has_chosen AND _off IS NOT NULL"


def _merge_watched(cursor: duckdb.DuckDBPyConnection, grouping: Grouping, table: str, relation: str) -> int:
    """Merge the watched rows, and add their sessions to ``changed``. Returns the number of late rows."""
    window = grouping.analysis.window
    assert window is not None
    of_key = " AND ".join(f"old.{key} = watched.{key}" for key in grouping.group)
    stored = _stored(grouping, table)
    by_key = _of_keys(window, _kept(grouping), cursor.execute(f"SELECT _key, _ws, _we FROM {stored}").fetchall())
    late = 0
    watched = cursor.execute("SELECT _key, _off, ROWTIME, _before, _now FROM watched_rows ORDER BY _place").fetchnumpy()
    for key, offset, at, before, now in zip(*(column.tolist() for column in watched.values()), strict=True):
        late += not by_key[key].take(offset, at, before, now)
    cursor.complete()
    cursor.register(_PARTS, _parts(by_key))
    cursor.execute(f"{_MADE} parts AS SELECT * FROM {_PARTS}")
    cursor.unregister(_PARTS)
    taken = f"SELECT * FROM ({relation}) SEMI JOIN parts USING (_off)"
    is_part = "parts._off IS NULL AND parts._key = watched._key AND parts._first = old._ws AND parts._last = old._we"
    rows = f"({grouping.one_by_one(taken)}) AS row JOIN parts USING (_off)"
    stays = "WHERE _session IS NOT NULL"
    of_rows = f"SELECT row.* EXCLUDE (_off), _session, _src FROM {rows} {stays}"
    of_sessions = f"SELECT old.* EXCLUDE (_off), _session, _src FROM {stored} JOIN parts ON {is_part} {stays}"
    cursor.execute(f"INSERT INTO changed BY NAME {grouping.combine(f'{of_rows} UNION ALL BY NAME {of_sessions}')}")
    cursor.execute(f"DELETE FROM {table} AS old USING watched, parts WHERE {of_key} AND {is_part}")
    return late


def _of_keys(window: Window, kept: int, stored: Iterable[tuple[int, int, int]]) -> defaultdict[int, _Sessions]:
    """The sessions of keys. ``stored`` are a key, and the first and last time of one of its sessions."""
    by_key: defaultdict[int, _Sessions] = defaultdict(lambda: _Sessions(window.size, window.grace, kept))
    for key, first, last in sorted(stored, key=itemgetter(0, 2, 1)):
        by_key[key].lasts.append(last)
        by_key[key].sessions.append(_Session(first, [(None, first, last)]))
    return by_key


def _parts(by_key: Mapping[int, _Sessions]) -> pa.Table:
    """The parts of all sessions that have changed: ``_key``, ``_off``, their first and last time, and ``_src``.

    ``_session`` is the number of the session. A part without one is replaced.
    """
    columns: tuple[list[int | None], ...] = ([], [], [], [], [], [])
    for key, of_key in by_key.items():
        changed = [(number, session) for number, session in enumerate(of_key.sessions) if session.is_changed]
        for number, session in [*changed, *((None, session) for session in of_key.replaced)]:
            offsets, firsts, lasts = zip(*session.parts, strict=True)
            count = len(offsets)
            added: tuple[Iterable[int | None], ...]
            added = [key] * count, offsets, firsts, lasts, [number] * count, range(count)
            for column, values in zip(columns, added, strict=True):
                column.extend(values)
    names = ("_key", "_off", "_first", "_last", "_session", "_src")
    return pa.table([pa.array(column, pa.int64()) for column in columns], names)


@dataclass(slots=True)
class _Session:
    """A session from its ``first`` time on, and the rows and sessions in it, in the order of merging.

    A part has the row's ``_off``, or None for a session of the state, and its first and last time.
    """

    first: int
    parts: list[tuple[int | None, int, int]]
    is_changed: bool = False


@dataclass(slots=True)
class _Sessions:
    """The sessions of one key, ordered by their last time, which is in ``lasts``. All times are in ms."""

    gap: int
    grace: int
    kept: int
    lasts: list[int] = field(default_factory=list)
    sessions: list[_Session] = field(default_factory=list)
    replaced: list[_Session] = field(default_factory=list)

    def take(self, offset: int, at: int, before: int, now: int) -> bool:
        """Add a row, unless it is late. ``before`` and ``now`` are the stream time before and after it."""
        sessions, lasts, gap = self.sessions, self.lasts, self.gap
        low = high = bisect_left(lasts, max(at - gap, before - self.kept + 1))
        first = last = at
        while high < len(lasts) and sessions[high].first <= at + gap:
            first, last = min(first, sessions[high].first), max(last, lasts[high])
            high += 1
        if last < now - self.grace - gap:
            return False
        if low == high:
            merged = _Session(first, [])
        else:
            merged = sessions[low]
            for session in sessions[low + 1 : high]:
                merged.parts += session.parts
        merged.parts.append((offset, at, at))
        merged.first, merged.is_changed = first, True
        del sessions[low:high], lasts[low:high]
        place = bisect_left(lasts, last)
        while place < len(lasts) and lasts[place] == last and sessions[place].first < first:
            place += 1
        if place < len(lasts) and (sessions[place].first, lasts[place]) == (first, last):
            self.replaced.append(sessions.pop(place))  # the store holds one session with these times
            del lasts[place]
        sessions.insert(place, merged)
        lasts.insert(place, last)
        return True
