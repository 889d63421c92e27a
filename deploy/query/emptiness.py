"""Says why a query has no rows."""

from __future__ import annotations

import re
from collections.abc import Iterator

from opensea_metrics.core.errors import SqlError
from opensea_metrics.core.types import name_of
from opensea_metrics.deploy.client import ClientError, KsqlClient
from opensea_metrics.deploy.client.snapshot import parsed
from opensea_metrics.deploy.query.grammar import read
from opensea_metrics.deploy.replies import Description

_BOUND = re.compile(r"\bWINDOW(START|END)\b", re.IGNORECASE)
_LONGEST = 20
"""How many sources are followed to their origin at most."""


def why_empty(client: KsqlClient, sql: str) -> str:
    """A sentence with the reason, such as ``no rows yet: VOLUME is still reading, 40 % done``.

    Looks at the sources of the SELECT, and at the queries and sources upstream. Never raises a ClientError.
    """
    try:
        query = read(sql).query
        names = [name_of(item.this) for item in (query.args["source"], *(j.this for j in query.args["joins"]))]
        descriptions = list(_upstream(client, names))
        reason = next(filter(None, (_trouble(client, d) for d in descriptions)), None)
        reason = reason or next(filter(None, map(_unread, descriptions)), None)
        reason = reason or next(filter(None, map(_nothing, descriptions)), None)
        if reason:
            return reason
        where = query.args.get("where")
    except (SqlError, ClientError):
        return "no rows"
    if where is None:
        return f"no rows: nothing in the topic {descriptions[0].topic}" if descriptions else "no rows"
    if _BOUND.search(where.sql(dialect="ksqldb")):
        return "no rows in this window"
    return "no row meets the condition in WHERE"


def _upstream(client: KsqlClient, names: list[str]) -> Iterator[Description]:
    """The descriptions of sources and of everything that they are made from, the nearest first."""
    known: set[str] = set()
    while names and len(known) < _LONGEST:
        described = client.describe_all(names, extended=True)
        known |= set(names)
        yield from described
        texts = (query.text for description in described for query in description.write_queries)
        read_names = (name for text in texts if (statement := parsed(text)) for name in statement.reads)
        names = [name for name in dict.fromkeys(read_names) if name not in known]


def _trouble(client: KsqlClient, description: Description) -> str | None:
    for query in description.write_queries:
        if query.paused:
            return f"no rows: the query {query.id} into {description.name} is paused"
        if query.state in ("ERROR", "UNRESPONSIVE"):
            errors = client.query_errors(query.id)
            message = errors[-1].splitlines()[0] if errors and errors[-1] else query.state
            return f"no rows: the query {query.id} into {description.name} has failed: {message}"
    return None


def _unread(description: Description) -> str | None:
    end = sum(offsets.end for offsets in description.offsets)
    consumed = sum(min(max(offsets.consumed, 0), offsets.end) for offsets in description.offsets)
    if consumed >= end:
        return None
    done = f"{100 * consumed // end} % done ({consumed:,} of {end:,} records)"
    return f"no rows yet: {description.name} is still reading, {done}"


def _nothing(description: Description) -> str | None:
    if description.offsets and not any(offsets.end for offsets in description.offsets):
        topics = ", ".join(sorted({offsets.topic for offsets in description.offsets}))
        return f"no rows: nothing in the topic {topics}"
    return None
