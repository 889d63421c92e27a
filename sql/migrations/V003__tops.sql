{% import 'families/top_collections.sql' as top_collections_family with context %}
{% import 'families/top_assets.sql' as top_assets_family with context %}
-- The top lists of collections and assets, and the number of different assets sold.
-- These tables need the Python functions of udfs/:
--   TOP_BY_KEY(key, value, detail, n) takes the newest value of every key and returns the n keys with the
--   largest values. Ties are ordered by key.
--   COUNT_DISTINCT_EXACT(x) counts exactly. ksqlDB's own COUNT_DISTINCT only estimates.
-- DETAIL is JSON text. Read a field with EXTRACTJSONFIELD(entry->detail, '$.SALES').
SET 'auto.offset.reset' = 'earliest';   -- read the records that the topics already hold
{% for window in windows %}
{{ top_collections_family.create(window) }}
{{ top_assets_family.create(window) }}
{% endfor %}
