-- One case for each clause of a query.
{% macro given() %}
CREATE STREAM given (k VARCHAR KEY, i INT, s VARCHAR, r STRUCT<x INT, y VARCHAR>, l ARRAY<INT>)
  WITH (KAFKA_TOPIC='conf_given', VALUE_FORMAT='JSON');
{% endmacro %}
{% macro records() %}
INSERT INTO given (ROWTIME, k, i, s, r, l) VALUES (1000, 'a', 1, 'x', STRUCT(x := 10, y := 'p'), ARRAY[1, 2]);
INSERT INTO given (ROWTIME, k, i, s, r, l) VALUES (2000, 'b', 2, 'y', STRUCT(x := 20, y := 'q'), ARRAY[3]);
INSERT INTO given (ROWTIME, k, i) VALUES (3000, 'a', 3);
{% endmacro %}

--@test: SELECT *
{{ given() }}
CREATE STREAM v AS SELECT * FROM given EMIT CHANGES;
{{ records() }}
ASSERT STREAM v (k VARCHAR KEY, i INT, s VARCHAR, r STRUCT<x INT, y VARCHAR>, l ARRAY<INT>)
  WITH (KAFKA_TOPIC='V', VALUE_FORMAT='JSON', KEY_FORMAT='KAFKA');
ASSERT VALUES v (ROWTIME, k, i, s, r, l) VALUES (1000, 'a', 1, 'x', STRUCT(x := 10, y := 'p'), ARRAY[1, 2]);
ASSERT VALUES v (k, i, s) VALUES ('b', 2, 'y');
ASSERT VALUES v (k, i, s) VALUES ('a', 3, NULL);

--@test: SELECT source.*, struct->* and an alias of the source
{{ given() }}
CREATE STREAM v AS SELECT g.* FROM given AS g EMIT CHANGES;
CREATE STREAM w AS SELECT k, r->* FROM given EMIT CHANGES;
{{ records() }}
ASSERT VALUES v (k, i) VALUES ('a', 1);
ASSERT VALUES w (k, x, y) VALUES ('a', 10, 'p');

--@test: column names of expressions
{{ given() }}
CREATE STREAM v AS SELECT k, i + 1, r->x, UCASE(s) FROM given EMIT CHANGES;
{{ records() }}
ASSERT STREAM v (k VARCHAR KEY, KSQL_COL_0 INT, x INT, KSQL_COL_1 VARCHAR);
ASSERT VALUES v (k, KSQL_COL_0, x, KSQL_COL_1) VALUES ('a', 2, 10, 'X');

--@test: WHERE
{{ given() }}
CREATE STREAM v AS SELECT k, i FROM given WHERE i > 1 AND k = 'a' EMIT CHANGES;
{{ records() }}
ASSERT VALUES v (k, i) VALUES ('a', 3);

--@test: PARTITION BY a column
{{ given() }}
CREATE STREAM v AS SELECT i, k FROM given PARTITION BY i EMIT CHANGES;
{{ records() }}
ASSERT STREAM v (i INT KEY, k VARCHAR);
ASSERT VALUES v (i, k) VALUES (1, 'a');

--@test: PARTITION BY an expression, and several columns
{{ given() }}
CREATE STREAM v AS SELECT UCASE(s) AS u, i FROM given PARTITION BY UCASE(s) EMIT CHANGES;
CREATE STREAM w WITH (KEY_FORMAT='JSON') AS SELECT i, s, k FROM given PARTITION BY i, s EMIT CHANGES;
{{ records() }}
ASSERT STREAM v (u VARCHAR KEY, i INT);
ASSERT VALUES v (u, i) VALUES ('X', 1);
ASSERT STREAM w (i INT KEY, s VARCHAR KEY, k VARCHAR) WITH (KEY_FORMAT='JSON', VALUE_FORMAT='JSON');
ASSERT VALUES w (i, s, k) VALUES (1, 'x', 'a');

--@test: GROUP BY a column that is not the key
{{ given() }}
CREATE TABLE g AS SELECT s, COUNT(*) AS n FROM given GROUP BY s EMIT CHANGES;
{{ records() }}
ASSERT TABLE g (s VARCHAR PRIMARY KEY, n BIGINT);
ASSERT VALUES g (s, n) VALUES ('x', 1);
ASSERT VALUES g (s, n) VALUES ('y', 1);

--@test: GROUP BY an expression, a constant and several columns
{{ given() }}
CREATE TABLE g AS SELECT i % 2 AS odd, SUM(i) AS n FROM given GROUP BY i % 2 EMIT CHANGES;
CREATE TABLE h AS SELECT 'all' AS scope, SUM(i) AS n FROM given GROUP BY 'all' EMIT CHANGES;
CREATE TABLE j WITH (KEY_FORMAT='JSON') AS SELECT k, s, COUNT(*) AS n FROM given GROUP BY k, s EMIT CHANGES;
{{ records() }}
ASSERT VALUES g (odd, n) VALUES (1, 4);
ASSERT VALUES g (odd, n) VALUES (0, 2);
ASSERT VALUES h (scope, n) VALUES ('all', 6);
ASSERT VALUES j (k, s, n) VALUES ('a', 'x', 1);

