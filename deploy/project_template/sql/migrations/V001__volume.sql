{% import 'families/volume.sql' as volume_family with context %}
-- The volume of sales, for each collection and window.
SET 'auto.offset.reset' = 'earliest';   -- read the records that the topic already holds

-- Events as `opensea-metrics produce` and `opensea-metrics sample` write them. OpenSea sends numbers both as
-- text and as numbers. Therefore they are declared as text here.
CREATE STREAM raw_events (
  event_time BIGINT,   -- epoch ms
  event VARCHAR,       -- item_sold, item_transferred, item_listed, …
  payload STRUCT<
    payload STRUCT<
      collection STRUCT<slug VARCHAR>,
      sale_price VARCHAR,          -- of the whole sale, in base units of the token
      payment_token STRUCT<decimals VARCHAR, usd_price VARCHAR>>>
) WITH (KAFKA_TOPIC='{{ raw_topic }}', VALUE_FORMAT='JSON', PARTITIONS={{ partitions }}, TIMESTAMP='event_time');

CREATE STREAM sales WITH (KAFKA_TOPIC='sales', VALUE_FORMAT='JSON') AS
  SELECT
    payload->payload->collection->slug AS collection,
    CAST(payload->payload->sale_price AS DOUBLE)
      / POWER(10, CAST(payload->payload->payment_token->decimals AS INTEGER))
      * CAST(payload->payload->payment_token->usd_price AS DOUBLE) AS usd
  FROM raw_events
  WHERE event = 'item_sold'
  EMIT CHANGES;
{% for window in windows %}
{{ volume_family.create(window) }}
{% endfor %}
