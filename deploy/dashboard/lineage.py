"""Streams, tables and queries of a server as a graph, from the server's own lists."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.replies import Description, Offsets, ServerQuery
from opensea_metrics.deploy.shapes import members

_LISTS = "SHOW STREAMS EXTENDED; SHOW TABLES EXTENDED;"
_STATES = ("ERROR", "UNRESPONSIVE", "PAUSED", "REBALANCING", "RUNNING")
"""States of queries, the worst first."""


def descriptions(client: KsqlClient) -> list[Description]:
    """All streams and tables with their queries. Raises ClientError."""
    lists = client.ask(_LISTS)
    return [Description.of(source) for reply in lists for source in members(reply, "sourceDescriptions")]


def graph(sources: Sequence[Description]) -> dict[str, Any]:
    """The graph for a page: nodes, and edges as pairs of names.

    A source that is declared over the topic of another source reads that topic, so there is an edge between the two.
    """
    writers = {source.name for source in sources if source.write_queries}
    by_topic = defaultdict(list)
    for source in sources:
        by_topic[source.topic].append(source.name)
    edges = {(source.name, sink) for source in sources for query in source.read_queries for sink in query.sinks}
    for names in by_topic.values():
        edges |= {(a, b) for a in names if a in writers for b in names if b not in writers}
    known = {source.name for source in sources}
    return {
        "nodes": sorted((_node(source) for source in sources), key=lambda node: str(node["name"])),
        "edges": sorted([a, b] for a, b in edges if a in known and b in known and a != b),
    }


def behind(sources: Sequence[Description]) -> int:
    """How many records are still unread by the queries that write these sources."""
    return sum(map(_lag, (offsets for source in sources for offsets in source.offsets)))


def _node(source: Description) -> dict[str, Any]:
    queries = [_query(query, source.offsets) for query in source.write_queries]
    states = [query["state"] for query in queries]
    return {
        "name": source.name,
        "kind": source.kind,
        "topic": source.topic,
        "partitions": source.partitions,
        "window": source.window,
        "columns": [[column.name, column.type, column.key] for column in source.columns],
        "sql": source.statement,
        "queries": queries,
        "state": min(states, key=_rank) if states else None,
        "lag": sum(query["lag"] for query in queries),
    }


def _query(query: ServerQuery, offsets: Sequence[Offsets]) -> dict[str, Any]:
    own = [partition for partition in offsets if partition.group.endswith(query.id)]
    state = "PAUSED" if query.paused else query.state or "UNKNOWN"
    return {"id": query.id, "state": state, "sql": query.text, "lag": sum(map(_lag, own))}


def _lag(offsets: Offsets) -> int:
    return max(0, offsets.end - offsets.consumed)


def _rank(state: str) -> int:
    return _STATES.index(state) if state in _STATES else 0


def log_entry(row: Sequence[Any]) -> list[Any]:
    """A row of the processing log (time, logger, level, message) as time, level, logger, text."""
    at, logger, level, message = row
    details = [value for value in message.values() if isinstance(value, dict)] if isinstance(message, dict) else []
    texts = [str(error) for detail in details for name, error in detail.items() if name.upper() == "ERRORMESSAGE"]
    return [at, level, logger, "; ".join(texts)[:2000]]


def query_errors(client: KsqlClient, nodes: Sequence[dict[str, Any]]) -> dict[str, tuple[str, ...]]:
    """The server's messages about failed queries, by the queries' ids. Raises ClientError."""
    failed = [query["id"] for node in nodes for query in node["queries"] if query["state"] == "ERROR"]
    return {query_id: client.query_errors(query_id) for query_id in failed}
