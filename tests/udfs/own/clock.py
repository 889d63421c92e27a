"""TIME, which Spark does not have."""

from __future__ import annotations

from datetime import time

from opensea_metrics.udfs import udf


@udf
def echo_time(value: time) -> time:
    return value
