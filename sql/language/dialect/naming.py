"""Names that ksqlDB and Kafka accept, and words that are names only in quotes.

Observed on ksqlDB 7.9 with Apache Kafka 3.9. Each reserved word was tested on 7.9.1.
"""

from __future__ import annotations

import re

SYSTEM_COLUMNS = ("ROWTIME", "ROWPARTITION", "ROWOFFSET", "WINDOWSTART", "WINDOWEND")
"""ksqlDB's own columns. No other column may have one of these names."""
TOPIC_RULE = "a topic's name has 1 to 249 of the characters a-z A-Z 0-9 . _ - and is neither '.' nor '..'"
_SOURCE = re.compile(r"[A-Za-z0-9_-]+")
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")


def is_source(name: str) -> bool:
    """True if a stream, a table, or an alias of one may have the name."""
    return bool(_SOURCE.fullmatch(name))


def is_topic(name: str) -> bool:
    """True if a topic may have the name. Such a name is never a path that leads out of its folder."""
    return bool(_TOPIC.fullmatch(name)) and name not in (".", "..")


_WORDS = """
ADVANCE ALL AND AS AT BEGINNING BETWEEN BY CASE CAST CATALOG CONNECTOR CONNECTORS CREATE DAYS DECIMAL
DELETE DESCRIBE DISTINCT DROP ELSE END EXISTS EXPORT EXTENDED FALSE FROM FULL GROUP HAVING HOPPING
HOURS IN INNER INSERT INTO IS JOIN LEFT LIKE LIMIT LIST LOAD MATERIALIZED MILLISECOND MILLISECONDS
MINUTES MONTHS NAMESPACE NOT NULL ON OR OUTER PAUSE PRINT PROPERTIES QUERIES QUERY RENAME RESUME
RETENTION RIGHT RUN SAMPLE SCRIPT SECONDS SELECT SIZE STREAM STREAMS TABLE TERMINATE THEN TO TOPIC
TOPICS TRUE TUMBLING UNSET VALUES VIEW WHEN WHERE WINDOW WITH WITHIN YEARS
"""
RESERVED = frozenset(_WORDS.split())
UNITS = frozenset(("DAYS", "HOURS", "MINUTES", "SECONDS", "MILLISECONDS", "MILLISECOND"))
"""Reserved words that may be arguments of a function, as in TIMESTAMPADD(DAYS, 1, t). DAY can name a column."""
