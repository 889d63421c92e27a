"""The text of records that are not UTF-8, as Jackson reads it.

Jackson (UTF8StreamJsonParser 2.16, observed on a ksqlDB 7.9.1) refuses a byte that no sequence can begin with, and a
sequence that ends too early. It takes sequences of two to four bytes for characters that UTF-8 writes in another
way or not at all.
"""

from __future__ import annotations

import codecs

REFUSED = "\x1a"
"""Stands for a byte that Jackson refuses. No JSON value has this character: after the value it does no harm."""
_JACKSON = "opensea_metrics_jackson"
_FIRST_BYTES = ((2, 0xE0, 0xC0), (3, 0xF0, 0xE0), (4, 0xF8, 0xF0))
"""Of sequences of so many bytes: these bits of the first byte have this value."""


def decoded(data: bytes) -> str:
    """A text in which Jackson sees the same JSON as in some bytes: a byte that it refuses is :data:`REFUSED`, and
    a character that it alone reads is an escape."""
    return data.decode("utf-8", _JACKSON)


def _read_by_jackson(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    data, at = error.object, error.start
    for count, bits, value in _FIRST_BYTES:
        rest = data[at + 1 : at + count]
        if data[at] & bits == value and len(rest) == count - 1 and all(byte & 0xC0 == 0x80 for byte in rest):
            code = data[at] & ~bits
            for byte in rest:
                code = code << 6 | byte & 0x3F
            if count < 4:
                return f"\\u{code:04x}", at + count
            code -= 0x10000
            return f"\\u{0xD800 | code >> 10 & 0xFFFF:04x}\\u{0xDC00 | code & 0x3FF:04x}", at + count
    return REFUSED, at + 1


codecs.register_error(_JACKSON, _read_by_jackson)
