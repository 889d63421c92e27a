"""The persistent queries on a server: list, pause, resume and terminate them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum

from opensea_metrics.core.quoting import ksqldb_quoted
from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.migrations.errors import MigrationError
from opensea_metrics.deploy.migrations.record.lock import is_lock
from opensea_metrics.deploy.migrations.record.store import RECORD_NAMES
from opensea_metrics.deploy.replies import ServerQuery
from opensea_metrics.deploy.serving_names import serving_names


class QueryAction(StrEnum):
    """What to do with queries."""

    LIST = "list"
    PAUSE = "pause"
    RESUME = "resume"
    TERMINATE = "terminate"


def queries(client: KsqlClient, names: Sequence[str] = ()) -> tuple[ServerQuery, ...]:
    """The persistent queries, except those of the record.

    A name is a query's id, or the stream or table that it writes. Raises MigrationError for a name that no query has.
    """
    known = [
        query
        for query in client.queries()
        if query.sinks and not any(sink in RECORD_NAMES or is_lock(sink) for sink in query.sinks)
    ]
    if not names:
        return tuple(known)
    serving = serving_names(client)
    chosen: list[ServerQuery] = []
    for name in names:
        upper = serving.get(name.upper(), name.upper())
        matching = [query for query in known if upper in (query.id.upper(), *query.sinks)]
        if not matching:
            raise MigrationError(
                f"no query has the id {name}, and none writes into {name}\n  hint: see opensea-metrics queries"
            )
        chosen += [query for query in matching if query not in chosen]
    return tuple(chosen)


def change_queries(
    client: KsqlClient,
    action: QueryAction,
    names: Sequence[str],
    consent: Callable[[tuple[ServerQuery, ...]], bool],
) -> tuple[ServerQuery, ...]:
    """Pause, resume or terminate queries; returns them.

    ``consent`` is called with the queries before they are terminated. Raises MigrationError without names, for a name
    that no query has, and without consent.
    """
    if not names:
        raise MigrationError(f"name the queries to {action}\n  hint: see opensea-metrics queries")
    chosen = queries(client, names)
    if action is QueryAction.TERMINATE and not consent(chosen):
        raise MigrationError("nothing was terminated, because there was no consent")
    for query in chosen:
        if action is QueryAction.TERMINATE or query.paused is (action is QueryAction.RESUME):
            client.execute(f"{action.upper()} {ksqldb_quoted(query.id)};")
    return chosen
