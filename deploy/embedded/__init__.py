"""An embedded server that speaks ksqlDB's REST interface over DuckDB.

``server`` and ``app`` speak HTTP, ``replies`` shapes answers, ``engine`` holds the catalog and moves data, ``topics``
says what a topic is, ``stored_topic`` has those of a data directory, ``archive`` finds and reads files, ``aggregation``
keeps windowed state, ``retention`` deletes what is old, ``queries`` answers pull and push queries, and ``storage`` is
the database below.
"""
