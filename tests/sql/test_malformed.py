"""Text that DuckDB takes for JSON and ksqlDB does not, and text that is not UTF-8."""

from __future__ import annotations

import random
import re

import numpy as np
import pyarrow as pa
import pytest

from opensea_metrics.sql.language.lowering.records import malformed, utf8
from opensea_metrics.sql.language.lowering.records.capitals import BLOCK, Capitals

WRONG = ('{"a":1,}', '{"a":[1,]}', '{"a":1 ,\t \r}', '{"a":1,' + 200 * " " + "}", '{"a":NaN}', '{"a":[1, -NaN]}')
RIGHT = ('{"a":1}', "{}", "", '{"a":[1, 2, {"b": 1 }], "c":"N.N Infinite na"}', ",", "]", "}")


@pytest.mark.parametrize("names", [(), ("a", "b")])
@pytest.mark.parametrize("before", [0, 1, 63, 64, BLOCK - 5, BLOCK + 5])
def test_each_line_with_such_text_is_found(names: tuple[str, ...], before: int) -> None:
    lines = [" " * before, *(line for pair in zip(WRONG, (*RIGHT, "x"), strict=False) for line in pair)]
    made = Capitals(names).of(pa.array([line + "\n" for line in lines], pa.large_string()))
    assert [line for line, is_found in zip(lines, made, strict=True) if is_found] == list(WRONG)


def test_what_the_pattern_is_in_is_found() -> None:
    maker = random.Random(20)
    pattern = re.compile(malformed.PATTERN)
    for _ in range(3_000):
        text = "".join(maker.choices([",", "}", "]", " ", "\t", "\r", ":", "NaN", "N", "a", "$", '"'], k=8))
        places = malformed.places(np.frombuffer(text.encode(), np.uint8))
        assert (len(places) > 0) is bool(pattern.search(text)), text


def test_many_blanks_before_a_bracket_do_not_take_long_to_look_at() -> None:
    text = np.frombuffer(b'{"a":1' + b" " * 1_000_000 + b"}", np.uint8)
    assert len(malformed.places(text)) == 1


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"plain", "plain"),
        ("é😀".encode(), "é😀"),
        (b"a\xffb", "a\x1ab"),
        (b"\x80\x80", "\x1a\x1a"),
        (b"\xc3", "\x1a"),
        (b"\xe2\x82\n\xf0\x9f", "\x1a\x1a\n\x1a\x1a"),
        (b"\xc0\x80", r"\u0000"),
        (b"\xe0\x80\xaf", r"\u002f"),
        (b"\xed\xa0\xbd\xed\xb8\x80", r"\ud83d\ude00"),
        (b"\xf4\x90\x80\x80", r"\udc00\udc00"),
        (b"\xf5\x80\x80\x80", r"\udcc0\udc00"),
        (b"\xf0\x80\x80\xaf", r"\uffc0\udc2f"),
        (b"\xf8\x88\x80\x80\x80", "\x1a" * 5),
    ],
)
def test_bytes_that_are_not_utf_8_are_as_jackson_reads_them(data: bytes, text: str) -> None:
    assert utf8.decoded(data) == text