--@test: HAVING
{{ given() }}
CREATE TABLE g AS SELECT k, COUNT(*) AS n FROM given GROUP BY k HAVING COUNT(*) > 1 EMIT CHANGES;
{{ records() }}
ASSERT VALUES g (k, n) VALUES ('a', 2);

--@test: a row that HAVING drops again
{{ given() }}
CREATE TABLE g AS SELECT k, SUM(i) AS n FROM given GROUP BY k HAVING SUM(i) < 3 EMIT CHANGES;
INSERT INTO given (k, i) VALUES ('a', 1);
ASSERT VALUES g (k, n) VALUES ('a', 1);
INSERT INTO given (k, i) VALUES ('a', 4);
ASSERT NULL VALUES g (k) KEY ('a');

--@test: a group without a key does not count
{{ given() }}
CREATE TABLE g AS SELECT k, COUNT(*) AS n FROM given GROUP BY k EMIT CHANGES;
INSERT INTO given (i) VALUES (1);
INSERT INTO given (k, i) VALUES ('a', 1);
ASSERT VALUES g (k, n) VALUES ('a', 1);

--@test: a stream over another query, and ROWTIME as a column
{{ given() }}
CREATE STREAM v AS SELECT k, i * 2 AS i, ROWTIME AS t FROM given EMIT CHANGES;
CREATE STREAM w AS SELECT k, i + 1 AS i, t FROM v EMIT CHANGES;
{{ records() }}
ASSERT VALUES w (ROWTIME, k, i, t) VALUES (1000, 'a', 3, 1000);
ASSERT VALUES w (ROWTIME, k, i, t) VALUES (2000, 'b', 5, 2000);

--@test: EXPLODE
{{ given() }}
CREATE STREAM v AS SELECT k, EXPLODE(l) AS x FROM given EMIT CHANGES;
{{ records() }}
ASSERT VALUES v (k, x) VALUES ('a', 1);
ASSERT VALUES v (k, x) VALUES ('a', 2);
ASSERT VALUES v (k, x) VALUES ('b', 3);

--@test: CUBE_EXPLODE
{{ given() }}
CREATE STREAM v AS SELECT k, CUBE_EXPLODE(l) AS x FROM given EMIT CHANGES;
INSERT INTO given (k, l) VALUES ('a', ARRAY[1, 2]);
ASSERT VALUES v (x) VALUES (ARRAY[CAST(NULL AS INT), NULL]);
ASSERT VALUES v (x) VALUES (ARRAY[NULL, 2]);
ASSERT VALUES v (x) VALUES (ARRAY[1, NULL]);
ASSERT VALUES v (x) VALUES (ARRAY[1, 2]);

--@test: INSERT INTO … SELECT
{{ given() }}
CREATE STREAM v AS SELECT k, i FROM given WHERE i = 1 EMIT CHANGES;
INSERT INTO v SELECT k, i + 10 AS i FROM given WHERE i = 1 EMIT CHANGES;
INSERT INTO given (k, i) VALUES ('a', 1);
ASSERT VALUES v (k, i) VALUES ('a', 1);
ASSERT VALUES v (k, i) VALUES ('a', 11);

--@test: TIMESTAMP
{{ given() }}
CREATE STREAM v WITH (TIMESTAMP='t') AS SELECT k, CAST(i AS BIGINT) * 1000 AS t FROM given EMIT CHANGES;
{{ records() }}
ASSERT VALUES v (ROWTIME, k, t) VALUES (1000, 'a', 1000);

--@test: TIMESTAMP_FORMAT
CREATE STREAM given (k VARCHAR KEY, t VARCHAR)
  WITH (KAFKA_TOPIC='conf_given', VALUE_FORMAT='JSON', TIMESTAMP='t', TIMESTAMP_FORMAT='yyyy-MM-dd HH:mm:ssX');
CREATE STREAM v AS SELECT k, t FROM given EMIT CHANGES;
INSERT INTO given (k, t) VALUES ('a', '1970-01-01 00:00:05Z');
ASSERT VALUES v (ROWTIME, k) VALUES (5000, 'a');

--@test: a query over a table
CREATE TABLE given (k VARCHAR PRIMARY KEY, i INT) WITH (KAFKA_TOPIC='conf_given', VALUE_FORMAT='JSON');
CREATE TABLE v AS SELECT k, i * 2 AS j FROM given WHERE i > 1 EMIT CHANGES;
INSERT INTO given (k, i) VALUES ('a', 1);
INSERT INTO given (k, i) VALUES ('b', 2);
ASSERT VALUES v (k, j) VALUES ('b', 4);
INSERT INTO given (k, i) VALUES ('b', 0);
ASSERT NULL VALUES v (k) KEY ('b');

--@test: a table grouped by a column
CREATE TABLE given (k VARCHAR PRIMARY KEY, i INT) WITH (KAFKA_TOPIC='conf_given', VALUE_FORMAT='JSON');
CREATE TABLE v AS SELECT i, COUNT(*) AS n FROM given GROUP BY i EMIT CHANGES;
INSERT INTO given (k, i) VALUES ('a', 1);
INSERT INTO given (k, i) VALUES ('b', 1);
ASSERT VALUES v (i, n) VALUES (1, 2);
INSERT INTO given (k, i) VALUES ('b', 2);
ASSERT VALUES v (i, n) VALUES (1, 1);
ASSERT VALUES v (i, n) VALUES (2, 1);
