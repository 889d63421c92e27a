{% import 'families/long_form.sql' as long_form_family with context %}
-- The long form has one row for each metric. It serves sinks that need rows (Cassandra), and the
-- predecessor's consumers. It uses the predecessor's metric names and topics.
--   * METRIC ends in the window's size. TIMESTAMP is the window's end.
--   * A row appears again whenever its value changes. The newest row counts.
--   * COLLECTION is '' in rows of the market. NFT_ID is '' in rows of a collection. They are not NULL,
--     because both are part of the key under which a sink stores a row.
--   * The topics have one partition, because the rows have no key. With several partitions, the order of
--     two rows would be unknown, and so would the newer one.
--   * When an asset or collection leaves a top list, its last row stays. The rows that overtook it have
--     larger values. Read a top list as the N largest values.
SET 'auto.offset.reset' = 'earliest';   -- read the records that the topics already hold

CREATE STREAM enriched_global_events (
  metric VARCHAR, collection VARCHAR, window_start BIGINT, `timestamp` BIGINT, value DOUBLE)
  WITH (KAFKA_TOPIC='{{ global_topic }}', VALUE_FORMAT='{{ long_form_format }}', PARTITIONS=1, REPLICAS={{ replicas }}, RETENTION_MS=-1);

CREATE STREAM enriched_collections_events (
  metric VARCHAR, collection VARCHAR, nft_id VARCHAR, window_start BIGINT, `timestamp` BIGINT,
  value DOUBLE, asset_name VARCHAR, asset_url VARCHAR, image_url VARCHAR)
  WITH (KAFKA_TOPIC='{{ collections_topic }}', VALUE_FORMAT='{{ long_form_format }}', PARTITIONS=1, REPLICAS={{ replicas }}, RETENTION_MS=-1);

{% for window in windows %}
{{ long_form_family.create(window) }}
{% endfor %}
