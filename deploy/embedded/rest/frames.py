"""The formats of a query's reply: rows as lines, as one list, or in the older format."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from opensea_metrics.deploy.embedded import wire
from opensea_metrics.deploy.embedded.queries.client_queries import ShownQuery, describe
from opensea_metrics.deploy.embedded.rest.endpoints import DELIMITED, JSON, KSQL


@dataclass(frozen=True)
class Frame:
    """The format of a query's reply: its parts, and the text around each part.

    Each row ends with its newline, so that a client that reads lines gets a row immediately. ``before`` and
    ``after`` surround each row, and ``after`` also follows the header. ``closing`` creates the text of the last
    part, in formats that have one.
    """

    start: str
    before: str
    after: str
    end: str
    media_type: str
    header: Callable[[ShownQuery, str], Any]
    row: Callable[[list[Any]], Any]
    failure: Callable[[Any], Any]
    closing: Callable[[str], Any] | None = None

    def opening(self, query: ShownQuery, query_id: str) -> bytes:
        """The beginning of the reply, with the columns."""
        return self.start.encode() + wire.dump(self.header(query, query_id)) + self.after.encode()

    def rows(self, batch: list[list[Any]]) -> bytes:
        """Some rows, at least one."""
        before, after = self.before.encode(), self.after.encode()
        return before + (after + before).join([wire.dump(self.row(row)) for row in batch]) + after

    def ending(self, why: str) -> bytes:
        """The end of the reply. ``why`` is ksqlDB's sentence that gives the reason."""
        last = b"" if self.closing is None else wire.dump(self.closing(why))
        return last + self.end.encode()

    def failing(self, error: Any) -> bytes:
        """The end of the reply after the query has failed."""
        last = self.before.encode() + wire.dump(self.failure(error))
        return last + (self.end or self.after).encode()


def _header(query: ShownQuery, query_id: str) -> dict[str, Any]:
    return {
        "queryId": query_id,
        "columnNames": [column.name for column in query.columns],
        "columnTypes": [str(column.type) for column in query.columns],
    }


def _old_header(query: ShownQuery, query_id: str) -> dict[str, Any]:
    return {"header": {"queryId": query_id, "schema": describe(query)}}


def _same(value: Any) -> Any:
    return value


_LINES = Frame("", "", "\n", "", DELIMITED, _header, _same, _same)
_LIST = Frame("[", ",", "", "]", JSON, _header, _same, _same)
_OLD_PULL = Frame(
    "[", ",\n", "", "]", KSQL, _old_header,
    row=lambda row: {"row": {"columns": row}},
    failure=lambda error: {"errorMessage": error},
)  # fmt: skip
_OLD_PUSH = replace(
    _OLD_PULL, before="", after=",\n", closing=lambda why: {"finalMessage": why}
)  # a comma can follow every row, because a last part always follows


def frame(accepted: str, is_old: bool, is_transient: bool) -> Frame:
    """The format of a reply of the type ``accepted`` (tests/embedded/replies/queries.yml).

    Without a type, or for plain JSON, the two endpoints differ. ``is_old`` means /query. ``is_transient``: the
    query is not a pull query over a table.
    """
    old = _OLD_PUSH if is_transient else _OLD_PULL
    if accepted == KSQL or (is_old and accepted in (JSON, "")):
        return old
    return _LIST if accepted == JSON else _LINES
