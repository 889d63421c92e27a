"""Small projects for tests on a server. All names begin with OMT_, so that they disturb nobody."""

THREE = {
    "V001__raw.sql": """
CREATE STREAM omt_raw (id VARCHAR KEY, coll VARCHAR, price DOUBLE)
  WITH (KAFKA_TOPIC='omt.raw', PARTITIONS=1, VALUE_FORMAT='JSON');
INSERT INTO omt_raw (id, coll, price) VALUES ('a', 'it''s', 1.5);
""",
    "V002__sales.sql": """
SET 'auto.offset.reset' = 'earliest';
CREATE STREAM omt_sales WITH (KAFKA_TOPIC='omt_sales', VALUE_FORMAT='JSON') AS
  SELECT id, coll, price FROM omt_raw WHERE price IS NOT NULL EMIT CHANGES;
INSERT INTO omt_sales SELECT id, coll, price * 2 AS price FROM omt_raw EMIT CHANGES;
""",
    "V003__windows.sql": """
SET 'auto.offset.reset' = 'earliest';
CREATE TABLE omt_by_coll WITH (KAFKA_TOPIC='omt_by_coll', VALUE_FORMAT='JSON', RETENTION_MS=-1) AS
  SELECT coll, AS_VALUE(coll) AS slug, WINDOWSTART AS ws, COUNT(*) AS sales
  FROM omt_sales WINDOW TUMBLING (SIZE 1 MINUTE, RETENTION 2 DAYS, GRACE PERIOD 1 DAY)
  GROUP BY coll EMIT CHANGES;
CREATE STREAM omt_changes (slug VARCHAR, ws BIGINT, sales BIGINT)
  WITH (KAFKA_TOPIC='omt_by_coll', VALUE_FORMAT='JSON', TIMESTAMP='ws');
""",
}

# The server refuses the second statement of V002, which no local check can know: there is no topic.
REFUSED = {
    "V001__raw.sql": THREE["V001__raw.sql"],
    "V002__sales.sql": """
CREATE STREAM omt_sales AS SELECT id, price FROM omt_raw EMIT CHANGES;
CREATE STREAM omt_other (a VARCHAR) WITH (KAFKA_TOPIC='omt.nowhere', VALUE_FORMAT='JSON');
CREATE STREAM omt_last AS SELECT id, price FROM omt_sales EMIT CHANGES;
""",
}
