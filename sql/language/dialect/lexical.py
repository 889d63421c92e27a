"""Quotes and comments in SQL text. Semicolons and variables have no meaning inside them.

A quoted part or comment without an end continues to the end of the text. So each character is read only once.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Collection

COMMENT = r"--[^\r\n]*|/\*.*?(?:\*/|\Z)"
"""Use this with re.DOTALL. Comments are not nested (observed on 7.9.1)."""
QUOTED_OR_COMMENT = COMMENT + r"|'[^']*'?|`[^`]*`?|\"[^\"]*\"?"
"""A doubled quote ends one quoted part and starts the next."""
_PART = re.compile(QUOTED_OR_COMMENT, re.DOTALL)
_LINE = re.compile(r"\n[ \t\r]*([A-Za-z]+)(?=\s)")


def summary(statement: str) -> str:
    """The first words of a statement, up to the brackets, because the brackets may contain passwords."""
    words = " ".join(statement.partition("(")[0].split())
    return words if len(words) <= 80 else f"{words[:80]}…"


def with_safe_comments(text: str) -> str:
    """Put a space after each ``--`` that ends a line, for a ksqlDB server.

    ksqlDB 7.9.1 reads the line break after ``--`` as part of the comment, so the next line becomes a comment too
    (docs/ksqldb-facts.md, Comments, variables and settings). Without the space, a ``--`` above ``WHERE …``
    would drop the condition.
    """
    if "--\n" not in text and "--\r" not in text:
        return text
    return _PART.sub(lambda part: "-- " if part[0] == "--" else part[0], text)


def first_unclosed(text: str) -> tuple[int, str] | None:
    """The offset of the first quoted part or comment without an end, and the characters that would end it. None if
    there is none."""
    for last in deque(_PART.finditer(text), maxlen=1):
        if last.end() < len(text) or last[0].startswith("--"):
            return None
        end = "*/" if last[0].startswith("/*") else last[0][0]
        if not last[0].endswith(end) or len(last[0]) < 2 * len(end):
            return last.start(), end
    return None


def first_suspect(text: str, quote: str, first_words: Collection[str]) -> int | None:
    """The offset of the first quoted part that a forgotten quote has probably made too long.

    In it, a line begins with a word of ``first_words``, with which statements begin. None if there is none.
    """
    for part in _PART.finditer(text):
        if part[0][0] == quote and next_statement(part[0], 1, first_words) is not None:
            return part.start()
    return None


def next_statement(text: str, offset: int, first_words: Collection[str]) -> int | None:
    """The offset of the first line after ``offset`` that begins with one of ``first_words``. None if there is none."""
    for line in _LINE.finditer(text, offset):
        if line[1].upper() in first_words:
            return line.start(1)
    return None
