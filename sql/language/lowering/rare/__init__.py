"""Functions that DuckDB and Spark call in Python, because neither engine has functions with ksqlDB's exact results.

Each function is written once, so the engines cannot differ. Calls cost more than SQL (about a microsecond per row). So
functions of hot queries have templates (:mod:`sql.language.lowering.scalars`). In SQL, the names of the Python
functions begin with ``ksql_``. A module here imports only what a Spark worker needs.
"""
