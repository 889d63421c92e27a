"""What a rollback consists of, as plain data."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from opensea_metrics.core.quoting import ksqldb_quoted, ksqldb_text
from opensea_metrics.sql.language.statements.statements import Statement, dropping, terminating

# Streams that exist only between two statements, to delete a topic over REST.
PRIVATE_PREFIX = "OPENSEA_METRICS_DELETES_"


def private_name(topic: str) -> str:
    """The stream that is declared over a topic to delete it.

    ksqlDB allows letters, digits, '_' and '-' in the names of streams only (observed); a checksum
    keeps apart what becomes alike thereby.
    """
    checksum = hashlib.sha256(topic.encode()).hexdigest()[:8]
    return f"{PRIVATE_PREFIX}{re.sub(r'[^A-Za-z0-9_-]', '_', topic)}_{checksum}"


@dataclass(frozen=True)
class Terminate:
    """End a persistent query."""

    query_id: str

    @property
    def texts(self) -> tuple[str, ...]:
        """What is sent."""
        return (terminating(self.query_id).text,)


@dataclass(frozen=True)
class Drop:
    """Drop a stream or table (``kind`` STREAM or TABLE); its topic stays."""

    kind: str
    name: str

    @property
    def texts(self) -> tuple[str, ...]:
        """What is sent."""
        return (dropping(self.kind, self.name).text,)


@dataclass(frozen=True)
class DeleteTopic:
    """Delete a topic: by Kafka's admin client, or declared under a private name and dropped."""

    topic: str

    @property
    def texts(self) -> tuple[str, ...]:
        """What is sent to ksqlDB where no brokers are configured."""
        name = private_name(self.topic)
        return (
            f"CREATE STREAM IF NOT EXISTS {ksqldb_quoted(name)} (unused STRING)"
            f" WITH (KAFKA_TOPIC={ksqldb_text(self.topic)}, VALUE_FORMAT='JSON');",
            dropping("STREAM", name, delete_topic=True).text,
        )


@dataclass(frozen=True)
class KeepTopic:
    """Leave a topic that a migration made; ``reason`` says why."""

    topic: str
    reason: str

    @property
    def texts(self) -> tuple[str, ...]:
        """Nothing is sent."""
        return ()


@dataclass(frozen=True)
class Restore:
    """Create again what there was before: ``name`` as ``statement`` defines it.

    ``loses_state``: it reads its sources from the start again; else it is replaced in place.
    """

    name: str
    statement: Statement
    loses_state: bool

    @property
    def texts(self) -> tuple[str, ...]:
        """What is sent."""
        return (self.statement.text,)

    @property
    def properties(self) -> dict[str, str]:
        """From where the query reads: from the start, as its first state was made so too."""
        return {"auto.offset.reset": "earliest"}


@dataclass(frozen=True)
class Run:
    """A statement of a down file."""

    statement: Statement

    @property
    def texts(self) -> tuple[str, ...]:
        """What is sent."""
        return (self.statement.text,)


Action = Terminate | Drop | DeleteTopic | KeepTopic | Restore | Run


def describe(action: Action) -> str:
    """An action in a few words."""
    match action:
        case Terminate(query_id):
            return f"terminate {query_id}"
        case Drop(kind, name):
            return f"drop {kind.lower()} {name}"
        case DeleteTopic(topic):
            return f"delete topic {topic}"
        case KeepTopic(topic, reason):
            return f"keep topic {topic} ({reason})"
        case Restore(name, _, loses_state):
            how = "from the start of its sources" if loses_state else "in place"
            return f"define {name} as before, {how}"
        case Run(statement):
            return f"{statement.kind.value} {statement.name or ''}".rstrip()
