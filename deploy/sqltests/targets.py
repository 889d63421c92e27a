"""The interface of the engines that run test cases."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from typing import Protocol

from opensea_metrics.core.errors import OpenSeaMetricsError
from opensea_metrics.core.quoting import ksqldb_text
from opensea_metrics.deploy.sqltests.comparison import Row, TableState
from opensea_metrics.sql.language.catalog.catalog import Catalog
from opensea_metrics.sql.language.catalog.sources import Source
from opensea_metrics.sql.language.dialect.naming import is_topic
from opensea_metrics.sql.language.statements.statements import Kind, Statement

EARLIEST = {"auto.offset.reset": "earliest"}
"""The properties with which a case begins, so that queries also read earlier records."""


class NotIsolated(OpenSeaMetricsError):
    """A case would use objects of others on a server, or could not delete the objects that it has created there."""


class Target(Protocol):
    """An engine. Between :meth:`begin` and :meth:`end` it runs one case, which sees nothing of other cases."""

    @property
    def engine(self) -> str:
        """One of ``cases.ENGINES``."""
        ...

    @property
    def patience(self) -> float:
        """How many seconds after an INSERT its effects may appear. 0 if they appear immediately."""
        ...

    @property
    def is_ordered(self) -> bool:
        """Whether the rows of a stream come in the order in which they were inserted."""
        ...

    @property
    def catalog(self) -> Catalog:
        """The streams, tables and types of the case."""
        ...

    def begin(self, asserted: Collection[str]) -> None:
        """Begin a case. ``asserted`` are the streams and tables whose rows it asserts."""
        ...

    def reset_properties(self) -> None:
        """Forget all properties that SET has set, as at the beginning of a migration."""
        ...

    def execute(self, statement: Statement) -> None:
        """Carry out a statement. Raises SqlError or ClientError if it is refused."""
        ...

    def stream(self, source: Source) -> Sequence[Row]:
        """All rows of a stream so far. Raises SqlError or ClientError."""
        ...

    def table(self, source: Source) -> TableState:
        """A table as it is now. Its changes are those since the last call of :meth:`asserted`."""
        ...

    def asserted(self, source: Source) -> None:
        """Forget the changes of a table, because assertions have compared them."""
        ...

    def end(self) -> None:
        """End the case, and delete everything that it has created."""
        ...

    def close(self) -> None:
        """Release the engine after the last case."""
        ...


def keys_of(source: Source) -> tuple[str, ...]:
    """The columns that identify a row of a table."""
    window = ("WINDOWSTART",) if source.window else ()
    return (*(column.name for column in source.columns if column.is_key), *window)


def undeclared_topic(statement: Statement) -> str | None:
    """The topic of a CREATE without PARTITIONS, which ksqlDB does not create. None for other statements."""
    topic = statement.topic
    if statement.kind not in (Kind.CREATE_STREAM, Kind.CREATE_TABLE) or "PARTITIONS" in statement.properties:
        return None
    return topic if topic and is_topic(topic) else None


def creating_topic(topic: str) -> tuple[str, str]:
    """Statements that create a topic with one partition, and leave nothing else behind."""
    name = f"TOPIC_{secrets.token_hex(6)}".upper()
    properties = f"KAFKA_TOPIC={ksqldb_text(topic)}, VALUE_FORMAT='JSON', PARTITIONS=1"
    return f"CREATE STREAM {name} (x INT) WITH ({properties});", f"DROP STREAM {name};"
