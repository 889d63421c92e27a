{% import 'families/trading.sql' as trading_family with context %}
-- Trading metrics that depend on accounts: the number of traders, the median price, the volume without wash
-- trades, mints, burns, and transfers without a sale. There is one table for each window. It has rows for
-- the market, for every chain and for every collection.
-- The tables need the Python functions of udfs/:
--   COUNT_DISTINCT_EITHER(a, b) counts the distinct values of two columns together. It is exact.
--   SKETCH_MEDIAN(x) returns the median to within 1 %. Its state is a few hundred counters.
--   WASH_VOLUME(asset, maker, taker, value) returns the value of trades between the accounts of one owner.
--   NORMALIZE_ADDRESS(x) gives the addresses of one account the same form, with or without capitals.
--
-- TRADERS counts buyers and sellers together. A sale does not say who its buyer is: it is the taker of a listing, and
-- the maker of an accepted offer. The family buyers_sellers counts them apart: docs/buyers-and-sellers.md. A change from
-- the previous window is in docs/change-between-windows.md.
-- The long form does not have these metrics, because they would cost another query for every window.
SET 'auto.offset.reset' = 'earliest';   -- read the records that the topics already hold

-- TRADING_EVENTS has three rows for every sale and transfer: one for the market, one for its chain and one for
-- its collection.
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
{{ trading_family.create(window) }}
{% endfor %}
