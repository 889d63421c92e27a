"""The formats of a query's answer: rows as lines, as one list, or in the older format."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from deploy.embedded.queries import TransientQuery, describe

_DELIMITED = "application/vnd.ksqlapi.delimited.v1"
_OLD = "application/vnd.ksql.v1+json"


@dataclass(frozen=True)
class Frame:
    """What a query's answer looks like: its parts, and what stands around and between them."""

    start: str
    between: str
    end: str
    media_type: str
    header: Callable[[TransientQuery, str], Any]
    row: Callable[[list[Any]], Any]
    last: bool = False
    """Whether the end is told by a message."""


def _header(query: TransientQuery, query_id: str) -> dict[str, Any]:
    return {
        "queryId": query_id,
        "columnNames": [column.name for column in query.columns],
        "columnTypes": [str(column.type) for column in query.columns],
    }


def _old_header(query: TransientQuery, query_id: str) -> dict[str, Any]:
    return {"header": {"queryId": query_id, "schema": describe(query)}}


_LINES = Frame("", "\n", "\n", _DELIMITED, _header, lambda row: row)
_LIST = Frame("[", ",", "]", "application/json", _header, lambda row: row)
_OLD_LIST = Frame(
    "[", ",\n", "]", _OLD, _old_header, lambda row: {"row": {"columns": row}}, last=True
)


def frame(accept: str, is_old: bool) -> Frame:
    """What the Accept header asks for (tests/embedded/replies/queries.yml): without one, or for plain
    JSON, the two endpoints differ."""
    if _OLD in accept:
        return _OLD_LIST
    if "application/json" in accept or not accept:
        return _OLD_LIST if is_old else _LIST if accept else _LINES
    return _LINES
