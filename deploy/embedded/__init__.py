"""An embedded server that speaks ksqlDB's REST interface over DuckDB.

- ``server`` and ``app`` speak HTTP, and ``replies`` shapes the answers.
- ``engine`` holds the catalog and moves data.
- ``topics`` defines what a topic is, and ``stored_topic`` implements the topics of a data directory.
- ``archive`` finds and reads files.
- ``aggregation`` keeps windowed state, and ``retention`` deletes old data.
- ``queries`` answers pull and push queries.
- ``storage`` is the database below all of them.
"""
