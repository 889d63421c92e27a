"""ksqlDB's tokens."""

from __future__ import annotations

from sqlglot import tokens
from sqlglot.tokenizer_core import TokenType

_SQLGLOT = tokens.Tokenizer.KEYWORDS

_OPERATORS = ("<>", "!=", "<=", ">=", ":=", "->", "=>", "||")
_WORDS = (
    "ALL AND AS BETWEEN CASE DISTINCT ELSE END ESCAPE FALSE FROM IN INNER INTERVAL INTO IS JOIN "
    "LEFT LIKE LIMIT NOT NULL ON OR OUTER RIGHT FULL SELECT THEN TRUE VALUES WHEN WHERE WITH "
    "ARRAY MAP STRUCT BOOLEAN INT INTEGER BIGINT DOUBLE DECIMAL VARCHAR STRING DATE TIME TIMESTAMP"
)


class KsqlDBTokenizer(tokens.Tokenizer):
    """Few keywords: everything else is a name, as ksqlDB allows most words as names."""

    IDENTIFIERS = ["`", '"']
    QUOTES = ["'"]
    STRING_ESCAPES = ["'"]
    COMMENTS = ["--", ("/*", "*/")]
    NESTED_COMMENTS = False
    COMMANDS = set()
    KEYWORDS = {
        **{word: _SQLGLOT[word] for word in _OPERATORS + tuple(_WORDS.split())},
        "BYTES": TokenType.VARBINARY,
    }
