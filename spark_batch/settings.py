"""Settings of batch work from the environment and from ``.env`` in the working directory."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from opensea_metrics.producer.environment import Environment


class BatchSettings(Environment):
    """Where batch work runs.

    With a ``spark_master`` (``spark://host:7077``, ``local[4]``), Spark is the default engine. Without one, Spark is
    the default for files of ``spark_from_gb`` or more. With ``spark_fetch_s3a``, Spark fetches the packages for s3a://
    from Maven Central. Switch it off if Spark has these packages already.
    """

    model_config = SettingsConfigDict(env_prefix="OPENSEA_METRICS_")

    spark_master: str | None = None
    spark_from_gb: float = Field(default=50, gt=0)
    spark_driver_memory: str = "2g"
    spark_fetch_s3a: bool = True
