-- One case for each aggregate, over one table of numbers and texts.
{% macro given() %}
CREATE STREAM given (k VARCHAR KEY, i INT, b BIGINT, d DOUBLE, e DECIMAL(6, 2), s VARCHAR, l ARRAY<INT>)
  WITH (KAFKA_TOPIC='conf_given', VALUE_FORMAT='JSON');
{% endmacro %}
{% macro records() %}
INSERT INTO given (k, i, b, d, e, s, l) VALUES ('a', 3, 30, 1.5E0, 1.25, 'x', ARRAY[1, 2]);
INSERT INTO given (k, i, b, d, e, s, l) VALUES ('a', 5, 50, 2.5E0, 2.50, 'y', ARRAY[3]);
INSERT INTO given (k, i, b, d, e, s) VALUES ('a', 3, 30, 0E0, 0.25, 'x');
INSERT INTO given (k) VALUES ('a');
INSERT INTO given (k, i, s) VALUES ('b', 1, 'z');
{% endmacro %}
{% set cases = [
  ('ATTR', 'ATTR(s)', 'NULL', "'z'"),
  ('AVG', 'AVG(i)', '3.6666666666666665E0', '1E0'),
  ('COLLECT_LIST', 'COLLECT_LIST(i)', 'ARRAY[3, 5, 3, NULL]', 'ARRAY[1]'),
  ('COLLECT_SET', 'COLLECT_SET(s)', "ARRAY['x', 'y', NULL]", "ARRAY['z']"),
  ('CORRELATION', 'CORRELATION(i, i)', '1E0', '0E0 / 0E0'),
  ('COUNT of rows', 'COUNT(*)', '4', '1'),
  ('COUNT of values', 'COUNT(i)', '3', '1'),
  ('COUNT_DISTINCT', 'COUNT_DISTINCT(i)', '2', '1'),
  ('EARLIEST_BY_OFFSET', 'EARLIEST_BY_OFFSET(i)', '3', '1'),
  ('EARLIEST_BY_OFFSET of several', 'EARLIEST_BY_OFFSET(i, 2)', 'ARRAY[3, 5]', 'ARRAY[1]'),
  ('HISTOGRAM', 'HISTOGRAM(s)', "MAP('x' := 2, 'y' := 1, 'null' := 1)", "MAP('z' := 1)"),
  ('LATEST_BY_OFFSET', 'LATEST_BY_OFFSET(s)', "'x'", "'z'"),
  ('LATEST_BY_OFFSET with NULLs', 'LATEST_BY_OFFSET(s, false)', 'NULL', "'z'"),
  ('MAX', 'MAX(e)', '2.50', 'NULL'),
  ('MIN', 'MIN(d)', '0E0', 'NULL'),
  ('STDDEV_SAMP', 'STDDEV_SAMP(i)', '1.3333333333333333E0', '0E0'),
  ('STDDEV_SAMPLE', 'STDDEV_SAMPLE(i)', '1.1547005383792515E0', '0E0'),
  ('SUM', 'SUM(e)', '4.00', '0.00'),
  ('SUM_LIST', 'SUM_LIST(l)', '6', '0'),
  ('TOPK', 'TOPK(i, 2)', 'ARRAY[5, 3]', 'ARRAY[1]'),
  ('TOPK with columns', 'TOPK(i, s, 1)', "ARRAY[STRUCT(`sort_col` := 5, `col0` := 'y')]", "ARRAY[STRUCT(`sort_col` := 1, `col0` := 'z')]"),
  ('TOPKDISTINCT', 'TOPKDISTINCT(i, 2)', 'ARRAY[5, 3]', 'ARRAY[1]'),
] %}
{% for name, call, of_a, of_b in cases %}
--@test: {{ name }}
{{ given() }}
CREATE TABLE grouped AS SELECT k, {{ call }} AS v FROM given GROUP BY k EMIT CHANGES;
{{ records() }}
ASSERT VALUES grouped (k, v) VALUES ('a', {{ of_a }});
ASSERT VALUES grouped (k, v) VALUES ('b', {{ of_b }});
{% endfor %}

--@test: aggregates in expressions, and aggregates of expressions
{{ given() }}
CREATE TABLE grouped AS
  SELECT k, SUM(i) + COUNT(*) AS a, MAX(LEN(s)) AS b, CASE WHEN SUM(i) > 5 THEN 'big' ELSE 'small' END AS c
  FROM given GROUP BY k EMIT CHANGES;
{{ records() }}
ASSERT VALUES grouped (k, a, b, c) VALUES ('a', 15, 1, 'big');
ASSERT VALUES grouped (k, a, b, c) VALUES ('b', 2, 1, 'small');
