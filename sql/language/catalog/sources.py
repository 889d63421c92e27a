"""Streams and tables, their columns, windows and topics, as plain data.

A second statement over a topic must agree with the first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from opensea_metrics.core.errors import Place, SqlError
from opensea_metrics.core.types import BIGINT, INTEGER, KsqlType
from opensea_metrics.sql.language.statements.statements import Statement

KEY_ROLES = ("KEY", "PRIMARY KEY")


@dataclass(frozen=True)
class Column:
    """A column; ``role`` is "KEY", "PRIMARY KEY", "HEADERS" or "HEADER('key')", or None for a column of the value."""

    name: str
    type: KsqlType
    role: str | None = None

    @property
    def is_key(self) -> bool:
        return self.role in KEY_ROLES

    @property
    def is_header(self) -> bool:
        """True for a column that is filled from a record's headers."""
        return (self.role or "").startswith("HEADER")


@dataclass(frozen=True)
class Window:
    """A window with durations in milliseconds. ``kind`` is TUMBLING, HOPPING or SESSION.

    The ``size`` of a session window is its gap: the longest time without a row within a session. The default of
    ``grace`` is 24 hours minus the size (docs/ksqldb-facts.md, Windows). ``origin`` is the start of some window
    (epoch ms). In ksqlDB it is the epoch. ``retention`` is None without RETENTION: see :attr:`kept`.
    """

    kind: str
    size: int
    advance: int
    grace: int
    origin: int = 0
    retention: int | None = None

    @property
    def is_session(self) -> bool:
        return self.kind == "SESSION"

    @property
    def kept(self) -> int:
        """How long (ms of stream time) a window is kept after its start, or a session after its end.

        That is the statement's RETENTION, or else size plus grace period (docs/ksqldb-facts.md, Windows).
        """
        return self.size + self.grace if self.retention is None else self.retention


@dataclass(frozen=True)
class Topic:
    """The numbers of partitions and replicas of a topic. They are None if no statement gave them."""

    partitions: int | None = None
    replicas: int | None = None


@dataclass(frozen=True)
class Source:
    """A stream or table. ``window`` is the window of its key, ``timestamp`` the column that TIMESTAMP names, and
    ``timestamp_format`` the pattern of that column's texts."""

    name: str
    kind: str
    columns: tuple[Column, ...]
    topic: str
    value_format: str
    key_format: str
    statement: Statement
    window: Window | None = None
    timestamp: str | None = None
    timestamp_format: str | None = None
    partitions: int = 1
    replicas: int = 1

    @property
    def is_table(self) -> bool:
        return self.kind == "TABLE"

    @property
    def timestamp_type(self) -> KsqlType | None:
        """The type of the column that gives records their time, or None if records keep Kafka's time."""
        return next((column.type for column in self.columns if column.name == self.timestamp), None)

    @property
    def is_read_only(self) -> bool:
        """True for CREATE SOURCE STREAM | TABLE."""
        return bool(self.statement.ast.args.get("read_only"))

    @property
    def is_unwrapped(self) -> bool:
        """True if the value of a record is the value of its only column.

        A NULL in this column is a record without a value. Observed on 7.9.1, 2026-11-30.
        """
        values = [column for column in self.columns if column.role is None]
        wraps = self.statement.properties.get("WRAP_SINGLE_VALUE", "true").lower() == "true"
        return len(values) == 1 and (self.value_format == "KAFKA" or not wraps)

    def has_value(self, value: Mapping[str, Any]) -> bool:
        """Whether a record with these value columns has a value, which is not the case if all are NULL."""
        return not self.is_unwrapped or any(given is not None for given in value.values())

    @property
    def headers(self) -> Column | None:
        """The column that holds the records' headers, if the source declares one."""
        return next((column for column in self.columns if column.role == "HEADERS"), None)

    @property
    def key_fields(self) -> tuple[Column, ...]:
        """The fields of a record's key in JSON: the key columns, and WINDOWSTART if the key has a window.

        The key of a session also has WINDOWEND. For other windows, WINDOW_SIZE gives the end, as in ksqlDB.
        """
        keys = tuple(column for column in self.columns if column.is_key)
        if self.window is None:
            return keys
        bounds = ("WINDOWSTART", "WINDOWEND") if self.window.is_session else ("WINDOWSTART",)
        return (*keys, *(Column(name, BIGINT, "KEY") for name in bounds))

    def readable(self) -> dict[str, KsqlType]:
        """Names that a SELECT may use, with their types."""
        columns = {column.name: column.type for column in self.columns}
        if self.window:
            columns |= {"WINDOWSTART": BIGINT, "WINDOWEND": BIGINT}
        return columns | {"ROWTIME": BIGINT, "ROWPARTITION": INTEGER, "ROWOFFSET": BIGINT}


def noted(
    topics: Mapping[str, Topic], statement: Statement, name: str, read: str | None = None
) -> dict[str, Topic]:
    """The topics after a CREATE over the topic ``name``.

    A CREATE … AS SELECT without PARTITIONS takes the number of partitions of the topic ``read``. Raises
    SqlError if the topic is known to have another number of partitions or replicas.
    """
    like = topics.get(read, Topic()) if read is not None else Topic()
    partitions = _said(statement, "PARTITIONS", like.partitions)
    replicas = _said(statement, "REPLICAS", like.replicas)
    known = topics.get(name, Topic())
    wanted = Topic(partitions or known.partitions, replicas or known.replicas)
    if wanted != Topic(known.partitions or partitions, known.replicas or replicas):
        raise different(name, wanted, known, statement.place)
    return {**topics, name: wanted}


def different(name: str, wanted: Topic, known: Topic, place: Place | None, detail: str = "") -> SqlError:
    """The error for a topic that does not fit a statement. ``detail`` follows ksqlDB's sentence."""
    return SqlError(
        f"A Kafka topic with the name '{name}' already exists, with different "
        "partition/replica/retention configuration than required. KSQL expects "
        f"{wanted.partitions or 1} partitions (topic has {known.partitions or 1}), {wanted.replicas or 1} "
        f"replication factor (topic has {known.replicas or 1}).{detail}",
        place,
        None if detail else "write the number that the topic has, or name another topic",
        code=50000,
    )


def _said(statement: Statement, name: str, default: int | None) -> int | None:
    """The number in the WITH clause, or the default.

    None stands for Kafka's own default, which this tool does not know.
    """
    count = int(statement.properties.get(name, default or -1))
    return count if count >= 1 else None
