-- One case for each kind of statement, and for errors that ksqlDB reports.
{% macro given() %}
CREATE STREAM given (k VARCHAR KEY, i INT) WITH (KAFKA_TOPIC='conf_given', VALUE_FORMAT='JSON', PARTITIONS=1);
{% endmacro %}

--@test: CREATE STREAM with all properties
CREATE STREAM given (k VARCHAR KEY, t BIGINT)
  WITH (KAFKA_TOPIC='conf_given', KEY_FORMAT='KAFKA', VALUE_FORMAT='JSON', PARTITIONS=1, TIMESTAMP='t');
ASSERT STREAM given (k VARCHAR KEY, t BIGINT)
  WITH (KAFKA_TOPIC='conf_given', KEY_FORMAT='KAFKA', VALUE_FORMAT='JSON', PARTITIONS=1, TIMESTAMP='T');

--@test: CREATE STREAM IF NOT EXISTS keeps the stream
{{ given() }}
CREATE STREAM IF NOT EXISTS given (k VARCHAR KEY, j INT) WITH (KAFKA_TOPIC='conf_given', VALUE_FORMAT='JSON');
ASSERT STREAM given (k VARCHAR KEY, i INT);

--@test: CREATE OR REPLACE STREAM adds a column
{{ given() }}
CREATE OR REPLACE STREAM given (k VARCHAR KEY, i INT, j INT) WITH (KAFKA_TOPIC='conf_given', VALUE_FORMAT='JSON');
ASSERT STREAM given (k VARCHAR KEY, i INT, j INT);

--@test: CREATE OR REPLACE of a query continues where the old one stopped
{{ given() }}
CREATE STREAM v AS SELECT k, i FROM given EMIT CHANGES;
INSERT INTO given (k, i) VALUES ('a', 1);
ASSERT VALUES v (k, i) VALUES ('a', 1);
CREATE OR REPLACE STREAM v AS SELECT k, i FROM given WHERE i > 2 EMIT CHANGES;
INSERT INTO given (k, i) VALUES ('a', 2);
INSERT INTO given (k, i) VALUES ('a', 3);
ASSERT VALUES v (k, i) VALUES ('a', 3);

--@test: ALTER STREAM
{{ given() }}
ALTER STREAM given ADD COLUMN j INT;
CREATE STREAM v AS SELECT k, j FROM given EMIT CHANGES;
INSERT INTO given (k, i, j) VALUES ('a', 1, 2);
ASSERT VALUES v (k, j) VALUES ('a', 2);

--@test: CREATE SOURCE STREAM cannot be written
--@expected.error: KsqlException
{{ given() }}
CREATE SOURCE STREAM o (k VARCHAR KEY, i INT) WITH (KAFKA_TOPIC='conf_given', VALUE_FORMAT='JSON');
INSERT INTO o (k, i) VALUES ('a', 1);

--@test: INSERT INTO … VALUES without columns
{{ given() }}
CREATE STREAM v AS SELECT k, i FROM given EMIT CHANGES;
INSERT INTO given VALUES ('a', 1);
ASSERT VALUES v VALUES ('a', 1);

--@test: DROP STREAM, and the name is free again
{{ given() }}
DROP STREAM given;
CREATE STREAM given (k VARCHAR KEY, j INT) WITH (KAFKA_TOPIC='conf_given', VALUE_FORMAT='JSON');
ASSERT STREAM given (k VARCHAR KEY, j INT);

--@test: DROP … IF EXISTS
DROP STREAM IF EXISTS conf_nothing;
DROP TABLE IF EXISTS conf_nothing;

--@test: SET decides where a query begins
{{ given() }}
INSERT INTO given (k, i) VALUES ('a', 1);
SET 'auto.offset.reset' = 'latest';
CREATE TABLE late AS SELECT k, COUNT(*) AS n FROM given GROUP BY k EMIT CHANGES;
UNSET 'auto.offset.reset';
SET 'auto.offset.reset' = 'earliest';
CREATE TABLE early AS SELECT k, COUNT(*) AS n FROM given GROUP BY k EMIT CHANGES;
ASSERT VALUES early (k, n) VALUES ('a', 1);

