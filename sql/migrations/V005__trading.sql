{% import 'windows.sql' as w with context %}
-- What one account more or less changes: traders, median price, volume without wash trades; mints, burns,
-- transfers that were no sale. For the market, each chain and each collection, in one table a window.
-- It needs the Python functions of udfs/:
--   COUNT_DISTINCT_EITHER(a, b): distinct values of two columns together, exact;
--   SKETCH_MEDIAN(x): the median to 1 %, from a state of some hundred counters;
--   WASH_VOLUME(asset, maker, taker, value): the value of trades between the accounts of one owner;
--   NORMALIZE_ADDRESS(x): so that an account with and without capitals in its address is one.
--
-- Left out, as ksqlDB's SQL cannot say it:
--   * buyers and sellers apart. A sale names maker and taker; of a listing the taker is the buyer, of an
--     accepted offer the maker, and events do not tell which it was. TRADERS counts both sides together.
--   * the change against the window before: it takes a join of a windowed table with itself, one window
--     on. Ask for two windows: … AND WINDOWSTART >= <start of the one before>.
-- Not in the long form, as that would cost another query for every window.
SET 'auto.offset.reset' = 'earliest';   -- read what the topics already hold

-- TRADING_EVENTS: every sale and transfer once for the market, once for its chain, once for its collection.
{% set scopes %}
EXPLODE(ARRAY[
      STRUCT(scope := 'market', name := 'all'),
      STRUCT(scope := 'chain', name := chain),
      STRUCT(scope := 'collection', name := collection)])
{%- endset %}
CREATE STREAM trading_events WITH (KAFKA_TOPIC='opensea.trading_events', VALUE_FORMAT='JSON', RETENTION_MS=-1) AS
  SELECT
    {{ scopes }}->scope AS scope,
    {{ scopes }}->name AS name,
    CASE
      WHEN event = 'item_sold' THEN 'sale'
      WHEN from_address = '0x0000000000000000000000000000000000000000' THEN 'mint'
      WHEN LCASE(to_address) IN ('0x0000000000000000000000000000000000000000',
                                 '0x000000000000000000000000000000000000dead') THEN 'burn'
      ELSE 'move' END AS what,
    nft_id, usd,
    usd / quantity AS unit_usd,
    NORMALIZE_ADDRESS(maker) AS maker,
    NORMALIZE_ADDRESS(taker) AS taker
  FROM events
  WHERE event IN ('item_sold', 'item_transferred')
  EMIT CHANGES;
{% for window in windows %}
{% set name = w.suffix(window) %}

-- {{ window.size }}, for instance
--   SELECT * FROM trading_1_minute WHERE scope = 'chain' AND name = 'ethereum';
CREATE TABLE trading_{{ name }}
  WITH (KAFKA_TOPIC='opensea.trading.{{ name | lower }}', KEY_FORMAT='JSON', VALUE_FORMAT='JSON', RETENTION_MS=-1) AS
  SELECT
    scope, name,
    WINDOWSTART AS ws, WINDOWEND AS we,
    COUNT(CASE WHEN what = 'sale' THEN 1 END) AS sales,
    SUM(usd) AS usd_volume,
    COUNT_DISTINCT_EITHER(CASE WHEN what = 'sale' THEN maker END, CASE WHEN what = 'sale' THEN taker END) AS traders,
    SKETCH_MEDIAN(unit_usd) AS median_usd,               -- of the price of one unit
    SUM(usd) - WASH_VOLUME(nft_id, maker, taker, usd) AS organic_usd_volume,
    COUNT(CASE WHEN what = 'mint' THEN 1 END) AS mints,
    COUNT(CASE WHEN what = 'burn' THEN 1 END) AS burns,
    -- A sale brings one transfer, of the same time. (Mints and burns are among the others.)
    CASE WHEN COUNT(CASE WHEN what = 'sale' THEN 1 END) * 2 < COUNT(*)
         THEN COUNT(*) - COUNT(CASE WHEN what = 'sale' THEN 1 END) * 2
         ELSE CAST(0 AS BIGINT) END AS transfers_without_sale
  FROM trading_events
  {{ w.clause(window) }}
  WHERE name IS NOT NULL
  GROUP BY scope, name
  EMIT CHANGES;
{% endfor %}
