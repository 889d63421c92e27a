"""Spark's errors in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from opensea_metrics.core.errors import OpenSeaMetricsError
from opensea_metrics.producer.archive.errors import ArchiveError
from opensea_metrics.udfs.spark import first_reason

_SOURCE_ERROR = f"{ArchiveError.__module__}.{ArchiveError.__name__}: "
"""How Python writes it in a worker's traceback."""


class SparkError(OpenSeaMetricsError):
    """Spark gave up; the message has the first line of its reason."""


@contextmanager
def spark_errors() -> Iterator[None]:
    """Errors of Spark in one line: raises SparkError, and ArchiveError if the archive is the reason."""
    try:
        from py4j.protocol import Py4JError
        from pyspark.errors import PySparkException
    except ImportError:  # then the session was not opened
        yield
        return
    try:
        yield
    except (PySparkException, Py4JError) as error:
        reason = first_reason(error)
        if reason.startswith(_SOURCE_ERROR):
            raise ArchiveError(reason.removeprefix(_SOURCE_ERROR)) from error
        raise SparkError(f"Spark: {reason}") from error
