"""Functions that DuckDB and Spark call in Python, because neither engine has them as ksqlDB does.

Each is written once, so the engines cannot differ. Calls cost more than SQL (a row takes about a microsecond),
so functions of hot queries have templates (:mod:`sql.language.lowering.scalars`). In SQL their names begin with
``ksql_``. A module here imports nothing that a worker of Spark does not need.
"""
