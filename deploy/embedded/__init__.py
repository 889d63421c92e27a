"""An embedded server that speaks ksqlDB's REST interface over DuckDB.

- ``rest`` speaks HTTP, and ``statements`` runs the statements of a request.
- ``engine`` holds the catalog, and ``rounds`` moves data.
- ``queries`` computes streams, windows and joins, and answers pull and push queries.
- ``topics`` defines what a topic is, and implements the topics of a data directory.
- ``files`` finds and reads archive files.
- ``storage`` is the database below all of them.
"""
