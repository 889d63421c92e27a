"""Python functions that SQL can call on ksqlDB, on DuckDB and on Spark.

``api`` has the decorators, and ``types`` maps type hints to SQL types. ``functions/`` has the functions of
this package, and ``registry`` finds all functions, including a project's own. ``duckdb``, ``spark`` and ``ksqldb/``
register them with the engines. ``calls`` has the rules that are the same on all engines.
"""

from opensea_metrics.udfs.api import aggregate, udaf, udf, udtf
from opensea_metrics.udfs.types import Digits, Int32

__all__ = ["Digits", "Int32", "aggregate", "udaf", "udf", "udtf"]
