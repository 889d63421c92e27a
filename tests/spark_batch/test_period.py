"""Windows, times and bounds: what is taken, and what is refused with what to give instead."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from opensea_metrics.spark_batch.period import (
    PeriodError,
    WindowChoice,
    choice,
    duration,
    iso,
    parse_time,
    parse_window,
    settle,
)

HOUR = 3_600_000
DAY = 24 * HOUR


def at(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-09-15", "2026-09-15"),
        ("2026-09-15T10:30", "2026-09-15T10:30"),
        ("2026-09-15 10:30:05.250", "2026-09-15T10:30:05.250"),
        ("2026-09-15T10:30:00Z", "2026-09-15T10:30"),
        ("2026-09-15T10:30:00-04:00", "2026-09-15T14:30"),
        (" 2026-09-15T00:00:00+02:00 ", "2026-09-14T22:00"),
    ],
)
def test_times_are_utc_unless_they_say_otherwise(
    text: str, time: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    assert parse_time(text) == at(time)


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "15.09.2026", "1789466400000"])
def test_no_times(text: str) -> None:
    with pytest.raises(PeriodError, match="give a date or time"):
        parse_time(text)


@pytest.mark.parametrize(
    ("time", "text"),
    [
        ("2026-09-15", "2026-09-15T00:00:00Z"),
        ("2026-09-15T10:30:05.250", "2026-09-15T10:30:05.250Z"),
    ],
)
def test_times_as_text(time: str, text: str) -> None:
    assert iso(at(time)) == text


@pytest.mark.parametrize(
    ("text", "label", "size"),
    [
        ("1 hour", "1 HOUR", HOUR),
        ("12 HOURS", "12 HOURS", 12 * HOUR),
        ("1_day", "1 DAY", DAY),
        ("  7   days ", "7 DAYS", 7 * DAY),
        ("2 weeks", "14 DAYS", 14 * DAY),
        ("500 milliseconds", "500 MILLISECONDS", 500),
        ("all time", "ALL TIME", None),
        ("ALL_TIME", "ALL TIME", None),
    ],
)
def test_windows(text: str, label: str, size: int | None) -> None:
    assert parse_window(text, None) == WindowChoice(label, size, size)


def test_nothing_is_a_duration_but_no_window() -> None:
    assert duration("0 hours") == 0
    with pytest.raises(PeriodError, match=r"'0 hours' is not a duration: .* or 'all time'$"):
        parse_window("0 hours", None)
    with pytest.raises(PeriodError, match=r"'0 minutes' is not a duration: .* or '7 days'$"):
        parse_window("1 hour", "0 minutes")


@pytest.mark.parametrize("text", ["", "1", "hour", "0 hours", "-1 day", "1 month", "1.5 hours", "all"])
def test_no_windows(text: str) -> None:
    with pytest.raises(PeriodError, match="is not a duration"):
        parse_window(text, None)


def test_slides() -> None:
    assert parse_window("1 day", "6 hours") == WindowChoice("1 DAY", DAY, 6 * HOUR, "6 HOURS")
    for size, slide in (("1 day", "7 hours"), ("1 hour", "2 hours")):
        with pytest.raises(PeriodError, match="cannot slide by"):
            parse_window(size, slide)
    with pytest.raises(PeriodError, match="omit --slide"):
        parse_window("all time", "1 day")


@pytest.mark.parametrize(
    ("size", "advance", "text"),
    [
        (HOUR, HOUR, "1 HOUR"), (7 * DAY, 7 * DAY, "7 DAYS"), (90_000, 90_000, "90 SECONDS"),
        (DAY, 6 * HOUR, "1 DAY every 6 HOURS"), (1_001, 1_001, "1001 MILLISECONDS"),
    ],
)  # fmt: skip
def test_windows_of_statements(size: int, advance: int, text: str) -> None:
    made = choice(size, advance)
    assert (made.size, made.advance, made.text) == (size, advance, text)
    assert duration(made.label) == size


def settled(*windows: str, first: str | None, end: str | None, trailing: bool = False) -> tuple[str, str]:
    available = at("2026-09-15T03:00"), at("2026-09-17T22:00")
    period = settle(
        [parse_window(window, None) for window in windows],
        at(first) if first else None,
        at(end) if end else None,
        trailing,
        available,
    )
    return iso(period.first)[:16], iso(period.end)[:16]


@pytest.mark.parametrize(
    ("windows", "first", "end", "found"),
    [
        (("1 hour",), None, None, ("2026-09-15T03:00", "2026-09-17T22:00")),
        (("1 day",), None, None, ("2026-09-15T00:00", "2026-09-18T00:00")),
        (("1 hour", "1 day"), None, None, ("2026-09-15T00:00", "2026-09-18T00:00")),
        (("7 days",), None, None, ("2026-09-10T00:00", "2026-09-24T00:00")),
        (("2 hours", "3 hours"), None, None, ("2026-09-15T00:00", "2026-09-18T00:00")),
        (("2 hours", "3 hours"), "2026-09-15T06:00", None, ("2026-09-15T06:00", "2026-09-18T00:00")),
        (("all time",), None, None, ("2026-09-15T03:00", "2026-09-17T22:00")),
        (("all time",), "2026-09-15T03:17", None, ("2026-09-15T03:17", "2026-09-17T22:00")),
        (("1 day", "all time"), None, None, ("2026-09-15T00:00", "2026-09-18T00:00")),
        (("12 hours",), "2026-09-15T12:00", None, ("2026-09-15T12:00", "2026-09-18T00:00")),
        (("12 hours",), None, "2026-09-16", ("2026-09-15T00:00", "2026-09-16T00:00")),
        ((), "2026-09-15T03:17", "2026-09-15T03:18", ("2026-09-15T03:17", "2026-09-15T03:18")),
    ],
)
def test_periods(
    windows: tuple[str, ...], first: str | None, end: str | None, found: tuple[str, str]
) -> None:
    assert settled(*windows, first=first, end=end) == found


@pytest.mark.parametrize(
    ("windows", "first", "end", "found"),
    [
        (("1 day",), None, "2026-09-17T10:30", ("2026-09-14T10:30", "2026-09-17T10:30")),
        (("7 days",), None, "2026-09-17T10:30", ("2026-09-10T10:30", "2026-09-17T10:30")),
        (("7 days", "1 day"), "2026-09-03T10:30", "2026-09-17T10:30", ("2026-09-03T10:30", "2026-09-17T10:30")),
        (("all time",), "2026-09-03", "2026-09-17T10:30", ("2026-09-03T00:00", "2026-09-17T10:30")),
    ],
)  # fmt: skip
def test_trailing_periods(
    windows: tuple[str, ...], first: str | None, end: str, found: tuple[str, str]
) -> None:
    assert settled(*windows, first=first, end=end, trailing=True) == found


@pytest.mark.parametrize(
    ("windows", "first", "end", "messages"),
    [
        (
            ("1 hour",), "2026-09-15T10:30", "2026-09-15T12:00",
            (
                "--from 2026-09-15T10:30:00Z cuts a window of 1 HOUR in two",
                "give 2026-09-15T10:00:00Z or 2026-09-15T11:00:00Z",
            ),
        ),
        (
            ("1 hour", "1 day"), "2026-09-15", "2026-09-15T12:00",
            ("--to 2026-09-15T12:00:00Z cuts a window of 1 DAY", "2026-09-15T00:00:00Z or 2026-09-16T00:00:00Z"),
        ),
        (
            ("7 days",), "2026-09-15", "2026-09-22",
            ("weeks begin on Thursdays", "2026-09-10T00:00:00Z or 2026-09-17T00:00:00Z", "--trailing"),
        ),
        (("1 hour",), "2026-09-15T10:00", "2026-09-15T10:00", ("the period is empty",)),
        (("1 hour",), "2026-09-15T10:00", "2026-09-15T09:00", ("the period is empty",)),
        (("1 hour",), "2026-09-18", None, ("the period is empty",)),
    ],
)  # fmt: skip
def test_bounds_that_cut_windows_are_refused(
    windows: tuple[str, ...], first: str, end: str | None, messages: tuple[str, ...]
) -> None:
    with pytest.raises(PeriodError) as refused:
        settled(*windows, first=first, end=end)
    for message in messages:
        assert message in str(refused.value)


def test_trailing_windows_need_an_end_and_a_whole_number() -> None:
    with pytest.raises(PeriodError, match="--trailing windows end at --to"):
        settled("7 days", first="2026-09-01", end=None, trailing=True)
    with pytest.raises(PeriodError, match="give --from 2026-09-10T00:00:00Z"):
        settled("7 days", first="2026-09-05", end="2026-09-17", trailing=True)
    with pytest.raises(PeriodError, match="give --from 2026-09-10T00:00:00Z"):
        settled("7 days", first="2026-09-12", end="2026-09-17", trailing=True)
