"""Python functions that SQL can call, on ksqlDB, on DuckDB and on Spark alike.

``api`` has the decorators, ``types`` says which hint is which SQL type, ``functions/`` holds what is
shipped, ``registry`` knows them all (a project's own too). ``duckdb``, ``spark`` and ``ksqldb/``
bring them to the engines; ``calls`` holds the rules that are the same on all of them.
"""

from opensea_metrics.udfs.api import aggregate, udaf, udf, udtf
from opensea_metrics.udfs.types import Digits, Int32

__all__ = ["Digits", "Int32", "aggregate", "udaf", "udf", "udtf"]
