from __future__ import annotations

import importlib.util
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from opensea_metrics.spark_batch import recompute
from opensea_metrics.spark_batch.settings import BatchSettings
from opensea_metrics.spark_batch.upkeep.rows import raw_stream
from opensea_metrics.sql.language.catalog.changes import check
from opensea_metrics.sql.language.catalog.sources import Source
from opensea_metrics.sql.language.project.project import Project, load_project
from opensea_metrics.udfs import registry
from tests.parts import s3
from tests.spark_batch.archives import SQL
from tests.spark_batch.places import TOPIC, Place, on_disk


@pytest.fixture(autouse=True, scope="package")
def the_packaged_project_is_read_once() -> Iterator[None]:
    """Reading it takes 0.4 s, in each of 200 runs. A test may change the functions, and has other projects."""
    projects: dict[object, Project] = {}

    def load(root: Path | None, variables: Mapping[str, str]) -> Project:
        if root != SQL:
            return load_project(root, variables)
        key = (frozenset(variables.items()), os.environ.get(registry.VARIABLE))
        if key not in projects:
            projects[key] = load_project(root, variables)
        return projects[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recompute, "load_project", load)
        yield


@pytest.fixture(scope="session")
def spark() -> Any:
    """A session of a Spark on two threads of this machine."""
    if importlib.util.find_spec("pyspark") is None:
        pytest.skip("pyspark is not installed")
    if shutil.which("java") is None:
        pytest.skip("Spark needs Java")
    from opensea_metrics.spark_batch.spark_session import open_session

    return open_session(BatchSettings(spark_master="local[2]"), None)


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[s3.S3]:
    with s3.running(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(scope="session")
def stream() -> Source:
    """The raw stream as sql/ declares it."""
    return raw_stream(check(load_project()), TOPIC)


@pytest.fixture
def disk(tmp_path: Path) -> Place:
    """An archive on the disk."""
    return on_disk(tmp_path)


@pytest.fixture
def bucket(s3_server: s3.S3, monkeypatch: pytest.MonkeyPatch) -> Place:
    """An archive in a bucket of its own."""
    for variable, value in s3_server.environment.items():
        monkeypatch.setenv(variable, value)
    made = f"raw-{uuid.uuid4().hex}"
    fs = s3_server.filesystem()
    fs.call_s3("create_bucket", Bucket=made)
    fs.pipe_file(f"{made}/topics/{TOPIC}/.keep", b"")
    return Place(f"s3a://{made}/topics/{TOPIC}", f"{made}/topics/{TOPIC}", fs)


@pytest.fixture(params=["disk", "bucket"])
def place(request: pytest.FixtureRequest) -> Place:
    """An archive, of both kinds."""
    found: Place = request.getfixturevalue(request.param)
    return found
