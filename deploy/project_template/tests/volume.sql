-- Tests of the statements in sql/migrations. Run them with: opensea-metrics test tests
-- Each test applies the migrations up to V001, inserts events, and asserts rows.
--@migrations: V001

{# A sale of a collection's item: the time in epoch ms, and the price in base units of the token. #}
{% macro sale(time, slug, price) %}
INSERT INTO raw_events (event_time, event, payload) VALUES ({{ time }}, 'item_sold', STRUCT(payload := STRUCT(
  collection := STRUCT(slug := '{{ slug }}'), sale_price := '{{ price }}',
  payment_token := STRUCT(decimals := '18', usd_price := '2000'))));
{% endmacro %}
{% set ether = 10 ** 18 %}

--@test: the volume is the sum of the sales in a window
{{ sale(60000, 'doodles', ether) }}
{{ sale(119999, 'doodles', 2 * ether) }}
{{ sale(120000, 'doodles', 4 * ether) }}
ASSERT VALUES volume_1_minute (collection, windowstart, sales, usd_volume)
  VALUES ('doodles', '1970-01-01T00:01', 2, 6000.0);
ASSERT VALUES volume_1_minute (collection, windowstart, sales, usd_volume)
  VALUES ('doodles', '1970-01-01T00:02', 1, 8000.0);

--@test: a listing is not a sale
INSERT INTO raw_events (event_time, event) VALUES (60000, 'item_listed');
{{ sale(60000, 'azuki', ether) }}
ASSERT VALUES sales (collection, usd) VALUES ('azuki', 2000.0);
