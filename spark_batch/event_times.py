"""LineBlock without a top-level ``event_time``: those of the predecessor's archives.

They are the socket's object frames, ``{"topic": …, "event": …, "payload": …, "ref": null}`` with the keys
in any order (Connect's JsonConverter keeps none), replies of the socket among them. Their event time
is that of a live frame (``producer.envelope``): ``payload.payload.event_timestamp``, else
``payload.sent_at``. :func:`event_time_sql` is ``payload_time_ms`` in DuckDB's SQL; a test holds them
together.
"""

from __future__ import annotations

from opensea_metrics.producer.envelope import payload_time_ms

__all__ = ["STAMP", "event_time_sql", "payload_time_ms", "stamped_sql"]

STAMP = '{"event_time":'
"""What a line of our producer begins with."""

_TIME = (
    "([0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9])"
    r"(?:\.([0-9]{1,9}))?(?:Z|([+-])([01][0-9]|2[0-3]):?([0-5][0-9]))?"
)
_PARTS = "['seconds', 'fraction', 'sign', 'hours', 'minutes']"
_END_MS = 253_402_300_800_000  # year 10000


def event_time_sql(line: str) -> str:
    """The event time (BIGINT, epoch ms) of a line, given as an expression of DuckDB; NULL if none."""
    times = (
        f"{_epoch_ms(f'json_extract({line}, {path!r})')}"
        for path in ("$.payload.payload.event_timestamp", "$.payload.sent_at")
    )
    return f"TRY(coalesce({', '.join(times)}))"


def stamped_sql(line: str) -> str:
    """A line as our producer would have written it: with its ``event_time`` in front.

    LineBlock that have one already (whatever it is), that are no JSON objects, or whose payload tells no
    time stay as they are.
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
    """``producer.envelope.epoch_ms`` of a JSON value: NULL for what is no text with a time in it."""
    text = f"CASE WHEN json_type({json}) = 'VARCHAR' THEN json_extract_string({json}, '$') END"
    # regexp_extract gives empty texts for groups that are not there, and for no match at all.
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
