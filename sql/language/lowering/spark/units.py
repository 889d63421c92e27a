"""Functions that count the characters of a text, as templates in Spark's SQL (:mod:`sql.language.lowering.scalars`).

Java counts UTF-16 units. A character beyond U+FFFF counts twice, because it is a surrogate pair. Spark counts
characters. For a text with pairs, the templates use the bytes of its UTF-16 encoding. DuckDB calls Python for such
texts (``rare/table.py``).
"""

from __future__ import annotations

_BYTES, _PADDING = "encode({0}, 'UTF-16BE')", "encode({2}, 'UTF-16BE')"
_LENGTH = f"(octet_length({_BYTES}) DIV 2)"


def _has_pairs(text: str) -> str:
    return f"(octet_length({text}) > char_length({text}) AND {text} RLIKE '[\\\\x{{{{10000}}}}-\\\\x{{{{10FFFF}}}}]')"


def _text(units: str) -> str:
    """Bytes as text. Half a pair becomes a question mark, as in Java."""
    return f"replace(decode({units}, 'UTF-16BE'), '\ufffd', '?')"


def _start(length: str) -> str:
    """The first character of SUBSTRING: position 0 counts as 1, and a negative position counts from the end."""
    return (
        "CASE WHEN {1} > 0 THEN {1} WHEN {1} = 0 THEN 1"
        f" WHEN {length} + {{1}} >= 0 THEN {length} + {{1}} + 1 WHEN {{1}} < 0 THEN 1 END"
    )


def _substring(of_pairs: str, usual: str) -> str:
    units = _text(f"substring({_BYTES}, 2 * ({_start(_LENGTH)}) - 1{of_pairs})")
    return f"CASE WHEN {_has_pairs('{0}')} THEN {units} ELSE substring({{0}}, {_start('char_length({0})')}{usual}) END"


def _padded(function: str, of_pairs: str) -> str:
    any_pairs = f"{_has_pairs('{0}')} OR {_has_pairs('{2}')}"
    usual = f"CASE WHEN {any_pairs} THEN {of_pairs} ELSE {function}({{0}}, {{1}}, {{2}}) END"
    return f"CASE WHEN {{2}} <> '' AND {{1}} >= 0 THEN {usual} END"


# The padding may end with half a surrogate pair. Java would not decode that half together with the text after it.
_LEFT = _text(f"lpad(unhex(''), 2 * ({{1}} - {_LENGTH}), {_PADDING})")
_CUT = _text(f"substring({_BYTES}, 1, 2 * {{1}})")
_AT = "instr({0}, {1})"
_UNITS_BEFORE = f"octet_length(encode(left({{0}}, {_AT} - 1), 'UTF-16BE')) DIV 2"

CHARACTERS = (
    f"CASE WHEN {_has_pairs('{0}')} THEN transform(sequence(1, {_LENGTH}),"
    f" _i -> {_text(f'substring({_BYTES}, CAST(2 * _i - 1 AS INT), 2)')}) ELSE split({{0}}, '') END"
)
"""The characters of a text as an ARRAY."""
INSTR = (
    f"CASE WHEN {{0}} = '' THEN 0 WHEN {_has_pairs('{0}')} AND {_AT} > 0 THEN CAST({_UNITS_BEFORE} + 1 AS INT)"
    f" ELSE {_AT} END"
)
LPAD = _padded("lpad", f"CASE WHEN {{1}} > {_LENGTH} THEN concat({_LEFT}, {{0}}) ELSE {_CUT} END")
RPAD = _padded("rpad", _text(f"rpad({_BYTES}, 2 * {{1}}, {_PADDING})"))
SUBSTRING = _substring("", "")
SUBSTRING_OF_LENGTH = _substring(", 2 * greatest(0, {2})", ", CASE WHEN {2} > 0 THEN {2} WHEN {2} <= 0 THEN 0 END")
