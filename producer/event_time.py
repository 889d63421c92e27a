"""The texts of event times as epoch milliseconds."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

_TIME = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9])"
    r"(?:\.([0-9]{1,9}))?(Z|[+-](?:[01][0-9]|2[0-3]):?[0-5][0-9])?"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
END_MS = 253_402_300_800_000
"""Year 10000, which does not fit into archive paths."""


def epoch_ms(text: str | None) -> int | None:
    """Epoch milliseconds of an ISO-8601 time. Further digits are cut off. A time without offset is UTC.

    None for text that is not such a time, and for times before 1970 (Kafka has no negative timestamps)
    or after 9999.
    """
    if not text:
        return None
    if len(text) == 27 and text[4] == text[7] == "-" and text[10::16] == "TZ" and text[19] == ".":
        if text[11:13] == "24":  # midnight at the end of a day, which only newer Pythons accept
            return None
        try:  # the form that OpenSea sends; this is three times as fast
            time = (datetime.fromisoformat(text) - _EPOCH) // _MS
        except ValueError:
            return None
        return time if 0 <= time < END_MS else None
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    seconds, fraction, zone = match.groups()
    whole = _epoch_seconds(seconds, zone)
    if whole is None:
        return None
    time = whole * 1000 + (int(fraction[:3].ljust(3, "0")) if fraction else 0)
    return time if 0 <= time < END_MS else None


@lru_cache(maxsize=4096)  # events of the same second arrive close together
def _epoch_seconds(seconds: str, zone: str | None) -> int | None:
    try:
        moment = datetime.fromisoformat(seconds + (zone or "Z"))
    except ValueError:
        return None
    return (moment - _EPOCH) // timedelta(seconds=1)
