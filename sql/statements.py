"""One ksqlDB statement as plain data: its text, where it stands, what it makes and reads."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from sqlglot import exp

from sql.errors import Place


class Kind(Enum):
    """What a statement does, as far as a migration or a server must tell statements apart."""

    CREATE_STREAM = "create stream"
    CREATE_TABLE = "create table"
    CREATE_STREAM_AS = "create stream as select"
    CREATE_TABLE_AS = "create table as select"
    INSERT_SELECT = "insert into … select"
    INSERT_VALUES = "insert into … values"
    DROP_STREAM = "drop stream"
    DROP_TABLE = "drop table"
    TERMINATE = "terminate"
    SELECT = "select"
    SET = "set"
    UNSET = "unset"
    SHOW = "show"
    DESCRIBE = "describe"
    EXPLAIN = "explain"


@dataclass(frozen=True)
class Statement:
    """A parsed statement.

    ``text`` ends with a semicolon and is what is sent to a server; ``name`` is the stream or table
    that it makes, writes to or drops (upper-cased unless quoted), ``reads`` the sources that it
    reads, ``topic`` the Kafka topic of ``name`` where the statement says or implies one.
    """

    kind: Kind
    text: str
    place: Place
    ast: exp.Expression
    name: str | None = None
    reads: tuple[str, ...] = ()
    topic: str | None = None

    @property
    def starts_query(self) -> bool:
        """True if it starts a persistent query (CSAS, CTAS, INSERT INTO … SELECT)."""
        return self.kind in (Kind.CREATE_STREAM_AS, Kind.CREATE_TABLE_AS, Kind.INSERT_SELECT)
