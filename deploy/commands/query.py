"""Queries of a user."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from sqlglot.errors import TokenError
from sqlglot.tokenizer_core import Token, TokenType

from opensea_metrics.core.errors import SqlError
from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.replies import Rows
from opensea_metrics.sql.language.dialect import KsqlDB

_ASKING = ("SHOW", "LIST", "DESCRIBE", "EXPLAIN")


def query(client: KsqlClient, text: str) -> Rows | list[dict[str, Any]]:
    """The rows of a SELECT, or the server's reply to SHOW, LIST, DESCRIBE or EXPLAIN.

    Rows of a push query come as they are made, and are to be closed. Raises SqlError for any other
    statement, or more than one: changes belong into migrations.
    """
    tokens = _tokens(text)
    end = tokens[-1].end + 1 if tokens else 0  # what follows is a comment, perhaps
    statement = f"{text[tokens[0].start : end]};" if tokens else ""
    word = tokens[0].text.upper() if tokens else ""
    if any(token.token_type == TokenType.SEMICOLON for token in tokens):
        raise SqlError("there is more than one statement", hint="run them one after another")
    if word in _ASKING:
        return client.ask(statement)
    if word != "SELECT":
        raise SqlError(
            "a query is a SELECT, SHOW, DESCRIBE or EXPLAIN",
            hint="what changes something goes into a migration",
        )
    if is_push(text):
        return client.select(statement, endless=True)
    return client.pull_rows(statement)


def is_push(text: str) -> bool:
    """True for a query that goes on for ever (or to its LIMIT)."""
    return any(
        first.text.upper() == "EMIT" and second.text.upper() in ("CHANGES", "FINAL")
        for first, second in pairwise(_tokens(text))
        if TokenType.STRING not in (first.token_type, second.token_type)
    )


def _tokens(text: str) -> list[Token]:
    """The tokens of a query, without semicolons at its end. Raises SqlError."""
    try:
        tokens = KsqlDB().tokenize(text)
    except TokenError as error:
        raise SqlError(f"the query cannot be read: {error}") from error
    while tokens and tokens[-1].token_type == TokenType.SEMICOLON:
        tokens.pop()
    return tokens
