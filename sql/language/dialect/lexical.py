"""Quotes and comments of SQL text, in which neither semicolons nor variables count.

A part without its end goes on to the end of the text, so that every character is looked at once only.
"""

from __future__ import annotations

import re
from collections import deque

COMMENT = r"--[^\r\n]*|/\*.*?(?:\*/|\Z)"
"""To be used with re.DOTALL. Comments are not nested (observed on 7.9.1)."""
QUOTED_OR_COMMENT = COMMENT + r"|'[^']*'?|`[^`]*`?|\"[^\"]*\"?"
"""A doubled quote is the end of one quoted part and the start of the next."""
_PART = re.compile(QUOTED_OR_COMMENT, re.DOTALL)


def summary(statement: str) -> str:
    """The first words of a statement, without the brackets, which may contain passwords."""
    words = " ".join(statement.partition("(")[0].split())
    return words if len(words) <= 80 else f"{words[:80]}…"


def with_safe_comments(text: str) -> str:
    """A text for a ksqlDB server, with a space after each ``--`` that ends a line.

    A 7.9.1 takes the end of that line for a part of the comment, so that the next line is one, too
    (docs/ksqldb-facts.md, Comments, variables and settings). Without the space, ``--`` above ``WHERE …``
    would drop the condition.
    """
    if "--\n" not in text and "--\r" not in text:
        return text
    return _PART.sub(lambda part: "-- " if part[0] == "--" else part[0], text)


def first_unclosed(text: str) -> tuple[int, str] | None:
    """Where a quoted part or comment without an end begins, and what would end it; None if there is
    none."""
    for last in deque(_PART.finditer(text), maxlen=1):
        if last.end() < len(text) or last[0].startswith("--"):
            return None
        end = "*/" if last[0].startswith("/*") else last[0][0]
        if not last[0].endswith(end) or len(last[0]) < 2 * len(end):
            return last.start(), end
    return None
