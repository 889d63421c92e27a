"""The event time of lines without a top-level ``event_time``, from the archives of this program's predecessor.

Such lines are the socket's object frames, ``{"topic": …, "event": …, "payload": …, "ref": null}``, including
replies of the socket. The keys can have any order, because Connect's JsonConverter does not keep it. The event time
is that of a live frame (``producer.envelope``): ``payload.payload.event_timestamp``, or else ``payload.sent_at``.
:func:`event_time_sql` is ``envelope.payload_time_ms`` in DuckDB's SQL, and a test compares the two.

:func:`default_for` takes these times from the pass in which DuckDB reads the lines anyway. So they take little time.
"""

from __future__ import annotations

from opensea_metrics.core.types import BIGINT
from opensea_metrics.sql.language.catalog.sources import Source
from opensea_metrics.sql.language.lowering.records.rows import Default
from opensea_metrics.sql.language.lowering.records.spelling import Spelling

STAMP = '{"event_time":'
"""The beginning of each line of our producer."""

_TIME = (
    "([0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9])"
    r"(?:\.([0-9]{1,9}))?(?:Z|([+-])([01][0-9]|2[0-3]):?([0-5][0-9]))?"
)
_USUAL = "(?:19[789][0-9]|[2-9][0-9]{3})-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9][.][0-9]{6}Z"
"""The form that OpenSea sends, from 1970 on."""
_PARTS = "['seconds', 'fraction', 'sign', 'hours', 'minutes']"
_END_MS = 253_402_300_800_000  # year 10000


_TEXTS = {
    "_event_timestamp": (("PAYLOAD", "PAYLOAD"), "event_timestamp"),
    "_sent_at": (("PAYLOAD",), "sent_at"),
}


def default_for(source: Source, names: Spelling) -> Default | None:
    """The event times of lines in the given spelling that do not have one. Lines in another spelling must be stamped.

    None if all lines must be stamped, because the source declares these fields in an unusual way. The relation of lines
    needs ``_timed``, which is false only for lines without the name "event_time".
    """
    default = Default("EVENT_TIME", _TEXTS, _DEFAULT_SQL)
    is_usual = source.timestamp == default.column and source.timestamp_type == BIGINT and names.is_lower
    spelled = {name: names.keys.get(name) for name in ("EVENT_TIME", "PAYLOAD")}
    if not is_usual or any(key != name.lower() for name, key in spelled.items()):
        return None
    return default if default.suits(source, names) else None


def event_time_sql(line: str) -> str:
    """A DuckDB expression for the event time (BIGINT, epoch ms) of a line, which is also one. NULL if it has none."""
    times = (
        f"{_epoch_ms(f'json_extract({line}, {path!r})')}"
        for path in ("$.payload.payload.event_timestamp", "$.payload.sent_at")
    )
    return f"TRY(coalesce({', '.join(times)}))"


def stamped_sql(line: str) -> str:
    """A line in the form of our producer, which begins with the ``event_time``.

    Some lines do not change: those that have an ``event_time`` of any kind, those that are not JSON objects, and
    those whose payload has no time.
    """
    time = event_time_sql(line)
    lacking = f"TRY(json_type({line}) = 'OBJECT' AND json_type({line}, '$.event_time') IS NULL)"
    stamped = (
        f"""'{STAMP}' || {time} || ',' || substr({line}, strpos({line}, '{{') + 1)"""
    )
    return (
        f"CASE WHEN starts_with({line}, '{STAMP}') THEN {line} "
        f"WHEN {lacking} THEN coalesce({stamped}, {line}) ELSE {line} END"
    )


def _epoch_ms(json: str) -> str:
    """``producer.event_time.epoch_ms`` of a JSON value. NULL unless the value is a text that is a time."""
    text = f"CASE WHEN json_type({json}) = 'VARCHAR' THEN json_extract_string({json}, '$') END"
    # regexp_extract returns empty texts for groups that did not match, and if there is no match at all.
    return (
        f"list_transform([{text}], lambda t: list_transform("
        f"[regexp_extract(CASE WHEN regexp_full_match(t, '{_TIME}') THEN t END, '^{_TIME}$', {_PARTS})],"
        f" lambda p: {_MS})[1])[1]"
    )


_MS = (
    "list_filter([epoch_ms(TRY_CAST(replace(p.seconds, 'T', ' ') AS TIMESTAMP))"
    " - CASE WHEN p.sign = '' THEN 0"
    "   ELSE (p.sign || '1')::BIGINT * (p.hours::BIGINT * 60 + p.minutes::BIGINT) * 60000 END"
    " + rpad(left(p.fraction, 3), 3, '0')::BIGINT],"
    f" lambda ms: ms >= 0 AND ms < {_END_MS})[1]"
)


def _usual_ms(text: str) -> str:
    """``producer.event_time.epoch_ms`` of a text of the usual form, in a tenth of the time. NULL for any other text."""
    return f"CASE WHEN regexp_full_match({text}, '{_USUAL}') THEN epoch_ms(TRY_CAST({text} AS TIMESTAMP)) END"


# A search for the name alone is faster, and fastest in the text of many lines (``producer.archive.lines``). But a field
# in the payload may have the name.
_LACKING = (
    """CASE WHEN _timed AND contains(line, '"event_time"') THEN TRY(json_type(line, '$.event_time')) IS NULL"""
    " ELSE true END"
)
_DEFAULT_SQL = (
    f"CASE WHEN {_LACKING} THEN coalesce({_usual_ms('_event_timestamp')},"
    f" CASE WHEN _event_timestamp IS NULL THEN {_usual_ms('_sent_at')} END, {event_time_sql('line')}) END"
)
