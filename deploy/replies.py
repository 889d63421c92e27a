"""ksqlDB's replies as plain data: one frozen class per kind of reply. Its method ``of`` reads JSON.

The classes hold only the members that this project reads. Each ``of`` raises WrongShape for a reply of
another shape. Source: recorded replies of ksqlDB 7.9.1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from opensea_metrics.deploy.reply_columns import ServerColumn, type_text
from opensea_metrics.deploy.shapes import (
    Json,
    WrongShape,
    listed,
    member,
    members,
    members_or_none,
    number,
    text,
    text_or_none,
    texts_or_none,
)

Row = dict[str, Any]
COMMAND_STATES = ("QUEUED", "PARSING", "EXECUTING", "RUNNING", "TERMINATED", "SUCCESS", "ERROR")


@dataclass(frozen=True)
class ServerInfo:
    """The reply to ``GET /info``. ``service_id`` ends with an underscore if the operator wrote one.

    ``is_embedded``: the server is this project's embedded server, whose cluster id is "embedded".
    """

    version: str
    service_id: str
    status: str
    is_embedded: bool = False

    @classmethod
    def of(cls, reply: Json) -> ServerInfo:
        """Read the object ``KsqlServerInfo``."""
        status = text_or_none(reply, "serverStatus") or "RUNNING"
        is_embedded = text_or_none(reply, "kafkaClusterId") == "embedded"
        return cls(text(reply, "version"), text(reply, "ksqlServiceId"), status, is_embedded)


@dataclass(frozen=True)
class CommandResult:
    """The outcome of one statement that changes something.

    ``status`` is ksqlDB's (SUCCESS, EXECUTING, …), or WARNING if the statement did nothing (IF NOT
    EXISTS). ``query_id`` names the persistent query that the statement started.
    """

    statement: str
    status: str
    message: str
    command_id: str = ""
    query_id: str | None = None

    @classmethod
    def of(cls, reply: Json) -> CommandResult:
        """Read a ``currentStatus`` or a ``warning_entity``. Any other type means success."""
        statement = text_or_none(reply, "statementText") or ""
        kind = text(reply, "@type")
        if kind == "warning_entity":
            return cls(statement, "WARNING", text_or_none(reply, "message") or "")
        if kind != "currentStatus":
            return cls(statement, "SUCCESS", "")
        queued = cls(statement, "QUEUED", "", text(reply, "commandId"))
        return queued.with_status(member(reply, "commandStatus"))

    def with_status(self, status: Json) -> CommandResult:
        """A copy with a newer status (``commandStatus``, ``GET /status/<id>``)."""
        state = text(status, "status")
        if state not in COMMAND_STATES:
            raise WrongShape(f"its 'status' is {state[:40]!r}, which ksqlDB does not have")
        return replace(
            self,
            status=state,
            message=text_or_none(status, "message") or "",
            query_id=text_or_none(status, "queryId"),
        )


@dataclass(frozen=True)
class ServerSource:
    """A stream or table, as SHOW STREAMS and SHOW TABLES list it. ``kind`` is STREAM or TABLE."""

    name: str
    kind: str
    topic: str
    value_format: str
    windowed: bool

    @classmethod
    def of(cls, reply: Json) -> ServerSource:
        """Read one entry of ``streams`` or ``tables``."""
        return cls(
            text(reply, "name"),
            text(reply, "type"),
            text(reply, "topic"),
            text_or_none(reply, "valueFormat") or "",
            bool(reply.get("isWindowed")),
        )


@dataclass(frozen=True)
class ServerQuery:
    """A query on the server: the names of its ``sinks``, and its ``state`` (RUNNING, ERROR, …).

    The state of a paused query is RUNNING. Only its counts by state show that it is ``paused``.
    """

    id: str
    sinks: tuple[str, ...]
    state: str
    text: str
    paused: bool = False

    @classmethod
    def of(cls, reply: Json) -> ServerQuery:
        """Read one entry of ``queries``, ``readQueries`` or ``writeQueries``."""
        counts = member(reply, "statusCount") if reply.get("statusCount") else {}
        return cls(
            text(reply, "id"),
            texts_or_none(reply, "sinks"),
            text_or_none(reply, "state") or "",
            text_or_none(reply, "queryString") or "",
            "PAUSED" in counts,
        )


@dataclass(frozen=True)
class ServerTopic:
    """A Kafka topic that the server lists, with its number of partitions."""

    name: str
    partitions: int

    @classmethod
    def of(cls, reply: Json) -> ServerTopic:
        """Read one entry of ``topics``."""
        partitions = listed(reply, "replicaInfo") if reply.get("replicaInfo") else ()
        return cls(text(reply, "name"), len(partitions))


@dataclass(frozen=True)
class Offsets:
    """How far a query has read one partition: it has read all records before offset ``consumed``.

    ``group`` is the query's consumer group. The group's name ends with the query's id.
    """

    group: str
    topic: str
    partition: int
    end: int
    consumed: int


@dataclass(frozen=True)
class Description:
    """The reply to DESCRIBE: columns, and the queries that read from the source or write to it.

    ``statement`` is the definition as the server writes it. ``window`` is TUMBLING, HOPPING, SESSION or
    None. Only EXTENDED gives ``offsets`` and ``partitions``.
    """

    name: str
    kind: str
    topic: str
    columns: tuple[ServerColumn, ...]
    read_queries: tuple[ServerQuery, ...]
    write_queries: tuple[ServerQuery, ...]
    statement: str = ""
    key_format: str = ""
    value_format: str = ""
    window: str | None = None
    timestamp: str = ""
    partitions: int = 0
    offsets: tuple[Offsets, ...] = ()

    @classmethod
    def of(cls, reply: Json) -> Description:
        """Read a ``sourceDescription``."""
        return cls(
            text(reply, "name"),
            text(reply, "type"),
            text(reply, "topic"),
            tuple(
                ServerColumn(
                    text(field, "name"), type_text(member(field, "schema")), field.get("type") == "KEY"
                )
                for field in members(reply, "fields")
            ),
            tuple(ServerQuery.of(field) for field in members_or_none(reply, "readQueries")),
            tuple(ServerQuery.of(field) for field in members_or_none(reply, "writeQueries")),
            text_or_none(reply, "statement") or "",
            text_or_none(reply, "keyFormat") or "",
            text_or_none(reply, "valueFormat") or "",
            text_or_none(reply, "windowType"),
            text_or_none(reply, "timestamp") or "",
            number(reply, "partitions") if reply.get("partitions") else 0,
            tuple(_offsets(members_or_none(reply, "queryOffsetSummaries"))),
        )


def _offsets(summaries: Sequence[Json]) -> Iterator[Offsets]:
    for summary in summaries:
        for topic in members_or_none(summary, "topicSummaries"):
            for partition in members_or_none(topic, "offsets"):
                yield Offsets(
                    text(summary, "groupId"),
                    text(topic, "kafkaTopic"),
                    number(partition, "partition"),
                    number(partition, "logEndOffset"),
                    number(partition, "consumerOffset"),
                )


@dataclass(frozen=True)
class Rows:
    """The rows of a query, as dicts of column → value in the query's order. Iterate over them once.

    DOUBLEs are floats, and so are DECIMALs unless the query asks for exact ones. TIMESTAMP, DATE and TIME are texts, as
    the server writes them.
    ``close`` ends an endless query that is no longer needed, on the server too.
    """

    columns: tuple[ServerColumn, ...]
    values: Iterator[Sequence[Any]]
    close: Callable[[], None] = lambda: None

    def __iter__(self) -> Iterator[Row]:
        names = [column.name for column in self.columns]
        for value in self.values:
            yield dict(zip(names, value, strict=True))
