"""Functions that parse and format dates and times with a Java pattern, and CONVERT_TZ.

Times are numbers here: a TIMESTAMP is epoch ms, a DATE is days since 1970, and a TIME is ms since midnight.
"""

from __future__ import annotations

from opensea_metrics.sql.language.lowering.rare.java_patterns import formatted
from opensea_metrics.sql.language.lowering.rare.zones import SHORT_NAMES, zone_of
from opensea_metrics.sql.language.values import timestamps
from opensea_metrics.sql.language.values.timestamp_formats import timestamp_format
from opensea_metrics.udfs.api import udf

_DAY = 86_400_000


@udf(name="ksql_format_timestamp")
def format_timestamp(milliseconds: int, pattern: str, zone: str) -> str | None:
    """Format a TIMESTAMP with a pattern, in the local time of a zone. NULL for an unknown zone."""
    try:
        region = zone_of(zone)
    except ValueError:
        return None
    offset = region.offset(milliseconds)
    days, clock = divmod(milliseconds + offset, _DAY)
    return formatted(pattern, days, clock, offset, (zone, region.short_name(milliseconds)))


@udf(name="ksql_format_date")
def format_date(days: int, pattern: str) -> str | None:
    """Format a DATE with a pattern. NULL if the pattern contains fields of a time."""
    return formatted(pattern, days, None)


@udf(name="ksql_format_time")
def format_time(clock: int, pattern: str) -> str | None:
    """Format a TIME with a pattern. NULL if the pattern contains fields of a date."""
    return formatted(pattern, None, clock)


@udf(name="ksql_parse_timestamp")
def parse_timestamp(text: str, pattern: str, zone: str) -> int | None:
    """The TIMESTAMP in a text. NULL if the text does not match the pattern, or the zone is unknown."""
    form = timestamp_format(pattern, zones=True)
    written = form.zone(text)
    try:
        region = zone_of(SHORT_NAMES.get(written.upper(), written) if written else zone)
        return form.milliseconds(text, region.offset_of_local)
    except ValueError:
        return None


@udf(name="ksql_parse_time")
def parse_time(text: str, pattern: str) -> int | None:
    """The TIME in a text, in ms since midnight."""
    fields = timestamp_format(pattern).read(text)
    if fields is None or not fields.keys() & {"hour", "half"}:
        return None
    time = timestamp_format(pattern).milliseconds(text)
    return None if time is None else time % _DAY


@udf(name="ksql_string_to_date")
def string_to_date(text: str, pattern: str) -> int | None:
    """The date in a text, in days since 1970. The text must have a year, month and day."""
    fields = timestamp_format(pattern).read(text)
    if fields is None or not fields.keys() >= {"year", "month", "day"}:
        return None
    time = timestamp_format(pattern).milliseconds(text)
    return None if time is None else time // _DAY


@udf(name="ksql_convert_tz")
def convert_tz(milliseconds: int, given: str, wanted: str) -> int | None:
    """Convert a TIMESTAMP from the local time of one zone to the local time of another."""
    try:
        utc = milliseconds - zone_of(given).offset_of_local(milliseconds)
        return utc + zone_of(wanted).offset(utc)
    except ValueError:
        return None


@udf(name="ksql_date_of_text")
def date_of_text(text: str) -> int | None:
    """CAST of a text as DATE."""
    return timestamps.days(text)


@udf(name="ksql_time_of_text")
def time_of_text(text: str) -> int | None:
    """CAST of a text as TIME."""
    return timestamps.time_of_day(text)


@udf(name="ksql_timestamp_of_text")
def timestamp_of_text(text: str) -> int | None:
    """CAST of a text as TIMESTAMP."""
    return timestamps.milliseconds(text)
