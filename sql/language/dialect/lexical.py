"""Splits SQL text into ksqlDB's tokens, and finds its quotes and comments.

Semicolons and variables have no meaning inside quotes and comments. A quoted part or comment without an end continues
to the end of the text. So each character is read only once.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Collection
from typing import ClassVar

from sqlglot import tokens
from sqlglot.errors import TokenError
from sqlglot.tokenizer_core import Token, TokenType

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


_SQLGLOT = tokens.Tokenizer.KEYWORDS

_OPERATORS = ("<>", "!=", "<=", ">=", ":=", "->", "=>", "||")
_WORDS = (
    "ALL AND AS BETWEEN CASE DISTINCT ELSE END ESCAPE FALSE FROM IN INNER INTERVAL INTO IS JOIN "
    "LEFT LIKE LIMIT NOT NULL ON OR OUTER RIGHT FULL SELECT THEN TRUE VALUES WHEN WHERE WITH "
    "ARRAY MAP STRUCT BOOLEAN INT INTEGER BIGINT DOUBLE DECIMAL VARCHAR STRING DATE TIME TIMESTAMP"
)
_SIGNS = {sign: tokens.Tokenizer.SINGLE_TOKENS[sign] for sign in "+-*/%=<>()[],.;"}
_SIGNS.update({sign: _SQLGLOT[sign] for sign in _OPERATORS})

# The longest match wins, as on 7.9.1: `1e3` is a number, `1e` and `0x1F` are names, `1.5x` is a number and a name.
_TOKEN = re.compile(
    rf"""(?P<layout>[ \t\r\n]+|{COMMENT})
    |(?P<number>(?:[0-9]++\.[0-9]*+|\.[0-9]++)(?:[eE][+-]?[0-9]++)?
      |[0-9]++[eE][+-][0-9]++
      |[0-9]++(?:[eE][0-9]++)?(?![A-Za-z0-9_@]))
    |(?P<word>[A-Za-z0-9_][A-Za-z0-9_@]*+)
    |(?P<text>'[^']*+(?:''[^']*+)*+')
    |(?P<name>`[^`]*+(?:``[^`]*+)*+`|"[^"]*+(?:""[^"]*+)*+")
    |(?P<sign>{"|".join(map(re.escape, sorted(_SIGNS, key=len, reverse=True)))})
    |(?P<unknown>.)""",
    re.DOTALL | re.VERBOSE,
)

_WITH_LINES = ("layout", "text", "name")
"""The groups that may contain line breaks."""


class KsqlDBTokenizer(tokens.Tokenizer):
    """A tokenizer with few keywords, because ksqlDB allows most words as names.

    It does not use sqlglot's scanner. That scanner reads ``1e3-1`` as one number, ``0x1F`` as a number and an alias,
    and ``a$b`` as a name. It also keeps comments.
    """

    QUOTES = ["'"]
    IDENTIFIERS = ["`", '"']
    KEYWORDS: ClassVar[dict[str, TokenType]] = {
        **{word: _SQLGLOT[word] for word in _WORDS.split()},
        "BYTES": TokenType.VARBINARY,
    }
    UNKNOWN = TokenType.BREAK
    """A character that is not part of any ksqlDB token. No rule of the parser accepts a BREAK."""

    def tokenize(self, sql: str) -> list[Token]:
        """The tokens of a text, without comments. Their lines and columns count from 1 and mark where they start.

        Raises TokenError for a quote that is never closed.
        """
        result: list[Token] = []
        line, begins = 1, 0
        keywords = self.KEYWORDS
        for match in _TOKEN.finditer(sql):
            group, (start, end) = match.lastgroup, match.span()
            if group == "word":
                text = match[0]
                upper = text.upper()
                keyword = keywords.get(upper)
                kind, text = (keyword, upper) if keyword else (TokenType.VAR, text)
                result.append(Token(kind, text, line, start - begins + 1, start, end - 1))
                continue
            if group != "layout":
                kind, text = self._read(match)
                result.append(Token(kind, text, line, start - begins + 1, start, end - 1))
            if group in _WITH_LINES and (lines := sql.count("\n", start, end)):
                line += lines
                begins = sql.rindex("\n", start, end) + 1
        return result

    def _read(self, match: re.Match[str]) -> tuple[TokenType, str]:
        """The type of a token and its text, without quotes."""
        text = match[0]
        match match.lastgroup:
            case "number":
                return TokenType.NUMBER, f"0{text}" if text.startswith(".") else text
            case "text":
                return TokenType.STRING, text[1:-1].replace("''", "'")
            case "name":
                return TokenType.IDENTIFIER, text[1:-1].replace(2 * text[0], text[0])
            case "sign":
                return _SIGNS[text], text
            case _ if text in "'`\"":
                raise TokenError(f"{text} is never closed", start=match.start(), end=match.start())
            case _:
                return self.UNKNOWN, text


WORDS = frozenset((TokenType.VAR, *KsqlDBTokenizer.KEYWORDS.values()))
"""Token types of unquoted words."""
