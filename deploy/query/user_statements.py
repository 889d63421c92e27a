"""Classifies a statement that a user typed by its first words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise

from sqlglot.tokenizer_core import Token, TokenType

from opensea_metrics.deploy.query.grammar import tokens_of
from opensea_metrics.sql.language.project.variables import pieces


class Action(Enum):
    """What a statement does."""

    PULL = "rows that exist"
    PUSH = "rows as they come"
    PRINT = "records of a topic"
    ASK = "what the server knows"
    SESSION = "a setting of this session"
    CHANGE = "a change of the server"


_ASKING = ("SHOW", "LIST", "DESCRIBE", "EXPLAIN")
_SESSION = ("SET", "UNSET", "DEFINE", "UNDEFINE")
CHANGING = (
    "CREATE", "DROP", "INSERT", "ALTER", "TERMINATE", "PAUSE", "RESUME", "ASSERT",
)  # fmt: skip
STATEMENTS = ("SELECT", "PRINT", *_ASKING, *_SESSION, *CHANGING)
"""The words that a statement can begin with."""
ENDLESS = ("CHANGES", "FINAL")


@dataclass(frozen=True)
class UserStatement:
    """One statement, which ends with a semicolon, and what it does."""

    text: str
    action: Action


def statements_in(text: str) -> Iterator[UserStatement]:
    """The statements of a text, without comments at its end. Raises SqlError for text that cannot be read."""
    for piece in pieces(text):
        tokens = tokens_of(piece.text)
        if tokens:
            statement = piece.text[tokens[0].start : tokens[-1].end + 1]
            yield UserStatement(f"{statement};", _action(tokens))


def _is_endless(tokens: list[Token]) -> bool:
    return any(
        first.text.upper() == "EMIT" and second.text.upper() in ENDLESS
        for first, second in pairwise(tokens)
        if TokenType.STRING not in (first.token_type, second.token_type)
    )


def _action(tokens: list[Token]) -> Action:
    word = tokens[0].text.upper()
    if word == "SELECT":
        return Action.PUSH if _is_endless(tokens) else Action.PULL
    if word == "PRINT":
        return Action.PRINT
    if word in _ASKING:
        return Action.ASK
    # A word that this tool does not know may change something, so it is treated as a change.
    return Action.SESSION if word in _SESSION else Action.CHANGE
