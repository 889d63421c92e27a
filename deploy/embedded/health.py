"""The current failures of the server's parts. Each failure is logged when it begins."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

import duckdb
import structlog

from opensea_metrics.deploy.embedded.storage import StorageError

log = structlog.get_logger()

_LONGEST_PAUSE = 5.0
"""The longest pause, in seconds, before a failed query is tried again."""


class ServerPart(StrEnum):
    """The parts that /healthcheck names, as ksqlDB calls them."""

    DATABASE = "metastore"
    TOPICS = "kafka"
    QUERIES = "commandRunner"


@dataclass(frozen=True)
class _Failure:
    """A query's failure: how many times in a row it has failed, and when it is tried again (monotonic seconds)."""

    part: ServerPart
    message: str
    times: int
    due: float


class Health:
    """The failures of queries and of parts."""

    def __init__(self) -> None:
        self._queries: dict[str, _Failure] = {}
        self._parts: dict[ServerPart, str] = {}

    @property
    def queries(self) -> Mapping[str, str]:
        """The error messages of failing queries, by query id."""
        return {name: failure.message for name, failure in self._queries.copy().items()}

    def faults(self) -> dict[ServerPart, str]:
        """The messages about each failing part. Empty if no part fails."""
        messages: dict[ServerPart, list[str]] = {part: [text] for part, text in self._parts.copy().items()}
        for name, failure in self._queries.copy().items():
            messages.setdefault(failure.part, []).append(f"query {name}: {failure.message}")
        return {part: "; ".join(texts) for part, texts in messages.items()}

    def query_failed(self, query_id: str, error: Exception) -> None:
        """Note that a query failed. It is tried again after a pause that grows with each failure."""
        before = self._queries.get(query_id)
        times = before.times + 1 if before else 1
        pause = min(0.1 * 2**times, _LONGEST_PAUSE)
        failure = _Failure(part_of(error), first_line(error), times, time.monotonic() + pause)
        self._queries[query_id] = failure
        if before is None:
            tell("query failed; the server will try again", query=query_id, error=failure.message)

    def query_works(self, query_id: str) -> None:
        """Note that a query no longer fails."""
        if self._queries.pop(query_id, None):
            tell("query works again", query=query_id)

    def must_wait(self, query_id: str) -> bool:
        """Whether it is too early to try a query again."""
        failure = self._queries.get(query_id)
        return failure is not None and time.monotonic() < failure.due

    def keep_only(self, query_ids: Iterable[str]) -> None:
        """Forget the failures of all other queries."""
        for name in self._queries.keys() - set(query_ids):
            del self._queries[name]

    def set(self, part: ServerPart, message: str | None) -> None:
        """Set the message about a failing part, or None if the part works."""
        before = self._parts.pop(part, None)
        if message is not None:
            self._parts[part] = message
        if message is not None and before is None:
            tell("a part of the server fails; the server will try again", part=part.value, error=message)
        elif message is None and before is not None:
            tell("a part of the server works again", part=part.value)


def part_of(error: Exception) -> ServerPart:
    """The part that caused an error while data was moved."""
    if isinstance(error, OSError):
        return ServerPart.TOPICS
    if isinstance(error, (StorageError, *_DATABASE)) or "No space left" in str(error):
        return ServerPart.DATABASE
    return ServerPart.QUERIES


def is_fatal(error: Exception) -> bool:
    """Whether DuckDB refuses all further work until the database is reopened."""
    return isinstance(error, duckdb.FatalException) or "has been invalidated" in str(error)


def first_line(error: Exception) -> str:
    """An error's message without the SQL that DuckDB adds."""
    return (str(error).splitlines() or [type(error).__name__])[0]


_DATABASE = (
    duckdb.FatalException,
    duckdb.InternalException,
    duckdb.IOException,
    duckdb.TransactionException,
    duckdb.ConnectionException,
)


def tell(event: str, **fields: str) -> None:
    """Log a warning."""
    with suppress(OSError):  # the disk of the log may be full
        log.warning(event, **fields)
