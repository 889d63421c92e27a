"""Kafka as a sink: records delivered once and in order, nothing lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from opensea_metrics.producer import envelope
from opensea_metrics.producer.clients import Client, configured, quiet_logger
from opensea_metrics.producer.envelope import DeadLetter, Record
from opensea_metrics.producer.metrics import Latency
from opensea_metrics.producer.settings import KafkaSettings
from opensea_metrics.producer.sinks import SinkError, now_ms
from opensea_metrics.producer.topics import TopicSpec, ensure_topics
from opensea_metrics.producer.undelivered import Undelivered

_Headers = list[tuple[str, str | bytes | None]]

log = structlog.get_logger()

_AHEAD_MS = 3_600_000
"""Kafka refuses whole batches with a record further ahead (message.timestamp.after.max.ms)."""
_MOST_BYTES = 950_000
"""A larger record does not fit a broker's default message.max.bytes of 1 MB with its headers."""
_SAY_AGAIN = 30.0
"""Seconds before the same trouble is reported again."""


class KafkaSink:
    """Records and dead letters into their topics.

    Keyed by the collection's slug, with the event time as timestamp and the headers ``event_type``,
    ``chain`` and ``received_at`` (epoch ms, when the record was written to this sink). The producer
    is idempotent: with brokers that come and go, a record is there once and a key's records are in
    order; but a broker that was killed forgets producers whose newest record is older than
    ``producer.id.expiration.ms`` (a day) by its timestamp, so of old events those under way can then be
    there twice (observed, Kafka 4.3.1). It waits for brokers without limit of time, holding at most
    32 MiB or 100,000 records.
    What cannot be delivered (refused by the broker, or given up on) is written to a file in
    ``undelivered_dir``, which can be replayed, and makes :meth:`close` raise SinkError.
    """

    def __init__(
        self,
        client: Client,
        undelivered_dir: Path,
        compression: str = "lz4",
        latency: Latency | None = None,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._undelivered = Undelivered(undelivered_dir)
        self._observe = (latency or Latency()).observe
        self._clock = clock
        self._delivered = 0
        self._dead_letters = 0
        self._fatal: str | None = None
        self._gave_up = False
        self._said: dict[int, float] = {}
        self._producer = configured(
            Producer,
            {
                **client,
                "enable.idempotence": True,
                "acks": "all",
                "compression.type": compression,
                "linger.ms": 20,
                "message.timeout.ms": 0,  # never: what is held is bounded, and close() puts it aside
                "queue.buffering.max.messages": 100_000,
                "queue.buffering.max.kbytes": 32 * 1024,
                "reconnect.backoff.max.ms": 2_000,
                "partitioner": "murmur2_random",  # as Java's, so that ksqlDB can join by key
                "error_cb": self._error,
                "log_level": 0,
            },
            logger=quiet_logger(),
        )

    @property
    def delivered(self) -> int:
        return self._delivered

    @property
    def queued(self) -> int:
        return len(self._producer)

    @property
    def dead_letters(self) -> int:
        return self._dead_letters

    def write(self, record: Record) -> bool:
        now = self._clock()
        if record.timestamp_ms > now + _AHEAD_MS:
            return self.dead(DeadLetter("event time is over an hour ahead of now", record.value))
        if len(record.value) > _MOST_BYTES:
            return self.dead(DeadLetter("too large for a record in Kafka", record.value))
        headers: _Headers = [
            ("event_type", record.event),
            ("chain", record.chain),
            ("received_at", str(now)),
        ]
        return self._send(envelope.TOPIC, record.value, record.key, record.timestamp_ms, headers)

    def dead(self, letter: DeadLetter) -> bool:
        now = self._clock()
        headers: _Headers = [("received_at", str(now))]
        taken = self._send(envelope.DEAD_LETTER_TOPIC, letter.value, None, now, headers)
        self._dead_letters += taken
        return taken

    def _send(
        self,
        topic: str,
        value: bytes,
        key: str | None,
        timestamp_ms: int,
        headers: _Headers,
    ) -> bool:
        if self._gave_up:
            self._undelivered.add(value)
            return True
        try:
            self._producer.produce(
                topic, value, key, timestamp=timestamp_ms, headers=headers,
                on_delivery=self._acknowledged,
            )  # fmt: skip
        except BufferError:
            return False
        except KafkaException as error:  # the fatal state, or what this record alone breaks
            self._undelivered.add(value)
            self._tell(error.args[0])
        return True

    def poll(self) -> None:
        self._producer.poll(0)
        self._check()

    def flush(self, timeout: float) -> bool:
        left: int = self._producer.flush(timeout)
        self._check()
        return left == 0

    def give_up(self) -> None:
        if not self._gave_up:
            self._gave_up = True
            self._producer.purge()
            self._producer.flush(5.0)  # calls back for what was purged

    def close(self, timeout: float = 30.0) -> None:
        if self._fatal is None and not self._gave_up:
            self._producer.flush(timeout)
        self.give_up()
        self._undelivered.close()
        if self._undelivered.count:
            reason = self._fatal or self._undelivered.reason or f"no answer within {timeout:.0f} s"
            raise SinkError(
                f"{self._undelivered.count} records could not be delivered to Kafka ({reason}). "
                f"They are in {self._undelivered.path}: once Kafka is well, "
                f"`opensea-metrics replay {self._undelivered.path} --sink kafka`."
            )

    def _acknowledged(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            self._delivered += 1
            self._observe(message.latency() or 0.0)
            return
        self._undelivered.add(message.value() or b"")
        if error.code() not in (KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT):
            self._undelivered.reason = error.str()
            self._tell(error)

    def _error(self, error: KafkaError) -> None:
        if error.fatal() or error.code() == KafkaError._FATAL:
            self._fatal = error.str()
        self._tell(error)

    def _tell(self, error: KafkaError) -> None:
        now = time.monotonic()
        if now >= self._said.get(error.code(), 0.0):
            self._said[error.code()] = now + _SAY_AGAIN
            log.warning("trouble with Kafka", reason=error.str(), queued=self.queued)

    def _check(self) -> None:
        if self._fatal is not None and not self._gave_up:
            raise SinkError(f"Kafka's producer cannot go on: {self._fatal}. Start it again.")


def open_kafka(
    settings: KafkaSettings,
    undelivered_dir: Path,
    wanted: Sequence[TopicSpec],
    *,
    compression: str = "lz4",
    latency: Latency | None = None,
    wait_seconds: float = 60.0,
) -> KafkaSink:
    """A sink whose topics exist, made if they were missing. Raises SinkError."""
    client = settings.client()
    for name in ensure_topics(client, wanted, wait_seconds):
        log.info("made topic", topic=name)
    return KafkaSink(client, undelivered_dir, compression, latency)
