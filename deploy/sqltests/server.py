"""Runs test cases on a server: ksqlDB, or an embedded server that runs elsewhere."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress

from opensea_metrics.core.quoting import ksqldb_quoted
from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.client.delivery import Delivered, deliver
from opensea_metrics.deploy.client.errors import ClientError
from opensea_metrics.deploy.client.topics import delete_topic
from opensea_metrics.deploy.sqltests.comparison import Row, TableState, row_of
from opensea_metrics.deploy.sqltests.targets import (
    EARLIEST,
    NotIsolated,
    creating_topic,
    keys_of,
    undeclared_topic,
)
from opensea_metrics.sql.language.catalog.catalog import Catalog
from opensea_metrics.sql.language.catalog.changes import applied
from opensea_metrics.sql.language.catalog.sources import Source
from opensea_metrics.sql.language.statements.properties import check_set
from opensea_metrics.sql.language.statements.statements import (
    Kind,
    Statement,
    dropping,
    terminating,
)

_CREATING = (Kind.CREATE_STREAM, Kind.CREATE_TABLE, Kind.CREATE_STREAM_AS, Kind.CREATE_TABLE_AS)


class ServerTarget:
    """A server. A case must not use streams, tables or topics that already exist on the server.

    ``patience``: seconds until the effects of an INSERT must appear.
    """

    is_ordered = False

    def __init__(self, client: KsqlClient, patience: float) -> None:
        self._client = client
        self.patience = patience
        self.engine = "embedded" if client.info().is_embedded else "ksqldb"
        self._begin()

    def _begin(self) -> None:
        self.catalog = Catalog()
        self._number = 0
        self._topics: set[str] = set()
        """The topics that the case has created."""
        self._created: list[Statement] = []
        """The statements that drop what the case has created, in the order of creation."""
        self.reset_properties()

    def begin(self, asserted: Collection[str]) -> None:
        self._begin()
        self._foreign = {topic.name for topic in self._client.topics()}

    def reset_properties(self) -> None:
        self._properties = dict(EARLIEST)

    def execute(self, statement: Statement) -> None:
        if statement.kind in (Kind.SET, Kind.UNSET):
            self._set(statement)
            return
        topic = statement.topic if statement.kind in _CREATING else None
        if topic in self._foreign:
            raise NotIsolated(
                f"the topic {topic} exists on the server, and the test would read its records\n"
                "  hint: use another name for the topic of the test"
            )
        missing = undeclared_topic(statement)
        if missing is not None and missing not in self._topics:
            for text in creating_topic(missing):
                self._deliver(text)
            self._topics.add(missing)
        delivered = self._deliver(statement.text, self._properties)
        if topic is not None:
            self._topics.add(topic)
        self._note(statement, delivered.query_id)
        self._number += 1
        self.catalog = applied(self.catalog, statement, self._number)

    def _deliver(self, text: str, properties: Mapping[str, str] | None = None) -> Delivered:
        """Send a statement, again if other clients keep the server busy. Raises ClientError if it is refused."""
        return deliver(self._client, text, properties, search=lambda: None)

    def _note(self, statement: Statement, query_id: str | None) -> None:
        """Remember how to undo a statement."""
        name = statement.name or ""
        if statement.kind in _CREATING and name not in self.catalog.sources:
            kind = "TABLE" if statement.kind in (Kind.CREATE_TABLE, Kind.CREATE_TABLE_AS) else "STREAM"
            self._created.append(dropping(kind, name, if_exists=True))
        elif statement.kind is Kind.INSERT_SELECT and query_id is not None:
            self._created.append(terminating(query_id))

    def _set(self, statement: Statement) -> None:
        check_set(statement)
        name = str(statement.ast.this.this)
        self._properties.pop(name, None)
        if statement.kind is Kind.SET:
            self._properties[name] = str(statement.ast.args["value"].this)

    def stream(self, source: Source) -> Sequence[Row]:
        return self._rows(source)

    def table(self, source: Source) -> TableState:
        return TableState(keys_of(source), self._rows(source))

    def asserted(self, source: Source) -> None:
        """The server's changes are not known, so there is nothing to forget."""

    def _rows(self, source: Source) -> list[Row]:
        names = [column.name for column in source.columns]
        names += ["WINDOWSTART", "WINDOWEND"] if source.window else []
        listed = ", ".join(map(ksqldb_quoted, [*names, "ROWTIME"]))
        kinds = {column.name: column.type for column in source.columns}
        rows = self._client.pull(f"SELECT {listed} FROM {ksqldb_quoted(source.name)};")
        return [row_of(kinds, row) for row in rows]

    def end(self) -> None:
        types = [f"DROP TYPE {ksqldb_quoted(name)};" for name in self.catalog.types]
        for text in [*(statement.text for statement in reversed(self._created)), *types]:
            with suppress(ClientError):  # the case may have dropped or terminated it
                self._deliver(text)
        existing = {source.name for source in (*self._client.streams(), *self._client.tables())}
        if left := [name for statement in self._created if (name := statement.name or "") in existing]:
            raise NotIsolated(f"the server did not drop {', '.join(left)}; drop them before the next test")
        for topic in sorted(self._topics & {topic.name for topic in self._client.topics()}):
            delete_topic(topic, self._client)

    def close(self) -> None:
        """The client keeps no connection."""
