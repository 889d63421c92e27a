-- Expressions beyond functions, which tests/sql/functions.yml and tests/embedded/semantics have.
{% set cases = [
  ('integers', 'i + b * 2 - i / 2', '14'),
  ('integers that wrap around', 'CAST(2147483647 AS INT) + i', '-2147483642'),
  ('division by zero is NULL', 'i / (i - i)', 'NULL'),
  ('remainder', '-i % 3', '-1'),
  ('DECIMAL', 'e * 2', '2.50'),
  ('text + text', "s + '!'", "'abc!'"),
  ('comparisons', 'i > 6 AND i <= 7 AND i <> 8 AND s = \'abc\'', 'true'),
  ('NULL is not equal', 'n = n', 'false'),
  ('IS NULL', 'n IS NULL AND i IS NOT NULL', 'true'),
  ('IS DISTINCT FROM', 'n IS DISTINCT FROM i', 'true'),
  ('BETWEEN', 'i BETWEEN 1 AND 7', 'true'),
  ('IN', 'i IN (1, 7)', 'true'),
  ('NOT IN', 'i NOT IN (1, 2)', 'true'),
  ('LIKE', "s LIKE 'a_c' AND s NOT LIKE 'b%'", 'true'),
  ('LIKE with ESCAPE', "'a%c' LIKE 'a!%c' ESCAPE '!'", 'true'),
  ('CASE', "CASE WHEN i < 5 THEN 'low' WHEN i < 10 THEN 'mid' ELSE 'high' END", "'mid'"),
  ('CASE without a match', "CASE WHEN i < 5 THEN 'low' END", 'NULL'),
  ('a field of a STRUCT', 'r->x', '5'),
  ('an element of an ARRAY', 'l[1] + l[-1]', '4'),
  ('an element beyond the ARRAY', 'l[9]', 'NULL'),
  ('an element of a MAP', "m['one']", '1'),
  ('ARRAY', 'ARRAY[i, 1]', 'ARRAY[7, 1]'),
  ('MAP', "MAP('a' := i)", "MAP('a' := 7)"),
  ('STRUCT', "STRUCT(a := i, b := s)", "STRUCT(a := 7, b := 'abc')"),
  ('lambda', 'TRANSFORM(l, x => x * 2)', 'ARRAY[6, 2]'),
  ('lambda of two', 'REDUCE(l, 10, (total, x) => total + x)', '14'),
  ('CAST of text', "CAST('12' AS INT) + CAST('1.5' AS DOUBLE)", '13.5E0'),
  ('CAST of a number', 'CAST(i AS VARCHAR)', "'7'"),
  ('CAST to DECIMAL', 'CAST(i AS DECIMAL(5, 2))', '7.00'),
  ('a time compared with text', "ts > '2020-01-01'", 'true'),
] %}
{% for name, expression, value in cases %}

--@test: {{ name }}
CREATE STREAM given (k INT KEY, i INT, n INT, b BIGINT, e DECIMAL(4, 2), s VARCHAR, l ARRAY<INT>, m MAP<VARCHAR, INT>,
  r STRUCT<x INT>, ts TIMESTAMP) WITH (KAFKA_TOPIC='conf_given', VALUE_FORMAT='JSON');
CREATE STREAM v AS SELECT k, {{ expression }} AS v FROM given EMIT CHANGES;
INSERT INTO given (k, i, b, e, s, l, m, r, ts)
  VALUES (1, 7, 5, 1.25, 'abc', ARRAY[3, 1], MAP('one' := 1), STRUCT(x := 5), '2024-02-29T00:00:00');
ASSERT VALUES v (k, v) VALUES (1, {{ value }});
{% endfor %}
