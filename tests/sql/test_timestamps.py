"""Dates and times in texts; tests/embedded/test_coercion.py has those that /inserts-stream takes."""

from __future__ import annotations

import pytest

from opensea_metrics.sql.language.values import timestamps


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970", 0), ("2020-02", 1580515200000), ("2020-02-24", 1582502400000),
        ("2020-02-24T00", 1582502400000), ("2020-02-24T01:02", 1582506120000),
        ("2020-02-24T01:02:03.4", 1582506123400), ("2020-02-24T01:02:03.456Z", 1582506123456),
        ("2020-02-24T00:00:00.000+0100", 1582498800000), ("2020-02-24T00-01:30", 1582507800000),
        ("1969-12-31T23:59:59.999", -1), ("2020-02-30", 1582934400000),
        ("2020-02-24T24", 1582588800000), ("2020-02-24T24:00:00.000", 1582588800000),
    ],
)  # fmt: skip
def test_timestamps(text: str, expected: int) -> None:
    assert timestamps.milliseconds(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "x", "garbage", "2020-13", "2020-02-32", "2020-2-4", "0000", "2020-02T00", "2020-02-24 00:00", "2020-02-24t00",
     "2020-02-24T24:00:00.001", "2020-02-24T00:00:00.0000", "2020-02-24T00+19", "2020-02-24T00+01:60", "2020-02-24T00+",
     "2020-02-24T00Europe/Berlin", "٢٠٢٠", "2020-02-24T00:00:00.000+01000"],
)  # fmt: skip
def test_texts_that_are_no_timestamps(text: str) -> None:
    assert timestamps.milliseconds(text) is None
