"""Kafka as a sink. Records are delivered once and in order, and none are lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import orjson
import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from opensea_metrics.core.wording import counted
from opensea_metrics.producer import envelope
from opensea_metrics.producer.envelope import DeadLetter, Record
from opensea_metrics.producer.kafka_clients import Client, configured, quiet_logger
from opensea_metrics.producer.metrics import Latency
from opensea_metrics.producer.settings import KafkaSettings
from opensea_metrics.producer.sinks import SinkError, Undelivered, now_ms
from opensea_metrics.producer.topics import TopicSpec, ensure_topics

_Headers = list[tuple[str, str | bytes | None]]

log = structlog.get_logger()

_AHEAD_MS = 3_600_000
"""If a record's time is further in the future, Kafka refuses its whole batch (message.timestamp.after.max.ms)."""
_MOST_BYTES = 950_000
"""With its headers, a larger record exceeds a broker's default message.max.bytes of 1 MB."""
_READY_SECONDS = 2.0
_SAY_AGAIN = 30.0
"""Seconds before the same problem is reported again."""


class KafkaSink:
    """Writes records and dead letters into their topics.

    A record's key is the collection's slug, and its timestamp is the event time. Its headers are ``event_type``,
    ``chain`` and ``received_at`` (epoch ms, when the record was written to this sink).

    The producer is idempotent. Even if brokers come and go, each record arrives once, and the records of a
    key arrive in order. There is one exception (observed, Kafka 4.3.1). A broker that was killed forgets producers
    whose newest timestamp is older than ``producer.id.expiration.ms`` (a day). Old events that were on their way
    at that moment can arrive twice.

    The sink waits for brokers without a time limit, and holds at most 12 MiB or 100,000 records. Records
    that the broker refuses, or that the sink gives up on, go to a file in ``undelivered_dir``, which can be
    replayed. If there are any, :meth:`close` raises SinkError.
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
        self.is_ready = False
        """Whether librdkafka has reported that it has its id."""
        self._producer = configured(
            Producer,
            {
                **client,
                "enable.idempotence": True,
                "acks": "all",
                "compression.type": compression,
                "linger.ms": 20,
                "message.timeout.ms": 0,  # no time-out: the queue is bounded, and close() saves it to a file
                "queue.buffering.max.messages": 100_000,
                "queue.buffering.max.kbytes": 12 * 1024,
                "reconnect.backoff.max.ms": 2_000,
                "partitioner": "murmur2_random",  # Java's partitioner, so that ksqlDB can join by key
                "error_cb": self._error,
                "stats_cb": self._statistics,
                "statistics.interval.ms": 250,
                "log_level": 0,
            },
            logger=quiet_logger(),
        )

    def await_ready(self, seconds: float) -> None:
        """Wait until records can go out, but no longer than some seconds.

        An idempotent producer first needs an id. librdkafka asks for it half a second after its start (observed,
        2.16), and the records of that time would wait.
        """
        deadline = time.monotonic() + seconds
        while not self.is_ready and time.monotonic() < deadline:
            self._producer.poll(0.05)

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
        except KafkaException as error:  # either the producer is in the fatal state, or only this record has a problem
            self._undelivered.add(value)
            self._report(error.args[0])
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
            self._producer.flush(5.0)  # calls back for the purged records

    def close(self, timeout: float = 30.0) -> None:
        if self._fatal is None and not self._gave_up:
            self._producer.flush(timeout)
        self.give_up()
        self._undelivered.close()
        if self._undelivered.count:
            reason = self._fatal or self._undelivered.reason or f"no answer within {timeout:.0f} s"
            raise SinkError(
                f"{counted(self._undelivered.count, 'record')} could not be delivered to Kafka ({reason}). "
                f"They are in {self._undelivered.path}. When Kafka works again, run "
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
            self._report(error)

    def _error(self, error: KafkaError) -> None:
        if error.fatal() or error.code() == KafkaError._FATAL:
            self._fatal = error.str()
        self._report(error)

    def _statistics(self, text: str) -> None:
        if not self.is_ready:
            self.is_ready = orjson.loads(text).get("eos", {}).get("idemp_state") == "Assigned"

    def _report(self, error: KafkaError) -> None:
        now = time.monotonic()
        if now >= self._said.get(error.code(), 0.0):
            self._said[error.code()] = now + _SAY_AGAIN
            log.warning("problem with Kafka", reason=error.str(), queued=self.queued)

    def _check(self) -> None:
        if self._fatal is not None and not self._gave_up:
            raise SinkError(f"Kafka's producer cannot continue: {self._fatal}. Start `produce` again.")


def open_kafka(
    settings: KafkaSettings,
    undelivered_dir: Path,
    wanted: Sequence[TopicSpec],
    *,
    compression: str = "lz4",
    latency: Latency | None = None,
    wait_seconds: float = 60.0,
) -> KafkaSink:
    """A sink whose topics exist. Creates missing topics. Raises SinkError."""
    client = settings.client()
    for name in ensure_topics(client, wanted, wait_seconds):
        log.info("created topic", topic=name)
    sink = KafkaSink(client, undelivered_dir, compression, latency)
    sink.await_ready(_READY_SECONDS)
    return sink
