"""Queries of a user."""

from __future__ import annotations

import re
from typing import Any

from deploy.client import KsqlClient
from deploy.replies import Rows
from sql.errors import SqlError


def query(client: KsqlClient, text: str) -> Rows | list[dict[str, Any]]:
    """The rows of a SELECT, or the server's reply to SHOW, LIST, DESCRIBE or EXPLAIN.

    Rows of a push query come as they are made. Raises SqlError for any other statement: changes
    belong into migrations.
    """
    text = text.strip().rstrip(";") + ";"
    word = re.match(r"\w*", text.upper())
    if word and word[0] in ("SHOW", "LIST", "DESCRIBE", "EXPLAIN"):
        return client.ask(text)
    if not word or word[0] != "SELECT":
        raise SqlError(
            "a query is a SELECT, SHOW, DESCRIBE or EXPLAIN",
            hint="what changes something goes into a migration",
        )
    if is_push(text):
        return client.select(text, endless=True)
    return client.pull_rows(text)


def is_push(text: str) -> bool:
    """True for a query that goes on for ever (or to its LIMIT)."""
    return re.search(r"\bEMIT\s+(CHANGES|FINAL)\b", text, re.IGNORECASE) is not None
