"""Sends long-form results to their topics in the form of the streaming statements: JSON, no key.

One transaction holds all rows, so consumers of committed records see all rows of a run, or none. A repeated run
repeats the rows. Of several rows with the same (metric, collection, nft_id, timestamp), the newest counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import orjson
import pyarrow as pa
from confluent_kafka import KafkaException, Producer

from opensea_metrics.core.errors import OpenSeaMetricsError
from opensea_metrics.producer.kafka_clients import configured
from opensea_metrics.producer.settings import KafkaSettings

_WAIT = 60.0
"""The most seconds that brokers may take to begin or end a transaction."""
_TRANSACTION_ID = "opensea-metrics-recompute"
"""The same for all runs. If two run at the same time, the older one fails because Kafka fences it off."""


class KafkaSinkError(OpenSeaMetricsError):
    """The brokers refused the results. No reader sees any of them."""


class KafkaResultSink:
    """Sends rows in a transaction, which ends with :meth:`commit` or :meth:`abort`."""

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
        """Send rows, and return their number. Raises KafkaSinkError."""
        if topic not in self._topics:
            raise KafkaSinkError(f"there is no topic {topic}: apply the migrations first")
        rows = 0
        for batch in batches:
            for row in batch.to_pylist():
                self._produce(topic, orjson.dumps(row))
                rows += 1
        return rows

    def commit(self) -> None:
        """Make the rows visible. Raises KafkaSinkError."""
        self._try(lambda: self._producer.commit_transaction(_WAIT))

    def abort(self) -> None:
        """Discard the rows. Raises KafkaSinkError."""
        self._try(lambda: self._producer.abort_transaction(_WAIT))

    def _produce(self, topic: str, value: bytes) -> None:
        while True:
            try:
                self._producer.produce(topic, value)
            except BufferError:
                self._producer.poll(1)
            except KafkaException as error:
                raise KafkaSinkError(f"Kafka refused the results: {error.args[0].str()}") from error
            else:
                self._producer.poll(0)
                return

    def _try(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except KafkaException as error:
            raise KafkaSinkError(
                f"Kafka refused the results: {error.args[0].str()}. Check that the brokers in "
                "KAFKA_BOOTSTRAP_SERVERS are running."
            ) from error
