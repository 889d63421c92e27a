"""An embedded server that speaks ksqlDB's REST interface over DuckDB.

``server`` and ``app`` speak HTTP, ``replies`` shapes answers, ``engine`` holds the catalog and moves
data, ``topics`` says where a topic's records are, ``archive`` finds and reads files, ``records`` turns
JSON into rows, ``aggregation`` keeps windowed state, ``queries`` answers pull and push queries, and
``storage`` is the database below.
"""
