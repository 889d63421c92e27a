"""A real Kafka broker (KRaft, one node) on loopback, from Maven Central's jars.

Maven fetches the jars (44 MB) once, into ``$XDG_CACHE_HOME/opensea-metrics-tests``.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient

from tests.parts import java, maven
from tests.parts.cache import once
from tests.parts.ports import free_port

VERSION = "4.3.1"
_JAVA = ("java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
_CLUSTER = "MkU3OEVBNTcwNTJENDM2Qg"
"""The id of the cluster, a UUID in base64."""


def jars() -> Path:
    """The folder with Kafka's jars. Fetches them if needed. Skips the test without Java or Maven."""
    return maven.jars(f"kafka-{VERSION}", f"org.apache.kafka:kafka_2.13:{VERSION}")


class Broker:
    """A broker that a test can kill and restart, on the same port and with the same data."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._classpath = f"{jars()}/*"
        self._process: subprocess.Popen[bytes] | None = None
        port, controller = free_port(), free_port()
        self.bootstrap = f"127.0.0.1:{port}"
        self._config = data / "server.properties"
        data.mkdir(parents=True, exist_ok=True)
        self._config.write_text(
            f"""process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://{self.bootstrap},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://{self.bootstrap}
controller.listener.names=CONTROLLER
log.dirs={data}/logs
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
auto.create.topics.enable=false
offsets.topic.num.partitions=1
transaction.state.log.num.partitions=1
""",
            encoding="utf-8",
        )
        shutil.copytree(_formatted(self._config, self._classpath), data / "logs")
        program = (*_JAVA, "-cp", self._classpath, "kafka.Kafka", str(self._config))
        self._command = java.with_archive(f"kafka-{VERSION}", program, self._start_and_end)

    def start(self) -> None:
        """Start the broker and wait until it answers."""
        self._start(self._command)

    def _start_and_end(self, command: list[str]) -> None:
        self._start(command)
        assert self._process is not None
        java.ended(self._process)

    def _start(self, command: list[str]) -> None:
        with open(self._data / "out.log", "ab") as out:
            self._process = subprocess.Popen(command, stdout=out, stderr=out)
        admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        deadline = time.monotonic() + 120
        while True:
            try:
                admin.list_topics(timeout=2)
                return
            except KafkaException:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    log = (self._data / "out.log").read_text(errors="replace")
                    raise RuntimeError(f"the broker does not start: {log[-2000:]}") from None

    def kill(self) -> None:
        """kill -9."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()  # its data is deleted, so it needs no clean shutdown
            self._process.wait()


def _formatted(config: Path, classpath: str) -> Path:
    """A formatted directory of a broker. Each broker gets a copy, because formatting starts a JVM."""

    def make(folder: Path) -> None:
        text = config.read_text(encoding="utf-8")
        formatting = folder / "server.properties"
        logs = f"log.dirs={folder / 'logs'}"
        lines = [logs if line.startswith("log.dirs=") else line for line in text.splitlines()]
        formatting.write_text("\n".join(lines), encoding="utf-8")
        subprocess.run(
            (*_JAVA, "-cp", classpath, "kafka.tools.StorageTool", "format", "-t", _CLUSTER, "-c", str(formatting)),
            check=True, capture_output=True, timeout=120,
        )  # fmt: skip

    return once(f"kafka-{VERSION}-formatted", make) / "logs"


@contextmanager
def running(data: Path) -> Iterator[Broker]:
    """A broker that runs during a block."""
    broker = Broker(data)
    try:
        broker.start()
        yield broker
    finally:
        broker.stop()


def size_of(bootstrap: str, topic: str) -> int:
    """How many messages a topic has."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "none"})
    try:
        partitions = consumer.list_topics(topic, timeout=30).topics[topic].partitions
        marks = [_bounds(consumer, TopicPartition(topic, number)) for number in partitions]
        return sum(high - low for low, high in marks)
    finally:
        consumer.close()


def _bounds(consumer: Consumer, partition: TopicPartition) -> tuple[int, int]:
    """A partition's first offset, and its next one. Waits, because a new partition has no leader at first."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return consumer.get_watermark_offsets(partition, timeout=10)
        except KafkaException:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def read_topic(bootstrap: str, topic: str) -> list[Message]:
    """All messages that a topic has now, partition by partition, in order of offset."""
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "none", "enable.auto.commit": False}
    )
    messages: list[Message] = []
    try:
        partitions = consumer.list_topics(topic, timeout=30).topics[topic].partitions
        for partition in sorted(partitions):
            low, high = _bounds(consumer, TopicPartition(topic, partition))
            consumer.assign([TopicPartition(topic, partition, low)])
            deadline = time.monotonic() + 120
            while low < high:
                for message in consumer.consume(10_000, timeout=0.2):
                    assert message.error() is None, message.error()
                    messages.append(message)
                    low = message.offset() + 1  # type: ignore[operator]
                assert time.monotonic() < deadline, f"{topic} cannot be read to its end"
    finally:
        consumer.close()
    return messages
