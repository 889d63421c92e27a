"""The text of records that are not valid UTF-8, as Jackson reads it.

Jackson (UTF8StreamJsonParser 2.16, observed on ksqlDB 7.9.1) refuses a byte that cannot begin a sequence, and a
sequence that ends too early. It accepts sequences of two to four bytes for characters that UTF-8 writes
differently or not at all.
"""

from __future__ import annotations

import codecs

REFUSED = "\x1a"
"""Stands for a byte that Jackson refuses. No JSON value contains this character. After the value it has no effect."""
_JACKSON = "opensea_metrics_jackson"
_FIRST_BYTES = ((2, 0xE0, 0xC0), (3, 0xF0, 0xE0), (4, 0xF8, 0xF0))
"""For each length of a sequence: a mask for the first byte, and the value of the masked bits."""


def decoded(data: bytes) -> str:
    """A text in which Jackson would read the same JSON as in the bytes. A byte that it refuses becomes :data:`REFUSED`.
    A character that only Jackson accepts becomes an escape."""
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
