"""Text functions: INITCAP, INSTR, CHR, SPLIT_TO_MAP, the MASK family, and functions that need Python for some texts."""

from __future__ import annotations

import re

from opensea_metrics.sql.language.lowering.rare.utf16 import joined, units
from opensea_metrics.udfs.api import udf

_WORD = re.compile(r"[^ \t\n\x0b\f\r]+")
_ESCAPE = re.compile(r"\\u+\+?([0-9a-fA-F]{4})|\\([bfnrt])|\\(.)", re.DOTALL)
_CONTROLS = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


@udf(name="ksql_initcap")
def initcap(text: str) -> str:
    """Each word starts with a capital letter; its other letters are lower case."""

    def word(match: re.Match[str]) -> str:
        first, rest = match[0][0], match[0][1:]
        # Java capitalizes one UTF-16 unit, and half a surrogate pair has no capital.
        return (first if first > "\uffff" else first.upper()) + rest.lower()

    return _WORD.sub(word, text)


@udf(name="ksql_instr")
def instr(text: str | None, part: str | None, position: int | None, occurrence: int | None) -> int | None:
    """The position of a part at or after a start position; 0 if there is none. A negative start counts from the end."""
    if text is None or part is None or position is None or occurrence is None:
        return 0 if text is None or part is None else None
    text, part = units(text), units(part)
    if position == 0 or occurrence < 1 or not text:
        return 0
    if position > 0:
        at = position - 2
        for _ in range(occurrence):
            at = text.find(part, at + 1)
            if at < 0:
                return 0
        return at + 1
    at = len(text) + position + 1
    for _ in range(occurrence):
        at = text.rfind(part, 0, max(0, at - 1) + len(part)) if at > 0 else -1
        if at < 0:
            return 0
    return at + 1


@udf(name="ksql_upper")
def upper(text: str) -> str:
    """A text in upper case. One letter may become several: ß becomes SS."""
    return text.upper()


@udf(name="ksql_lower")
def lower(text: str) -> str:
    """A text in lower case. A sigma at the end of a word has its own form."""
    return text.lower()


@udf(name="ksql_substring")
def substring(text: str, position: int, length: int) -> str:
    """The characters starting at a position. Position 0 counts as 1, and a negative position counts from the end."""
    given = units(text)
    start = position - 1 if position > 0 else 0 if position == 0 else max(0, len(given) + position)
    return joined(given[start : start + max(0, length)])


def _padding(size: int, padding: str) -> str:
    return (padding * (size // len(padding) + 1))[: max(0, size)]


@udf(name="ksql_lpad")
def lpad(text: str, length: int, padding: str) -> str | None:
    """A text cut to a length, or padded on the left. NULL without padding, and for a negative length."""
    given, pad = units(text), units(padding)
    return joined((_padding(length - len(given), pad) + given)[:length]) if pad and length >= 0 else None


@udf(name="ksql_rpad")
def rpad(text: str, length: int, padding: str) -> str | None:
    """A text cut to a length, or padded on the right. NULL without padding, and for a negative length."""
    given, pad = units(text), units(padding)
    return joined((given + _padding(length - len(given), pad))[:length]) if pad and length >= 0 else None


@udf(name="ksql_split")
def split(text: str, separator: str) -> list[str]:
    """The parts of a text between separators. An empty separator splits the text into characters."""
    if separator:
        return text.split(separator)
    return [joined(unit) for unit in units(text)] or [""]


@udf(name="ksql_replace")
def replace(text: str, part: str, other: str) -> str:
    """A text with each occurrence of a part replaced. An empty part occurs between all characters."""
    if part:
        return text.replace(part, other)
    return joined(other + "".join(unit + other for unit in units(text)))


@udf(name="ksql_chr_of_text")
def chr_of_text(text: str) -> str | None:
    r"""The characters that an escape such as ``\u0041`` stands for; NULL for any other text."""
    if not text.startswith("\\u"):
        return None

    def character(match: re.Match[str]) -> str:
        if match[1]:
            return chr(int(match[1], 16))
        return _CONTROLS[match[2]] if match[2] else match[3]

    return joined(_ESCAPE.sub(character, text))


@udf(name="ksql_split_to_map")
def split_to_map(text: str, between_entries: str, between_key_and_value: str) -> dict[str, str] | None:
    """The entries of a text such as ``a=1;b=2``. If a key occurs several times, the last entry counts."""
    if not between_entries or not between_key_and_value:
        return None
    pairs = (entry.split(between_key_and_value) for entry in text.split(between_entries) if entry)
    return {pair[0]: pair[1] for pair in pairs if len(pair) > 1}


def _masked(text: str, upper: str | None, lower: str | None, digit: str | None, other: str | None) -> str:
    if any(mask is not None and len(mask) != 1 for mask in (upper, lower, digit, other)):
        raise ValueError("a mask is one character")
    masked = []
    for character in text:
        if character.isupper():
            mask = upper
        elif character.islower():
            mask = lower
        elif character.isdecimal():
            mask = digit
        else:
            mask = other
        masked.append(character if mask is None else mask)
    return "".join(masked)


def _count(count: int) -> int:
    if count < 0:
        raise ValueError("the number of characters is negative")
    return count


@udf(name="ksql_mask")
def mask(text: str, upper: str | None, lower: str | None, digit: str | None, other: str | None) -> str:
    """A text with each character replaced by the mask of its class. A NULL mask keeps the characters of its class."""
    return joined(_masked(units(text), upper, lower, digit, other))


@udf(name="ksql_mask_left")
def mask_left(
    text: str, count: int, upper: str | None, lower: str | None, digit: str | None, other: str | None
) -> str:
    """The first ``count`` characters masked."""
    text, count = units(text), _count(count)
    return joined(_masked(text[:count], upper, lower, digit, other) + text[count:])


@udf(name="ksql_mask_right")
def mask_right(
    text: str, count: int, upper: str | None, lower: str | None, digit: str | None, other: str | None
) -> str:
    """The last ``count`` characters masked."""
    text = units(text)
    start = max(0, len(text) - _count(count))
    return joined(text[:start] + _masked(text[start:], upper, lower, digit, other))


@udf(name="ksql_mask_keep_left")
def mask_keep_left(
    text: str, count: int, upper: str | None, lower: str | None, digit: str | None, other: str | None
) -> str:
    """All characters masked, except the first ``count``."""
    text, count = units(text), _count(count)
    return joined(text[:count] + _masked(text[count:], upper, lower, digit, other))


@udf(name="ksql_mask_keep_right")
def mask_keep_right(
    text: str, count: int, upper: str | None, lower: str | None, digit: str | None, other: str | None
) -> str:
    """All characters masked, except the last ``count``."""
    text = units(text)
    start = max(0, len(text) - _count(count))
    return joined(_masked(text[:start], upper, lower, digit, other) + text[start:])
