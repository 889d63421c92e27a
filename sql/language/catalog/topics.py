"""Declarations of topics. A second statement over a topic must agree with the first."""

from __future__ import annotations

from collections.abc import Mapping

from opensea_metrics.core.errors import Place, SqlError
from opensea_metrics.sql.language.catalog.sources import Topic
from opensea_metrics.sql.language.statements.statements import Statement


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
    """The number in the WITH clause, or the default. None stands for Kafka's own default, which is not known here."""
    count = int(statement.properties.get(name, default or -1))
    return count if count >= 1 else None
