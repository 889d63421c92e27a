{% import 'values.sql' as values %}
-- The events: first the raw stream, then the same events as flat columns.
SET 'auto.offset.reset' = 'earliest';   -- read the records that the topics already hold

-- OPENSEA_RAW_EVENTS is a stream over the topic that the producer writes. A record is one event as a JSON
-- object:
--   {"event_time": 1789467000000, "topic": "collection:<slug>", "event": "item_sold", "payload": {…}}
-- It is OpenSea's frame with EVENT_TIME in front. The frame is in the object form of the Phoenix protocol,
-- so that the predecessor's consumers can read it too. Scalars in the payload are declared as text, because
-- OpenSea sends numbers both as text and as numbers. With another type, one value that does not fit would
-- make ksqlDB drop the whole record.
-- If a metric needs more fields, declare them here.
CREATE STREAM opensea_raw_events (
  event_time BIGINT,   -- epoch ms of the event on the chain or market, not of its arrival
  `TOPIC` VARCHAR,     -- (a reserved word) the channel it came through, collection:<slug>
  event VARCHAR,       -- item_sold, item_transferred, item_listed, item_received_bid, …
  payload STRUCT<
    event_type VARCHAR,
    sent_at VARCHAR,
    payload STRUCT<
      collection STRUCT<slug VARCHAR>,
      chain VARCHAR,
      item STRUCT<
        nft_id VARCHAR,       -- chain/contract/token
        permalink VARCHAR,
        metadata STRUCT<name VARCHAR, image_url VARCHAR>>,
      quantity VARCHAR,
      sale_price VARCHAR,     -- of the whole sale, in base units of the token
      payment_token STRUCT<
        symbol VARCHAR,
        decimals VARCHAR,
        eth_price VARCHAR,    -- on a sale: one token in ETH
        usd_price VARCHAR>,   -- on a sale: one token in USD
      maker STRUCT<address VARCHAR>,
      taker STRUCT<address VARCHAR>,
      from_account STRUCT<address VARCHAR>,
      to_account STRUCT<address VARCHAR>,
      transaction STRUCT<hash VARCHAR>>>
) WITH (
  KAFKA_TOPIC='{{ raw_topic }}', VALUE_FORMAT='JSON', PARTITIONS={{ partitions }},
  REPLICAS={{ replicas }}, RETENTION_MS={{ raw_retention_ms }}, TIMESTAMP='event_time');

-- EVENTS has every event as flat columns. Build metrics from this stream, or from SALES and TRANSFERS.
CREATE STREAM events WITH (KAFKA_TOPIC='opensea.events', VALUE_FORMAT='JSON', RETENTION_MS=-1) AS
  SELECT
    event,
    payload->payload->collection->slug AS collection,    -- NULL: counts in global metrics only
    payload->payload->chain AS chain,
    payload->payload->item->nft_id AS nft_id,
    payload->payload->item->metadata->name AS asset_name,
    payload->payload->item->permalink AS asset_url,
    payload->payload->item->metadata->image_url AS image_url,
    -- Units of the token (ERC-1155 has many); missing, zero, negative or no number: 1.
    CASE WHEN {{ values.whole('payload->payload->quantity') }} > 0
         THEN {{ values.whole('payload->payload->quantity') }}
         ELSE CAST(1 AS BIGINT) END AS quantity,
    -- What a sale was worth in all: price / 10^decimals × the token's rate. NULL without a price.
    CASE WHEN event = 'item_sold' THEN
      {{ values.base_units('payload->payload->sale_price') }}
      / POWER(10, {{ values.decimals('payload->payload->payment_token->decimals') }})
      * {{ values.rate('payload->payload->payment_token->usd_price') }} END AS usd,
    CASE WHEN event = 'item_sold' THEN
      {{ values.base_units('payload->payload->sale_price') }}
      / POWER(10, {{ values.decimals('payload->payload->payment_token->decimals') }})
      * {{ values.rate('payload->payload->payment_token->eth_price') }} END AS eth,
    payload->payload->payment_token->symbol AS token,
    payload->payload->maker->address AS maker,           -- not always the seller: docs/reference/metrics.md
    payload->payload->taker->address AS taker,
    payload->payload->from_account->address AS from_address,
    payload->payload->to_account->address AS to_address,
    payload->payload->transaction->hash AS transaction_hash
  FROM opensea_raw_events
  EMIT CHANGES;

-- SALES has the item_sold events only. A listing is not a sale.
CREATE STREAM sales WITH (KAFKA_TOPIC='opensea.sales', VALUE_FORMAT='JSON', RETENTION_MS=-1) AS
  SELECT collection, chain, nft_id, asset_name, asset_url, image_url, quantity, usd, eth,
         usd / quantity AS unit_usd, token, maker, taker, transaction_hash
  FROM events
  WHERE event = 'item_sold'
  EMIT CHANGES;

-- TRANSFERS has the item_transferred events only. A sale also causes a transfer, with the same
-- transaction_hash.
CREATE STREAM transfers WITH (KAFKA_TOPIC='opensea.transfers', VALUE_FORMAT='JSON', RETENTION_MS=-1) AS
  SELECT collection, chain, nft_id, asset_name, asset_url, image_url, quantity, from_address,
         to_address, transaction_hash
  FROM events
  WHERE event = 'item_transferred'
  EMIT CHANGES;
