-- A value of each type, through a topic, a query, and a key where the type can be a key.
{% set cases = [
  ('BOOLEAN', 'true', none),
  ('INT', '-2147483648', 'KAFKA'),
  ('BIGINT', '9223372036854775807', 'KAFKA'),
  ('DOUBLE', '-1.5E-300', 'KAFKA'),
  ('DECIMAL(38, 18)', '12345678901234567890.123456789012345678', none),
  ('VARCHAR', "'ü, ''quoted'' and \\u0022'", 'KAFKA'),
  ('BYTES', "'AP+A'", none),
  ('DATE', "'2024-02-29'", 'JSON'),
  ('TIME', "'23:59:58'", 'JSON'),
  ('TIMESTAMP', "'2024-02-29T23:59:58.123'", 'JSON'),
  ('ARRAY<VARCHAR>', "ARRAY['x', NULL, '']", 'JSON'),
  ('MAP<VARCHAR, BIGINT>', "MAP('x' := CAST(1 AS BIGINT))", none),
  ('STRUCT<a INT, b STRUCT<c ARRAY<DATE>>>', "STRUCT(a := 1, b := STRUCT(c := ARRAY['2024-02-29']))", 'JSON'),
] %}
{% for type, value, key_format in cases %}

--@test: {{ type }}
CREATE STREAM given (k INT KEY, v {{ type }}) WITH (KAFKA_TOPIC='conf_given', VALUE_FORMAT='JSON');
CREATE STREAM copied AS SELECT * FROM given EMIT CHANGES;
ASSERT STREAM copied (k INT KEY, v {{ type }});
INSERT INTO given (k, v) VALUES (1, {{ value }});
INSERT INTO given (k) VALUES (2);
ASSERT VALUES copied (k, v) VALUES (1, {{ value }});
ASSERT VALUES copied (k, v) VALUES (2, NULL);
{% if key_format %}

--@test: {{ type }} as a key
CREATE STREAM given (k {{ type }} KEY, v INT)
  WITH (KAFKA_TOPIC='conf_given', VALUE_FORMAT='JSON', KEY_FORMAT='{{ key_format }}');
CREATE TABLE counted AS SELECT k, COUNT(*) AS n FROM given GROUP BY k EMIT CHANGES;
INSERT INTO given (k, v) VALUES ({{ value }}, 1);
INSERT INTO given (k, v) VALUES ({{ value }}, 2);
ASSERT VALUES counted (k, n) VALUES ({{ value }}, 2);
{% endif %}
{% endfor %}

--@test: a number that does not fit is refused
--@expected.error: KsqlException
CREATE STREAM given (v INT) WITH (KAFKA_TOPIC='conf_given', VALUE_FORMAT='JSON');
INSERT INTO given (v) VALUES (2147483648);

--@test: an unknown type is a syntax error or refused
--@expected.error: KsqlException
CREATE STREAM given (v FLOAT4) WITH (KAFKA_TOPIC='conf_given', VALUE_FORMAT='JSON');

--@test: CREATE TYPE
CREATE TYPE conf_pair AS STRUCT<a INT, b VARCHAR>;
CREATE STREAM given (k INT KEY, v conf_pair) WITH (KAFKA_TOPIC='conf_given', VALUE_FORMAT='JSON');
CREATE STREAM v AS SELECT k, v->a AS a FROM given EMIT CHANGES;
INSERT INTO given (k, v) VALUES (1, STRUCT(a := 5, b := 'x'));
ASSERT VALUES v (k, a) VALUES (1, 5);
