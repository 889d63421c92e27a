"""What ksqlDB replies, as plain data: one frozen class per kind of reply, read with ``of``.

Only what this project reads is kept. Source: recorded replies of ksqlDB 7.9.1.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

Json = Mapping[str, Any]
Row = dict[str, Any]


@dataclass(frozen=True)
class ServerInfo:
    """``GET /info``; ``service_id`` ends with an underscore where the operator wrote one.

    ``is_embedded``: it is this project's embedded server, which names itself as its cluster.
    """

    version: str
    service_id: str
    status: str
    is_embedded: bool = False

    @classmethod
    def of(cls, reply: Json) -> ServerInfo:
        """Read the object ``KsqlServerInfo``."""
        return cls(
            reply["version"],
            reply["ksqlServiceId"],
            reply.get("serverStatus", "RUNNING"),
            reply.get("kafkaClusterId") == "embedded",
        )


@dataclass(frozen=True)
class CommandResult:
    """The outcome of one statement that changes something.

    ``status`` is ksqlDB's (SUCCESS, EXECUTING, …), or WARNING where it did nothing (IF NOT EXISTS);
    ``query_id`` that of the persistent query which the statement started.
    """

    statement: str
    status: str
    message: str
    command_id: str = ""
    query_id: str | None = None

    @classmethod
    def of(cls, reply: Json) -> CommandResult:
        """Read a ``currentStatus`` or a ``warning_entity``; any other reply means success."""
        text = reply.get("statementText", "")
        if reply.get("@type") == "warning_entity":
            return cls(text, "WARNING", reply.get("message", ""))
        if reply.get("@type") != "currentStatus":
            return cls(text, "SUCCESS", "")
        return cls(text, "QUEUED", "", reply["commandId"]).now(reply["commandStatus"])

    def now(self, status: Json) -> CommandResult:
        """The same command with a newer status (``commandStatus``, ``GET /status/<id>``)."""
        return replace(
            self,
            status=status["status"],
            message=status.get("message", ""),
            query_id=status.get("queryId"),
        )


@dataclass(frozen=True)
class Source:
    """A stream or table, as SHOW STREAMS and SHOW TABLES list it; ``kind`` STREAM or TABLE."""

    name: str
    kind: str
    topic: str
    value_format: str
    windowed: bool

    @classmethod
    def of(cls, reply: Json) -> Source:
        """Read one entry of ``streams`` or ``tables``."""
        return cls(
            reply["name"],
            reply["type"],
            reply["topic"],
            reply.get("valueFormat", ""),
            bool(reply.get("isWindowed")),
        )


@dataclass(frozen=True)
class Query:
    """A query: the names of its ``sinks``, and its ``state`` (RUNNING, ERROR, …).

    A paused query's state says RUNNING; only its counts by state say that it is ``paused``.
    """

    id: str
    sinks: tuple[str, ...]
    state: str
    text: str
    paused: bool = False

    @classmethod
    def of(cls, reply: Json) -> Query:
        """Read one entry of ``queries``, ``readQueries`` or ``writeQueries``."""
        sinks = tuple(reply.get("sinks") or ())
        paused = "PAUSED" in (reply.get("statusCount") or {})
        text = reply.get("queryString", "")
        return cls(reply["id"], sinks, reply.get("state") or "", text, paused)


@dataclass(frozen=True)
class Topic:
    """A Kafka topic and its number of partitions."""

    name: str
    partitions: int

    @classmethod
    def of(cls, reply: Json) -> Topic:
        """Read one entry of ``topics``."""
        return cls(reply["name"], len(reply.get("replicaInfo", ())))


@dataclass(frozen=True)
class Column:
    """A column: its type as ksqlDB writes it; ``key`` is True for key columns."""

    name: str
    type: str
    key: bool = False


@dataclass(frozen=True)
class Offsets:
    """How far a query has read one partition: it has consumed all records before ``consumed``.

    ``group`` is its consumer group, whose name ends with the query's id.
    """

    group: str
    topic: str
    partition: int
    end: int
    consumed: int


@dataclass(frozen=True)
class Description:
    """DESCRIBE: columns, and the queries that read from and write into the source.

    ``statement`` is the definition as the server writes it; ``window`` TUMBLING, HOPPING, SESSION
    or None. Only EXTENDED gives ``offsets`` and ``partitions``.
    """

    name: str
    kind: str
    topic: str
    columns: tuple[Column, ...]
    read_queries: tuple[Query, ...]
    write_queries: tuple[Query, ...]
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
            reply["name"],
            reply["type"],
            reply["topic"],
            tuple(
                Column(each["name"], type_text(each["schema"]), each.get("type") == "KEY")
                for each in reply["fields"]
            ),
            tuple(Query.of(each) for each in reply.get("readQueries") or ()),
            tuple(Query.of(each) for each in reply.get("writeQueries") or ()),
            reply.get("statement") or "",
            reply.get("keyFormat") or "",
            reply.get("valueFormat") or "",
            reply.get("windowType"),
            reply.get("timestamp") or "",
            reply.get("partitions") or 0,
            tuple(_offsets(reply.get("queryOffsetSummaries") or ())),
        )


def _offsets(summaries: Sequence[Json]) -> Iterator[Offsets]:
    for summary in summaries:
        for topic in summary.get("topicSummaries") or ():
            for each in topic.get("offsets") or ():
                yield Offsets(
                    summary["groupId"],
                    topic["kafkaTopic"],
                    each["partition"],
                    each["logEndOffset"],
                    each["consumerOffset"],
                )


@dataclass(frozen=True)
class Rows:
    """The rows of a query, to be iterated once: dicts of column → value, in the query's order.

    DECIMAL and DOUBLE are floats; TIMESTAMP, DATE and TIME are as the server writes them (text).
    """

    columns: tuple[Column, ...]
    values: Iterator[Sequence[Any]]

    def __iter__(self) -> Iterator[Row]:
        names = [column.name for column in self.columns]
        for value in self.values:
            yield dict(zip(names, value, strict=True))


def type_text(schema: Json) -> str:
    """The type of a field of DESCRIBE as text.

    >>> type_text({"type": "ARRAY", "memberSchema": {"type": "STRING"}})
    'ARRAY<STRING>'
    """
    name, member = schema["type"], schema.get("memberSchema")
    if name == "STRUCT":
        inner = (f"`{each['name']}` {type_text(each['schema'])}" for each in schema["fields"])
        return f"STRUCT<{', '.join(inner)}>"
    if name == "DECIMAL":
        limits = schema.get("parameters") or {}
        return f"DECIMAL({limits.get('precision', '?')}, {limits.get('scale', '?')})"
    if name == "MAP":
        return f"MAP<STRING, {type_text(member)}>" if member else name
    return f"{name}<{type_text(member)}>" if member else str(name)


def columns_of(schema: str) -> tuple[Column, ...]:
    """The columns of a query's header.

    >>> columns_of("`A` STRING KEY, `top` ARRAY<STRUCT<`b` INTEGER, `c` DOUBLE>>")[1].type
    'ARRAY<STRUCT<`b` INTEGER, `c` DOUBLE>>'
    """
    parts, depth, start, in_quotes = [], 0, 0, False
    for at, char in enumerate(schema):
        if char == "`":
            in_quotes = not in_quotes
        elif not in_quotes:
            depth += (char in "<(") - (char in ">)")
            if char == "," and depth == 0:
                parts.append(schema[start:at])
                start = at + 1
    return tuple(_column(part.strip()) for part in [*parts, schema[start:]] if part.strip())


def objects_of(chunks: Iterator[bytes]) -> Iterator[Row]:
    """The JSON objects of an array that arrives in pieces; raises ValueError if it is cut off."""
    text_of = codecs.getincrementaldecoder("utf-8")()
    decoder = json.JSONDecoder()
    buffer = ""
    for chunk in chunks:
        buffer = (buffer + text_of.decode(chunk)).lstrip("[], \r\n\t")
        while buffer:
            try:
                value, end = decoder.raw_decode(buffer)
            except json.JSONDecodeError:
                break
            yield value
            buffer = buffer[end:].lstrip("[], \r\n\t")
    if buffer:
        raise ValueError(f"it ends with {buffer[:100]!r}")


def _column(text: str) -> Column:
    found = re.match(r"`((?:[^`]|``)*)` (.*?)( KEY)?$", text, re.DOTALL)
    if found is None:
        return Column(text, "")
    return Column(found[1].replace("``", "`"), found[2], found[3] is not None)
