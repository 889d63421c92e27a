"""The servers that clients are run against, and the names of one run."""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.embedded.conformance import Run
from tests.embedded.conftest import SERVERS, servers

__all__ = ["servers"]

NPM_PACKAGES = ("ksqldb-client@1.0.5", "ksqldb-js@1.1.2")
EARLIEST = {"auto.offset.reset": "earliest"}


@dataclass(frozen=True)
class Target:
    """A server, and a stream and a table on it with names that no other run has.

    The stream has the columns K VARCHAR KEY, V INT. The table counts the rows of each K as N and adds up V as S.
    """

    kind: str
    url: str
    stream: str
    table: str

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def run(self) -> Run:
        """A way to send the conformance tests' requests."""
        return Run(self.url, is_real=self.kind == "ksqldb")

    def sum_of(self, key: str) -> int:
        """The sum S of a key that was just inserted, as soon as the table has it."""
        ((_, _, total),) = self.run().wait(f"SELECT * FROM {self.table} WHERE k = '{key}';", 1)
        return int(total)


@pytest.fixture(scope="module", params=SERVERS)
def target(request: pytest.FixtureRequest, servers: dict[str, str]) -> Iterator[Target]:
    """A server with a new stream and table. Their first rows are ('a', 1), ('b', 2); tests add others."""
    if request.param not in servers:
        pytest.skip("KSQLDB_URL is not set")
    prefix = f"C{secrets.token_hex(3)}_".upper()
    target = Target(request.param, servers[request.param], f"{prefix}S", f"{prefix}T")
    run = target.run()
    run.prefix = prefix
    columns = "k VARCHAR KEY, v INT"
    run.execute(f"CREATE STREAM RUN_S ({columns}) WITH (KAFKA_TOPIC='RUN_s', VALUE_FORMAT='JSON', PARTITIONS=1);")
    run.execute("CREATE TABLE RUN_T AS SELECT k, COUNT(*) AS n, SUM(v) AS s FROM RUN_S GROUP BY k EMIT CHANGES;")
    run.execute("INSERT INTO RUN_S (k, v) VALUES ('a', 1);")
    run.execute("INSERT INTO RUN_S (k, v) VALUES ('b', 2);")
    run.wait("SELECT * FROM RUN_T;", 2)
    yield target
    run.clean_up()


@pytest.fixture(scope="session")
def node_packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the npm clients. Skips if Node.js, npm or the registry is missing."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are needed; install Debian's packages nodejs and npm")
    directory = tmp_path_factory.mktemp("npm")
    (directory / "package.json").write_text(json.dumps({"private": True}))
    command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", *NPM_PACKAGES]
    installed = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    if installed.returncode:
        pytest.skip(f"npm cannot install {', '.join(NPM_PACKAGES)}: {installed.stderr.strip()[-300:]}")
    return directory


def run_node(directory: Path, script: Path, *arguments: str) -> dict[str, Any]:
    """Run a script that prints a JSON object on each line, and return the union of the objects."""
    copied = directory / script.name
    shutil.copy(script, copied)
    done = subprocess.run(
        ["node", copied.name, *arguments], cwd=directory, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    results: dict[str, Any] = {}
    for line in done.stdout.splitlines():
        if line.startswith("{"):
            results |= json.loads(line)
    return results
