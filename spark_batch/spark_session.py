"""A Spark session for batch work."""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING

from opensea_metrics.core.definition import UdfError
from opensea_metrics.producer.archive.s3 import S3Settings
from opensea_metrics.spark_batch.settings import BatchSettings
from opensea_metrics.udfs import spark as functions

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

AWS_VERSION = "2.40.2"
S3A = (
    "org.apache.hadoop:hadoop-aws:3.5.0",
    f"software.amazon.awssdk:s3:{AWS_VERSION}",
    f"software.amazon.awssdk:s3-transfer-manager:{AWS_VERSION}",
    f"software.amazon.awssdk:sts:{AWS_VERSION}",
)
"""The packages for s3a://. The release of hadoop-aws is that of pyspark's Hadoop. Its bundle of all of AWS (686 MB)
is left out."""
_SQL = {
    # ksqlDB's arithmetic is Java's: integers wrap around, and a failed cast gives NULL.
    "spark.sql.ansi.enabled": "false",
    "spark.sql.session.timeZone": "UTC",
    # Otherwise, Spark replaces ${…} in names with variables of the environment and its own settings.
    "spark.sql.variable.substitute": "false",
    # Java does not compile longer methods. Spark then generates short methods, one for each operator.
    "spark.sql.codegen.hugeMethodLimit": "8000",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
}


def open_session(settings: BatchSettings, s3: S3Settings | None) -> SparkSession:
    """A new session, in the Spark of this process if one runs already. Our functions are registered in it.

    Raises UdfError if Spark is not installed or does not start.
    """
    try:
        from py4j.protocol import Py4JError
        from pyspark.errors import PySparkException
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise UdfError("Spark is not installed: pip install 'opensea-metrics[spark]'") from error
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    master = settings.spark_master or "local[*]"
    builder = (
        SparkSession.builder.appName("opensea-metrics")
        .master(master)
        .config("spark.driver.memory", settings.spark_driver_memory)
        # Pauses do not matter in a batch, and Java's default collector takes more CPU time.
        .config("spark.driver.extraJavaOptions", "-XX:+UseParallelGC")
        .config("spark.ui.showConsoleProgress", "false")
        # Errors are raised. Other log lines, for example about code too long to compile, are not errors.
        .config("spark.log.level", "OFF")
    )
    if master.startswith("local"):
        builder = builder.config("spark.ui.enabled", "false")
        builder = builder.config("spark.driver.bindAddress", "127.0.0.1")
        builder = builder.config("spark.driver.host", "127.0.0.1")
    if s3 is not None and settings.spark_fetch_s3a:
        builder = builder.config("spark.jars.packages", ",".join(S3A))
        builder = builder.config("spark.jars.excludes", "software.amazon.awssdk:bundle")
    try:
        session = builder.getOrCreate().newSession()
    except (PySparkException, Py4JError) as error:
        raise UdfError(f"Spark does not start at {master}: {first_reason(error)}") from error
    for name, value in _SQL.items():
        session.conf.set(name, value)
    # The default, 200, is for clusters. Here, starting so many small tasks would take longer than their work.
    cores = session.sparkContext.defaultParallelism
    session.conf.set("spark.sql.shuffle.partitions", str(max(2, 2 * cores)))
    if s3 is not None:
        hadoop = session.sparkContext._jsc.hadoopConfiguration()
        for name, value in s3.hadoop().items():
            hadoop.set(name, value)
    functions.register(session)
    return session


def first_reason(error: Exception) -> str:
    """The cause of an error, in one line: the exception of a worker's Python, or else Java's message.

    In an error of py4j, Java's message is the line that begins with a colon.
    """
    text = str(error).strip() or type(error).__name__
    if raised := re.search(r"^.*Traceback \(most.*\n(?:[ \t].*\n)+(\S.*)", text, re.MULTILINE):
        return raised[1]
    lines = text.splitlines()
    return next((line.lstrip(": ") for line in lines if line.startswith(": ")), lines[0])
