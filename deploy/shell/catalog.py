"""The names that completion offers, from one look at a server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from opensea_metrics.deploy.client import ClientError, KsqlClient
from opensea_metrics.sql.language.functions import library


@dataclass(frozen=True)
class ServerNames:
    """Names as the server spells them. ``columns`` are those of each stream and table."""

    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    functions: tuple[str, ...] = ()
    queries: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()

    @property
    def sources(self) -> tuple[str, ...]:
        """The streams and tables."""
        return tuple(self.columns)


def names_of(client: KsqlClient) -> ServerNames:
    """Ask a server for all names. An error of the server only means fewer names, because the shell works without
    completion.
    """
    try:
        sources, queries, topics = client.everything()
        described = client.describe_all([source.name for source in sources])
        columns = {d.name: _readable(d.window is not None, [c.name for c in d.columns]) for d in described}
        functions = _functions(client)
    except ClientError:
        return ServerNames(functions=tuple(library.known()))
    ids = tuple(query.id for query in queries)
    return ServerNames(columns, functions, ids, tuple(topic.name for topic in topics))


def _readable(is_windowed: bool, columns: list[str]) -> tuple[str, ...]:
    return (*columns, *(("WINDOWSTART", "WINDOWEND") if is_windowed else ()), "ROWTIME")


def _functions(client: KsqlClient) -> tuple[str, ...]:
    reply = client.ask("SHOW FUNCTIONS;")
    listed = [item.get("name") for entity in reply for item in entity.get("functions") or ()]
    return tuple(sorted({name for name in listed if isinstance(name, str)}))
