"""A real Cassandra (one node) on loopback, from Maven Central's jars (66 MB, fetched once)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from opensea_metrics.spark_batch.cassandra_session import CassandraSettings
from tests.parts import maven, process
from tests.parts.ports import free_port

VERSION = "5.0.6"
SCHEMA = Path(__file__).parents[2] / "deploy" / "compose" / "cassandra" / "schema.cql"
# The options that Cassandra's own start script passes to JDK 17 (conf/jvm17-server.options).
_OPENED = (
    "java.base/java.io", "java.base/java.lang", "java.base/java.lang.reflect", "java.base/java.math",
    "java.base/java.net", "java.base/java.nio", "java.base/java.util", "java.base/java.util.concurrent",
    "java.base/java.util.concurrent.atomic", "java.base/jdk.internal.loader",
    "java.base/jdk.internal.math", "java.base/jdk.internal.misc", "java.base/jdk.internal.module",
    "java.base/jdk.internal.ref", "java.base/jdk.internal.reflect",
    "java.base/jdk.internal.util.jar", "java.base/sun.nio.ch", "java.rmi/sun.rmi.transport",
    "java.rmi/sun.rmi.transport.tcp", "java.management/com.sun.jmx.remote.security",
    "java.logging/java.util.logging", "jdk.management/com.sun.management.internal",
)  # fmt: skip
_EXPORTED = (
    "java.base/jdk.internal.misc", "java.base/jdk.internal.ref", "java.base/sun.nio.ch",
    "java.management.rmi/com.sun.jmx.remote.internal.rmi", "java.rmi/sun.rmi.registry",
    "java.rmi/sun.rmi.server", "java.sql/java.sql", "jdk.unsupported/sun.misc",
    "java.base/java.lang.ref", "java.base/jdk.internal.util", "jdk.attach/sun.tools.attach",
)  # fmt: skip


@contextmanager
def running(data: Path, properties: tuple[str, ...] = ()) -> Iterator[CassandraSettings]:
    """A node that runs during a block. ``properties`` are further arguments of its JVM."""
    jars = maven.jars(f"cassandra-{VERSION}", f"org.apache.cassandra:cassandra-all:{VERSION}")
    port, storage = free_port(), free_port()
    data.mkdir(parents=True)
    (data / "cassandra.yaml").write_text(
        f"""cluster_name: tests
num_tokens: 1
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
commitlog_sync: periodic
commitlog_sync_period: 10000ms
data_file_directories: [{data}/data]
commitlog_directory: {data}/commitlog
saved_caches_directory: {data}/saved_caches
hints_directory: {data}/hints
cdc_raw_directory: {data}/cdc
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters: [{{seeds: "127.0.0.1:{storage}"}}]
listen_address: 127.0.0.1
storage_port: {storage}
rpc_address: 127.0.0.1
native_transport_port: {port}
endpoint_snitch: SimpleSnitch
memtable_heap_space: 64MiB
auto_snapshot: false
""",
        encoding="utf-8",
    )
    command = [
        "java", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
        f"-Dcassandra.config=file://{data}/cassandra.yaml", f"-Dcassandra.storagedir={data}",
        "-Dcassandra-foreground=yes", "-Dcassandra.skip_wait_for_gossip_to_settle=0",
        "-Dcassandra.ring_delay_ms=100", "-Djdk.attach.allowAttachSelf=true",
        "-Djava.security.manager=allow",
        *(f"--add-opens={package}=ALL-UNNAMED" for package in _OPENED),
        *(f"--add-exports={package}=ALL-UNNAMED" for package in _EXPORTED),
        *properties, "-cp", f"{jars}/*", "org.apache.cassandra.service.CassandraDaemon",
    ]  # fmt: skip
    settings = CassandraSettings(
        _env_file=None, contact_points="127.0.0.1", port=port, user="", password=SecretStr(""), timeout=30
    )
    log = data / "out.log"

    def ready() -> bool:
        return b"Starting listening for CQL" in log.read_bytes()

    with process.running_java(f"cassandra-{VERSION}", command, log, ready):
        yield settings


def make_tables(settings: CassandraSettings) -> None:
    """Create the tables with the schema that docker compose runs."""
    from cassandra.cluster import Cluster

    text = re.sub(r"--.*", "", SCHEMA.read_text(encoding="utf-8"))
    cluster = Cluster([settings.contact_points], port=settings.port)
    try:
        session = cluster.connect()
        for statement in text.split(";"):
            if statement.strip():
                session.execute(statement, timeout=60)
    finally:
        cluster.shutdown()


def read(settings: CassandraSettings, query: str) -> list[dict[str, Any]]:
    """The rows of a query, as dicts of column → value."""
    from opensea_metrics.spark_batch.cassandra_session import connected

    with connected(settings) as session:
        return list(session.execute(query))
