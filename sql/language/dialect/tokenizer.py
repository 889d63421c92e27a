"""Splits SQL text into ksqlDB's tokens."""

from __future__ import annotations

import re
from typing import ClassVar

from sqlglot import tokens
from sqlglot.errors import TokenError
from sqlglot.tokenizer_core import Token, TokenType

from opensea_metrics.sql.language.dialect.lexical import COMMENT

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
    |(?P<text>'(?:[^']|'')*+')
    |(?P<name>`(?:[^`]|``)*+`|"(?:[^"]|"")*+")
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
        for match in _TOKEN.finditer(sql):
            group, (start, end) = match.lastgroup, match.span()
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
            case "word":
                keyword = self.KEYWORDS.get(text.upper())
                return (keyword, text.upper()) if keyword else (TokenType.VAR, text)
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
