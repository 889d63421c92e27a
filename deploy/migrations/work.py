"""What carrying out a plan needs, and the news of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.migrations.store import Store
from opensea_metrics.deploy.migrations.topics import DeleteByBroker


@dataclass(frozen=True)
class Progress:
    """News of a run: a step begins (``seconds`` None), or has ended after ``seconds``."""

    version: int
    name: str
    number: int
    total: int
    what: str
    seconds: float | None = None


@dataclass(frozen=True)
class Catching:
    """News of a query that reads what its sources hold: ``consumed`` of ``end`` records."""

    query_id: str
    consumed: int
    end: int


Report = Callable[[Progress | Catching], None]


def ignore(_: Progress | Catching) -> None:
    """The report of those who do not want one."""


@dataclass(frozen=True)
class Work:
    """A server under the lock: ``client`` is refused by it once the lock is lost.

    ``who`` is recorded with each statement, ``functions`` (user-defined ones, by name, with the
    checksums of their sources) with those that call them. ``timeout``: seconds in which a query has
    to catch up.
    """

    client: KsqlClient
    store: Store
    report: Report = ignore
    who: str = ""
    functions: Mapping[str, str] = field(default_factory=dict)
    delete_by_broker: DeleteByBroker | None = None
    timeout: float = 3600.0


def now() -> int:
    """Milliseconds since 1970."""
    return int(time.time() * 1000)
