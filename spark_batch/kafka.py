"""Long-form results as records of their topics, as the streaming statements write them: JSON, no key.

All in one transaction: who reads committed records sees all of a run or nothing of it. A repeated run
repeats the rows; of equal (metric, collection, nft_id, timestamp) the newest counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import orjson
import pyarrow as pa
from confluent_kafka import KafkaException, Producer

from opensea_metrics.core.errors import OpenSeaMetricsError
from opensea_metrics.producer.clients import configured
from opensea_metrics.producer.settings import KafkaSettings

_WAIT = 60.0
"""Seconds that brokers have to begin and end a transaction."""
_TRANSACTION_ID = "opensea-metrics-recompute"
"""One for all runs: of two at a time the older one is told that it was fenced off."""


class KafkaSinkError(OpenSeaMetricsError):
    """The brokers did not take the results; none of them count."""


class KafkaSink:
    """Sends rows until :meth:`commit`."""

    def __init__(self, settings: KafkaSettings) -> None:
        """Begin a transaction. Raises KafkaSinkError."""
        self._producer = configured(
            Producer,
            settings.client()
            | {"transactional.id": _TRANSACTION_ID, "linger.ms": 20, "compression.type": "lz4"},
        )
        self._try(lambda: self._producer.init_transactions(_WAIT))
        self._try(self._producer.begin_transaction)
        self._topics = self._try(lambda: self._producer.list_topics(timeout=_WAIT)).topics

    def send(self, topic: str, batches: Iterable[pa.RecordBatch]) -> int:
        """Send rows; gives how many. Raises KafkaSinkError."""
        if topic not in self._topics:
            raise KafkaSinkError(f"there is no topic {topic}: apply the migrations first")
        rows = 0
        for batch in batches:
            for row in batch.to_pylist():
                self._produce(topic, orjson.dumps(row))
                rows += 1
        return rows

    def commit(self) -> None:
        """Make the rows count. Raises KafkaSinkError."""
        self._try(lambda: self._producer.commit_transaction(_WAIT))

    def abort(self) -> None:
        """Forget the rows."""
        self._try(lambda: self._producer.abort_transaction(_WAIT))

    def _produce(self, topic: str, value: bytes) -> None:
        while True:
            try:
                self._producer.produce(topic, value)
            except BufferError:
                self._producer.poll(1)
            except KafkaException as error:
                raise KafkaSinkError(f"Kafka does not take results: {error.args[0].str()}") from error
            else:
                self._producer.poll(0)
                return

    def _try(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except KafkaException as error:
            raise KafkaSinkError(
                f"Kafka does not take results: {error.args[0].str()}. Are the brokers of "
                "KAFKA_BOOTSTRAP_SERVERS up?"
            ) from error
