from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from spark_batch.settings import BatchSettings
from tests.parts import s3


@pytest.fixture(scope="session")
def spark() -> Any:
    """A session of a Spark on two threads of this machine."""
    if importlib.util.find_spec("pyspark") is None:
        pytest.skip("pyspark is not installed")
    if shutil.which("java") is None:
        pytest.skip("Spark needs Java")
    from spark_batch.spark_session import open_session

    return open_session(BatchSettings(spark_master="local[2]"), None)


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[s3.S3]:
    with s3.running(tmp_path_factory.mktemp("s3")) as server:
        yield server
