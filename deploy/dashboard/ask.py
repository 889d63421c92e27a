"""The query box: one statement that only reads, and its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from opensea_metrics.core.errors import SqlError
from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.output.rows import NOISE
from opensea_metrics.deploy.query import answer
from opensea_metrics.deploy.query.moments import time_columns
from opensea_metrics.deploy.query.user_statements import Action, statements_in
from opensea_metrics.deploy.serving_names import reading

MOST_ROWS = 10_000
"""The greatest number of rows of a query. More are an error, because a part would look like the whole."""


@dataclass(frozen=True)
class Reply:
    """Rows with their columns. ``times`` are the columns that hold epoch ms.

    ``note`` says what this tool computed itself.
    """

    columns: tuple[tuple[str, str], ...]
    rows: list[Sequence[Any]]
    times: tuple[str, ...] = ()
    note: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The reply for a page."""
        return {"columns": self.columns, "rows": self.rows, "times": self.times, "note": self.note}


def ask(client: KsqlClient, text: str) -> Reply:
    """The reply to one statement that reads and ends: SELECT, SHOW, LIST, DESCRIBE or EXPLAIN.

    Raises SqlError for other statements and for more than MOST_ROWS rows. Also raises TooManyRows and ClientError.
    """
    statements = list(statements_in(text))
    if len(statements) != 1:
        raise SqlError(f"this box runs one statement at a time, not {len(statements)}")
    (statement,) = statements
    if statement.action is Action.ASK:
        return reading(client, statement.text, lambda text: _reply_of(client.ask(text)))
    if statement.action is Action.PUSH:
        raise SqlError(
            "this box cannot run an endless query", hint="remove EMIT CHANGES, or run it with opensea-metrics query"
        )
    if statement.action is not Action.PULL:
        raise SqlError("this box only reads: SELECT, SHOW, DESCRIBE or EXPLAIN", hint="write a migration for changes")
    return reading(client, statement.text, lambda text: _rows_of(client, text))


def _rows_of(client: KsqlClient, text: str) -> Reply:
    answered = answer(client, text, MOST_ROWS)
    rows = list(islice(answered.rows.values, MOST_ROWS + 1))
    if len(rows) > MOST_ROWS:
        raise SqlError(
            f"the query has more than {MOST_ROWS:,} rows",
            hint="add a condition such as WHERE WINDOWSTART >= '2026-09-15T10:00:00', or a LIMIT",
        )
    columns = answered.rows.columns
    times = time_columns(client, text, columns)
    shown = tuple(column.name for column in columns if column.name in times)
    return Reply(tuple((column.name, column.type) for column in columns), rows, shown, answered.note)


def _reply_of(entities: Sequence[Mapping[str, Any]]) -> Reply:
    """A reply that consists of lists, as rows. A description becomes one row per column or value."""
    entity = entities[0] if entities else {}
    kind = entity.get("@type")
    body = entity[kind] if kind in ("sourceDescription", "queryDescription") else entity
    lists = {name: value for name, value in body.items() if isinstance(value, list) and name not in NOISE}
    name = "fields" if "fields" in lists else max(lists, key=lambda key: len(lists[key]), default="")
    items = lists.get(name) or []
    if not all(isinstance(item, dict) for item in items) or not name:
        items = [{"name": key, "value": value} for key, value in body.items() if key not in NOISE]
    names = [key for key in dict.fromkeys(key for item in items for key in item) if key not in NOISE]
    return Reply(tuple((key, "STRING") for key in names), [[item.get(key) for key in names] for item in items])
