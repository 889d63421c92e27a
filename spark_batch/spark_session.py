"""A Spark session for batch work."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

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
    # A text that is cut within a character has a mark there, as in Java. It is not an error.
    "spark.sql.legacy.codingErrorAction": "true",
}


def open_session(settings: BatchSettings, s3: S3Settings | None) -> SparkSession:
    """A new session, in the Spark of this process if one runs already. Its workers have our package.

    Raises UdfError if Spark is not installed or does not start.
    """
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    master = settings.spark_master or "local[*]"
    options = {
        "spark.app.name": "opensea-metrics",
        "spark.master": master,
        "spark.driver.memory": settings.spark_driver_memory,
        # Pauses do not matter in a batch, and Java's default collector takes more CPU time.
        "spark.driver.extraJavaOptions": "-XX:+UseParallelGC",
        "spark.ui.showConsoleProgress": "false",
        # Errors are raised. Other log lines, for example about code too long to compile, are not errors.
        "spark.log.level": "OFF",
    }
    if master.startswith("local"):
        options |= {
            "spark.ui.enabled": "false",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.driver.host": "127.0.0.1",
        }
    if s3 is not None and settings.spark_fetch_s3a:
        options |= {
            "spark.jars.packages": ",".join(S3A),
            "spark.jars.excludes": "software.amazon.awssdk:bundle",
        }
    session = functions.started(options).newSession()
    for name, value in _SQL.items():
        session.conf.set(name, value)
    # The default, 200, is for clusters. Here, starting so many small tasks would take longer than their work.
    cores = session.sparkContext.defaultParallelism
    session.conf.set("spark.sql.shuffle.partitions", str(max(2, 2 * cores)))
    if s3 is not None:
        hadoop = session.sparkContext._jsc.hadoopConfiguration()
        for name, value in s3.hadoop().items():
            hadoop.set(name, value)
    functions.send(session)
    return session
