"""One ksqlDB statement as plain data: its text, where it stands, what it makes and reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
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
    ALTER = "alter"
    DROP_STREAM = "drop stream"
    DROP_TABLE = "drop table"
    TERMINATE = "terminate"
    PAUSE = "pause"
    RESUME = "resume"
    ASSERT = "assert"
    CONNECTOR = "connector"
    SELECT = "select"
    SET = "set"
    UNSET = "unset"
    DEFINE = "define"
    UNDEFINE = "undefine"
    SHOW = "show"
    DESCRIBE = "describe"
    EXPLAIN = "explain"


@dataclass(frozen=True)
class Statement:
    """A parsed statement.

    ``text`` ends with a semicolon and is what is sent to a server; ``name`` is the stream or table
    that it makes, writes to or drops (upper-cased unless quoted), ``reads`` the sources that it
    reads. ``locate`` maps offsets of positions in ``ast`` to places.
    """

    kind: Kind
    text: str
    place: Place
    ast: exp.Expression
    name: str | None = None
    reads: tuple[str, ...] = ()
    locate: Callable[[int], Place] = field(
        default=lambda _: Place("<statement>", 1, 1), repr=False, compare=False
    )

    @property
    def properties(self) -> dict[str, str]:
        """The WITH clause: upper-cased names to values as text."""
        found = self.ast.args.get("properties") or []
        return {
            str(item.this.this).upper(): _text(item.args["value"])
            for item in found
        }

    @property
    def topic(self) -> str | None:
        """The topic that a CREATE names, or implies (a sink's name), else None."""
        if named := self.properties.get("KAFKA_TOPIC"):
            return named
        made = (Kind.CREATE_STREAM_AS, Kind.CREATE_TABLE_AS)
        return self.name if self.kind in made else None

    @property
    def replaces(self) -> bool:
        """True for CREATE OR REPLACE."""
        return bool(self.ast.args.get("replace"))

    @property
    def starts_query(self) -> bool:
        """True if it starts a persistent query (CSAS, CTAS, INSERT INTO … SELECT)."""
        return self.kind in (Kind.CREATE_STREAM_AS, Kind.CREATE_TABLE_AS, Kind.INSERT_SELECT)


def _text(value: exp.Expression) -> str:
    if isinstance(value, exp.Neg):
        return "-" + _text(value.this)
    if isinstance(value, exp.Boolean):
        return str(value.this).lower()
    return str(value.this)
