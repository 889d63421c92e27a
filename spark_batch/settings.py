"""Settings of batch work from the environment and from ``.env`` in the working directory."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from opensea_metrics.producer.environment import Environment


class BatchSettings(Environment):
    """Where batch work runs. ``spark_master`` (``spark://host:7077``, ``local[4]``): with it Spark is
    what computes, unless told otherwise; else Spark takes over from ``spark_from_gb`` on, of files.
    ``spark_fetch_s3a``: fetch what s3a:// needs from Maven Central; not where Spark has it already."""

    model_config = SettingsConfigDict(env_prefix="OPENSEA_METRICS_")

    spark_master: str | None = None
    spark_from_gb: float = Field(default=50, gt=0)
    spark_driver_memory: str = "2g"
    spark_fetch_s3a: bool = True
