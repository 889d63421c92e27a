"""The persistent queries of a server, for people and for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from opensea_metrics.deploy.commands.queries import QueryAction
from opensea_metrics.deploy.output.console import console, shown
from opensea_metrics.deploy.replies import ServerQuery

DONE: Mapping[QueryAction, str] = {
    QueryAction.PAUSE: "paused",
    QueryAction.RESUME: "resumed",
    QueryAction.TERMINATE: "terminated",
}
_STYLES = {"ERROR": "red", "PAUSED": "yellow"}


def show_queries(queries: Sequence[ServerQuery], stderr: bool = False) -> None:
    """Print one line for each query: its id, state and sink."""
    table = Table(box=SIMPLE_HEAD, padding=0)
    for name in ("query", "state", "writes into"):
        table.add_column(name, overflow="fold", no_wrap=name == "state")
    for query in queries:
        state = _state(query)
        table.add_row(shown(query.id), shown(state, _STYLES.get(state, "")), shown(", ".join(query.sinks)))
    console(stderr).print(table)


def query_object(query: ServerQuery) -> dict[str, Any]:
    """A query as a JSON object."""
    return {"id": query.id, "state": _state(query), "sinks": query.sinks, "text": query.text}


def _state(query: ServerQuery) -> str:
    return "PAUSED" if query.paused else query.state
