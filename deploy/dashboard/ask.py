"""The query box: one statement that only reads, and its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from opensea_metrics.core.errors import SqlError
from opensea_metrics.deploy import commands
from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.output.rows import NOISE
from opensea_metrics.deploy.replies import Rows

MOST_ROWS = 10_000
"""The greatest number of rows of a query. More are an error, because a part would look like the whole."""
_TIMES = ("WINDOWSTART", "WINDOWEND", "ROWTIME", "WS", "WE", "TIMESTAMP")


@dataclass(frozen=True)
class Reply:
    """Rows with their columns. ``times`` are the columns that hold epoch ms."""

    columns: tuple[tuple[str, str], ...]
    rows: list[Sequence[Any]]

    def as_json(self) -> dict[str, Any]:
        """The reply for a page."""
        times = [name for name, kind in self.columns if kind == "BIGINT" and name in _TIMES]
        return {"columns": self.columns, "rows": self.rows, "times": times}


def ask(client: KsqlClient, text: str) -> Reply:
    """The reply to a SELECT, SHOW, LIST, DESCRIBE or EXPLAIN.

    Raises SqlError for anything else and for more than MOST_ROWS rows, and ClientError.
    """
    if commands.is_push(text):
        raise SqlError(
            "this box answers queries that end", hint="remove EMIT CHANGES, or run it with opensea-metrics query"
        )
    answer = commands.query(client, text)
    if not isinstance(answer, Rows):
        return _reply_of(answer)
    rows = list(islice(answer.values, MOST_ROWS + 1))
    if len(rows) > MOST_ROWS:
        raise SqlError(
            f"the query has more than {MOST_ROWS:,} rows",
            hint="add a condition such as WHERE WINDOWSTART >= '2026-09-15T10:00:00', or a LIMIT",
        )
    return Reply(tuple((column.name, column.type) for column in answer.columns), rows)


def _reply_of(entities: Sequence[Mapping[str, Any]]) -> Reply:
    """A reply of lists as rows; a description as the rows of its columns or its values."""
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