--@test: two streams over one topic
{{ given() }}
CREATE STREAM other (k VARCHAR KEY, i VARCHAR) WITH (KAFKA_TOPIC='conf_given', VALUE_FORMAT='JSON');
CREATE STREAM v AS SELECT k, i FROM other EMIT CHANGES;
INSERT INTO given (k, i) VALUES ('a', 7);
ASSERT VALUES v (k, i) VALUES ('a', '7');

--@test: names in quotes keep their case
CREATE STREAM given (`k` VARCHAR KEY, `Value` INT) WITH (KAFKA_TOPIC='conf_given', VALUE_FORMAT='JSON');
CREATE STREAM `View` AS SELECT `k`, `Value` AS `x y` FROM given EMIT CHANGES;
INSERT INTO given (`k`, `Value`) VALUES ('a', 1);
ASSERT VALUES `View` (`k`, `x y`) VALUES ('a', 1);

--@test: JOIN of streams
CREATE STREAM conf_l (k VARCHAR KEY, i INT) WITH (KAFKA_TOPIC='conf_l', VALUE_FORMAT='JSON');
CREATE STREAM conf_r (k VARCHAR KEY, j INT) WITH (KAFKA_TOPIC='conf_r', VALUE_FORMAT='JSON');
CREATE STREAM v AS SELECT l.k AS k, i, j FROM conf_l l JOIN conf_r r WITHIN 1 HOUR ON l.k = r.k EMIT CHANGES;
INSERT INTO conf_l (ROWTIME, k, i) VALUES (1000, 'a', 1);
INSERT INTO conf_r (ROWTIME, k, j) VALUES (2000, 'a', 2);
ASSERT VALUES v (k, i, j) VALUES ('a', 1, 2);

--@test: LEFT JOIN of a stream and a table
CREATE TABLE conf_t (k VARCHAR PRIMARY KEY, j INT) WITH (KAFKA_TOPIC='conf_t', VALUE_FORMAT='JSON');
CREATE STREAM conf_l (k VARCHAR KEY, i INT) WITH (KAFKA_TOPIC='conf_l', VALUE_FORMAT='JSON');
CREATE STREAM v AS SELECT l.k AS k, i, j FROM conf_l l LEFT JOIN conf_t t ON l.k = t.k EMIT CHANGES;
INSERT INTO conf_l (ROWTIME, k, i) VALUES (2000, 'b', 1);
ASSERT VALUES v (k, i, j) VALUES ('b', 1, NULL);
{% for name, statement, message in [
  ('an unknown source', "CREATE STREAM v AS SELECT * FROM conf_nothing;", 'does not exist'),
  ('an unknown column', "CREATE STREAM v AS SELECT k, j FROM given;", 'cannot be resolved'),
  ('an unknown function', "CREATE STREAM v AS SELECT k, CONF_NONE(i) FROM given;", "Can't find any functions with the name 'CONF_NONE'"),
  ('arguments of another type', "CREATE STREAM v AS SELECT k, UCASE(i) FROM given;", 'UCASE'),
  ('a name that is taken', "CREATE STREAM given AS SELECT * FROM given;", 'already exists'),
  ('a drop of a stream that others read', "CREATE STREAM v AS SELECT * FROM given; DROP STREAM given;", 'Cannot drop GIVEN'),
  ('a drop of the other kind', "DROP TABLE given;", 'Incompatible data source type is stream'),
  ('a query without its key', "CREATE STREAM v AS SELECT i FROM given;", 'Key missing from projection'),
  ('an aggregate without GROUP BY', "CREATE TABLE v AS SELECT COUNT(*) FROM given;", 'GROUP BY'),
  ('an unknown property', "CREATE STREAM v WITH (NOTHING=1) AS SELECT * FROM given;", 'NOTHING'),
] %}

--@test: ksqlDB refuses {{ name }}
--@expected.error: io.confluent.ksql.util.KsqlException
--@expected.message: {{ message }}
{{ given() }}
{{ statement }}
{% endfor %}

--@test: a syntax error
--@expected.error: io.confluent.ksql.parser.exception.ParseFailedException
CREATE STREAM v AS SELECT FROM;
