"""A real Kafka Connect worker (standalone) and a real Schema Registry (Apicurio), both from Maven."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.parts import maven, process
from tests.parts.ports import free_port

KAFKA = "4.3.1"
APICURIO = "2.6.13.Final"


def _answers(url: str) -> bool:
    with urllib.request.urlopen(url, timeout=2):  # its errors are OSErrors
        return True


@contextmanager
def worker(data: Path, bootstrap: str) -> Iterator[str]:
    """A worker with the file connectors. Yields its URL."""
    jars = maven.jars(
        f"connect-{KAFKA}",
        *(f"org.apache.kafka:connect-{module}:{KAFKA}" for module in ("runtime", "json", "file")),
    )
    plugins = data / "plugins/file"
    plugins.mkdir(parents=True)
    (file,) = jars.glob("connect-file-*.jar")
    (plugins / file.name).symlink_to(file)
    url = f"http://127.0.0.1:{free_port()}"
    (data / "worker.properties").write_text(
        f"""bootstrap.servers={bootstrap}
listeners={url}
plugin.path={plugins.parent}
plugin.discovery=service_load
offset.storage.file.filename={data}/offsets
key.converter=org.apache.kafka.connect.storage.StringConverter
value.converter=org.apache.kafka.connect.storage.StringConverter
""",
        encoding="utf-8",
    )
    command = [
        "java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", f"{jars}/*",
        "org.apache.kafka.connect.cli.ConnectStandalone", str(data / "worker.properties"),
    ]  # fmt: skip
    with process.running_java(f"connect-{KAFKA}", command, data / "worker.log", lambda: _answers(f"{url}/connectors")):
        yield url


@contextmanager
def registry(data: Path) -> Iterator[str]:
    """A registry in memory with Confluent's interface. Yields its URL."""
    folder = maven.archive(
        f"apicurio-{APICURIO}", f"io.apicurio:apicurio-registry-app:{APICURIO}:tar.gz:all"
    )
    (jar,) = folder.glob("*-runner.jar")
    port = free_port()
    url = f"http://127.0.0.1:{port}/apis/ccompat/v7"
    data.mkdir(parents=True, exist_ok=True)
    command = [
        "java", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
        "-Dquarkus.http.host=127.0.0.1", f"-Dquarkus.http.port={port}", "-jar", str(jar),
    ]  # fmt: skip
    log = data / "registry.log"
    with process.running_java(f"apicurio-{APICURIO}", command, log, lambda: _answers(f"{url}/subjects")):
        yield url
