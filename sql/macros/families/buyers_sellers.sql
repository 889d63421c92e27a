{# Buyers and sellers of the market, of every chain and of every collection. #}
{% import 'windows.sql' as w with context %}

{# The text that a sale and its transfer share: the transaction, the asset and the two accounts in either order. #}
{% macro trade(account, other) -%}
CONCAT_WS(' ', transaction_hash, nft_id,
      LEAST(NORMALIZE_ADDRESS({{ account }}), NORMALIZE_ADDRESS({{ other }})),
      GREATEST(NORMALIZE_ADDRESS({{ account }}), NORMALIZE_ADDRESS({{ other }})))
{%- endmacro %}

{# True if all parts of that text are known. #}
{% macro is_known(account, other) -%}
transaction_hash IS NOT NULL AND nft_id IS NOT NULL
    AND NORMALIZE_ADDRESS({{ account }}) IS NOT NULL AND NORMALIZE_ADDRESS({{ other }}) IS NOT NULL
{%- endmacro %}

{# The streams that the tables of all windows read. #}
{% macro streams() %}
-- A trade is all sales of one asset between two accounts in one transaction. SOLD has the trade of every sale.
-- A sale without a transaction, an asset or an account is a trade of its own, which no transfer matches.
CREATE STREAM sold WITH (KAFKA_TOPIC='opensea.sold', VALUE_FORMAT='JSON', RETENTION_MS=-1) AS
  SELECT
    CASE WHEN {{ is_known('maker', 'taker') }}
      THEN {{ trade('maker', 'taker') }}
      ELSE CONCAT_WS(' ', 'unknown', CAST(ROWTIME AS VARCHAR), transaction_hash, nft_id, maker, taker) END AS trade,
    chain, collection
  FROM sales
  EMIT CHANGES;

-- MOVED has the transfers. The account that sends the asset is the seller, if the transfer belongs to a trade.
CREATE STREAM moved WITH (KAFKA_TOPIC='opensea.moved', VALUE_FORMAT='JSON', RETENTION_MS=-1) AS
  SELECT
    {{ trade('from_address', 'to_address') }} AS trade,
    NORMALIZE_ADDRESS(from_address) AS seller, NORMALIZE_ADDRESS(to_address) AS buyer
  FROM transfers
  WHERE {{ is_known('from_address', 'to_address') }}
  EMIT CHANGES;

-- TRADES has a row for every sale with a matching transfer. A sale that comes before its transfer first has a row
-- without buyer and seller, and keeps only this one if no transfer comes. Times are those of the sales.
CREATE STREAM trades WITH (KAFKA_TOPIC='opensea.trades', VALUE_FORMAT='JSON', RETENTION_MS=-1, TIMESTAMP='sold_at') AS
  SELECT sold.trade AS trade, sold.ROWTIME AS sold_at, chain, collection, seller, buyer
  FROM sold LEFT JOIN moved WITHIN 1 HOUR ON sold.trade = moved.trade
  EMIT CHANGES;

-- TRADE_SCOPES has three rows for each trade: one for the market, one for its chain and one for its collection.
{% set scopes %}
EXPLODE(ARRAY[
      STRUCT(scope := 'market', name := 'all'),
      STRUCT(scope := 'chain', name := chain),
      STRUCT(scope := 'collection', name := collection)])
{%- endset %}
CREATE STREAM trade_scopes WITH (KAFKA_TOPIC='opensea.trade_scopes', VALUE_FORMAT='JSON', RETENTION_MS=-1) AS
  SELECT {{ scopes }}->scope AS scope, {{ scopes }}->name AS name, trade, seller, buyer
  FROM trades
  EMIT CHANGES;
{% endmacro %}

{% macro table(window) -%}
{% set name = w.suffix(window) %}
TABLE {{ ref('buyers_sellers_' ~ name) }}
  WITH (KAFKA_TOPIC='opensea.buyers_sellers.{{ name | lower }}', KEY_FORMAT='JSON', VALUE_FORMAT='JSON', RETENTION_MS=-1) AS
  SELECT
    scope, name,
    WINDOWSTART AS ws, WINDOWEND AS we,
    COUNT_DISTINCT_EXACT(buyer) AS buyers,
    COUNT_DISTINCT_EXACT(seller) AS sellers,
    COUNT_DISTINCT_EXACT(trade) AS trades,
    -- Without a transfer, the buyer is unknown.
    COUNT_DISTINCT_EXACT(trade) - COUNT_DISTINCT_EXACT(CASE WHEN buyer IS NOT NULL THEN trade END) AS unmatched_trades
  FROM trade_scopes
  {{ w.clause(window) }}
  WHERE name IS NOT NULL
  GROUP BY scope, name
  EMIT CHANGES;
{%- endmacro %}

{# The statements that create the table of a window. #}
{% macro create(window) %}
-- Buyers and sellers, window of {{ window.size }}. For example:
--   SELECT * FROM buyers_sellers_1_minute WHERE scope = 'chain' AND name = 'ethereum';
CREATE {{ table(window) }}
{% endmacro %}

{# The statement that replaces the table of a window with the definition in this file. #}
{% macro replace(window) %}
CREATE OR REPLACE {{ table(window) }}
{% endmacro %}
