{% import 'families/global.sql' as global_family with context %}
{% import 'families/collection.sql' as collection_family with context %}
{% import 'families/asset.sql' as asset_family with context %}
-- For every window in settings.yml: one table for the market, one for collections and one for assets.
-- The newest row of a key and window is the result. Query rows by key and WINDOWSTART, for example:
--   SELECT * FROM collection_1_minute WHERE collection = 'some-slug' AND WINDOWSTART >= '2026-09-15T10:00:00';
-- Every table also has a stream of its changes. The top lists (V003) and the long form (V004) read these
-- streams. A stream is declared over the table's topic and reads only the value of a record. Therefore the
-- value repeats the key and the window (the columns SLUG, ASSET, WS and WE).
SET 'auto.offset.reset' = 'earliest';   -- read the records that the topics already hold
{% for window in windows %}
{{ global_family.create(window) }}
{{ collection_family.create(window) }}
{{ asset_family.create(window) }}
{% endfor %}
