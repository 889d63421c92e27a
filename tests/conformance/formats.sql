-- Values and keys in each format that needs no Schema Registry.

--@test: DELIMITED
CREATE STREAM given (k VARCHAR KEY, i INT, s VARCHAR, d DOUBLE)
  WITH (KAFKA_TOPIC='conf_given', VALUE_FORMAT='DELIMITED', VALUE_DELIMITER='|');
CREATE STREAM v AS SELECT k, i, s, d FROM given EMIT CHANGES;
INSERT INTO given (k, i, s, d) VALUES ('a', 1, 'x|y', 2.5E0);
ASSERT VALUES v (k, i, s, d) VALUES ('a', 1, 'x|y', 2.5E0);

--@test: KAFKA
CREATE STREAM given (k BIGINT KEY, i INT) WITH (KAFKA_TOPIC='conf_given', FORMAT='KAFKA');
CREATE STREAM v WITH (VALUE_FORMAT='JSON') AS SELECT k, i FROM given EMIT CHANGES;
INSERT INTO given (k, i) VALUES (5, 1);
ASSERT VALUES v (k, i) VALUES (5, 1);

--@test: JSON keys with several columns
CREATE STREAM given (a INT KEY, b VARCHAR KEY, i INT)
  WITH (KAFKA_TOPIC='conf_given', KEY_FORMAT='JSON', VALUE_FORMAT='JSON');
CREATE STREAM v AS SELECT a, b, i FROM given EMIT CHANGES;
INSERT INTO given (a, b, i) VALUES (1, 'x', 2);
ASSERT VALUES v (a, b, i) VALUES (1, 'x', 2);

--@test: a query that changes the format
CREATE STREAM given (k VARCHAR KEY, i INT) WITH (KAFKA_TOPIC='conf_given', VALUE_FORMAT='JSON');
CREATE STREAM v WITH (VALUE_FORMAT='DELIMITED') AS SELECT k, i, i + 1 AS j FROM given EMIT CHANGES;
CREATE STREAM w WITH (VALUE_FORMAT='JSON') AS SELECT k, i + j AS n FROM v EMIT CHANGES;
INSERT INTO given (k, i) VALUES ('a', 1);
ASSERT VALUES w (k, n) VALUES ('a', 3);

--@test: one value without an object around it
CREATE STREAM given (k VARCHAR KEY, i INT)
  WITH (KAFKA_TOPIC='conf_given', VALUE_FORMAT='JSON', WRAP_SINGLE_VALUE=false);
CREATE STREAM v AS SELECT k, i + 1 AS j FROM given EMIT CHANGES;
INSERT INTO given (k, i) VALUES ('a', 1);
ASSERT VALUES v (k, j) VALUES ('a', 2);

--@test: KAFKA cannot hold a nested type
--@expected.error: KsqlException
CREATE STREAM given (k VARCHAR KEY, l ARRAY<INT>) WITH (KAFKA_TOPIC='conf_given', FORMAT='KAFKA');

--@test: an unknown format is refused
--@expected.message: Unknown format: XML
CREATE STREAM given (i INT) WITH (KAFKA_TOPIC='conf_given', VALUE_FORMAT='XML');
