-- Windows: their bounds, late records, and the records of several windows.
{% macro given() %}
CREATE STREAM given (k VARCHAR KEY, i INT) WITH (KAFKA_TOPIC='conf_given', VALUE_FORMAT='JSON');
{% endmacro %}
{% macro insert(time, i, k='a') %}
INSERT INTO given (ROWTIME, k, i) VALUES ({{ time }}, '{{ k }}', {{ i }});
{% endmacro %}

--@test: WINDOW TUMBLING has bounds [start, end)
{{ given() }}
CREATE TABLE w AS SELECT k, SUM(i) AS n FROM given WINDOW TUMBLING (SIZE 10 SECONDS) GROUP BY k EMIT CHANGES;
{{ insert(0, 1) }} {{ insert(9999, 2) }} {{ insert(10000, 4) }} {{ insert(5000, 8, 'b') }}
ASSERT TABLE w (k VARCHAR PRIMARY KEY, n INT) WITH (WINDOW_TYPE='TUMBLING', KAFKA_TOPIC='W', VALUE_FORMAT='JSON');
ASSERT VALUES w (k, WINDOWSTART, WINDOWEND, n) VALUES ('a', 0, 10000, 3);
ASSERT VALUES w (k, WINDOWSTART, WINDOWEND, n) VALUES ('a', 10000, 20000, 4);
ASSERT VALUES w (k, WINDOWSTART, WINDOWEND, n) VALUES ('b', 0, 10000, 8);

--@test: WINDOW HOPPING puts a record into each of its windows
{{ given() }}
CREATE TABLE w AS
  SELECT k, SUM(i) AS n FROM given WINDOW HOPPING (SIZE 20 SECONDS, ADVANCE BY 10 SECONDS) GROUP BY k EMIT CHANGES;
{{ insert(10000, 1) }} {{ insert(25000, 2) }}
ASSERT VALUES w (k, WINDOWSTART, WINDOWEND, n) VALUES ('a', 0, 20000, 1);
ASSERT VALUES w (k, WINDOWSTART, WINDOWEND, n) VALUES ('a', 10000, 30000, 3);
ASSERT VALUES w (k, WINDOWSTART, WINDOWEND, n) VALUES ('a', 20000, 40000, 2);

--@test: WINDOWSTART and WINDOWEND as columns, and HAVING
{{ given() }}
CREATE TABLE w AS
  SELECT k, WINDOWSTART AS ws, WINDOWEND AS we, COUNT(*) AS n FROM given WINDOW TUMBLING (SIZE 10 SECONDS) GROUP BY k
  HAVING COUNT(*) > 1 EMIT CHANGES;
{{ insert(1000, 1) }} {{ insert(2000, 1) }} {{ insert(11000, 1) }}
ASSERT VALUES w (k, WINDOWSTART, ws, we, n) VALUES ('a', '1970-01-01', 0, 10000, 2);

--@test: a record after the grace period does not count
{{ given() }}
CREATE TABLE w AS
  SELECT k, SUM(i) AS n FROM given WINDOW TUMBLING (SIZE 10 SECONDS, RETENTION 1 HOUR, GRACE PERIOD 5 SECONDS)
  GROUP BY k EMIT CHANGES;
{{ insert(1000, 1) }} {{ insert(14999, 2) }} {{ insert(2000, 4) }} {{ insert(15000, 8) }} {{ insert(3000, 16) }}
ASSERT VALUES w (k, WINDOWSTART, n) VALUES ('a', 0, 5);
ASSERT VALUES w (k, WINDOWSTART, n) VALUES ('a', 10000, 10);

-- A 7.9.1 answers a pull query over sessions only with a key in its WHERE clause. Without one it has no rows, or fails.
--@test: WINDOW SESSION
--@engines: embedded, spark
{{ given() }}
CREATE TABLE w AS SELECT k, SUM(i) AS n FROM given WINDOW SESSION (10 SECONDS) GROUP BY k EMIT CHANGES;
{{ insert(0, 1) }} {{ insert(8000, 2) }} {{ insert(30000, 4) }}
ASSERT VALUES w (k, WINDOWSTART, WINDOWEND, n) VALUES ('a', 0, 8000, 3);
ASSERT VALUES w (k, WINDOWSTART, WINDOWEND, n) VALUES ('a', 30000, 30000, 4);

--@test: EMIT FINAL
{{ given() }}
CREATE TABLE w AS
  SELECT k, SUM(i) AS n FROM given WINDOW TUMBLING (SIZE 10 SECONDS, RETENTION 1 HOUR, GRACE PERIOD 0 SECONDS)
  GROUP BY k EMIT FINAL;
{{ insert(0, 1) }} {{ insert(5000, 2) }} {{ insert(30000, 4) }}
ASSERT VALUES w (k, WINDOWSTART, n) VALUES ('a', 0, 3);

--@test: a retention that is shorter than the window is refused
--@expected.error: KsqlException
{{ given() }}
CREATE TABLE w AS
  SELECT k, SUM(i) AS n FROM given WINDOW TUMBLING (SIZE 1 HOUR, RETENTION 1 MINUTE) GROUP BY k EMIT CHANGES;

--@test: EMIT FINAL without a window is refused
--@expected.error: KsqlException
{{ given() }}
CREATE TABLE w AS SELECT k, SUM(i) AS n FROM given GROUP BY k EMIT FINAL;
