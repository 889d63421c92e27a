"""A real Spark cluster on loopback: a master and a worker, from pyspark's own jars."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.parts.ports import free_port

_JAVA = ("java", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")


def needed() -> Path:
    """The folder of pyspark. Skips the test if Spark cannot run here."""
    spec = importlib.util.find_spec("pyspark")
    if spec is None or spec.origin is None:
        pytest.skip("pyspark is not installed: make install EXTRAS=test,spark")
    if shutil.which("java") is None:
        pytest.skip("Spark needs java")
    return Path(spec.origin).parent


@contextmanager
def cluster(folder: Path) -> Iterator[str]:
    """Yields the URL of a master that has one worker with two cores. Logs go to ``folder``."""
    home = needed()
    port = free_port()
    url = f"spark://127.0.0.1:{port}"
    package = "org.apache.spark.deploy"
    commands = (
        (f"{package}.master.Master", "--host", "127.0.0.1", "--port", str(port), "--webui-port", "0"),
        (f"{package}.worker.Worker", "--host", "127.0.0.1", "--cores", "2", "--memory", "1g",
         "--webui-port", "0", "--work-dir", str(folder / "work"), url),
    )  # fmt: skip
    running: list[subprocess.Popen[bytes]] = []
    try:
        for command in commands:
            log = folder / f"{command[0].rsplit('.', 1)[-1]}.log"
            with open(log, "wb") as output:
                running.append(
                    subprocess.Popen(
                        (*_JAVA, "-cp", f"{home}/jars/*", *command),
                        env=os.environ
                        | {"SPARK_HOME": str(home), "SPARK_LOCAL_IP": "127.0.0.1", "SPARK_SCALA_VERSION": "2.13"},
                        stdout=output, stderr=output,
                    )
                )  # fmt: skip
        _wait(folder / "Worker.log", "Successfully registered with master", running)
        yield url
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait()


def _wait(log: Path, text: str, running: list[subprocess.Popen[bytes]]) -> None:
    deadline = time.monotonic() + 180
    while text not in log.read_text(errors="replace"):
        if time.monotonic() > deadline or any(p.poll() is not None for p in running):
            raise RuntimeError(f"Spark does not start: {log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.2)
