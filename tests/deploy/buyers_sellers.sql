-- Which transfers match a sale. Each case also runs on ksqlDB: opensea-metrics test, with a project that has the family.
--@migrations: all
--@engines: embedded, ksqldb
{% macro sale(time, transaction, maker, taker, nft='nft') %}
INSERT INTO sales (ROWTIME, collection, nft_id, maker, taker, transaction_hash)
  VALUES ({{ time }}, 'c', {{ nft }}, {{ maker }}, {{ taker }}, {{ transaction }});
{% endmacro %}
{% macro transfer(time, transaction, source, target, nft='nft') %}
INSERT INTO transfers (ROWTIME, collection, nft_id, from_address, to_address, transaction_hash)
  VALUES ({{ time }}, 'c', {{ nft }}, {{ source }}, {{ target }}, {{ transaction }});
{% endmacro %}
{% macro counts(buyers, sellers, trades, unmatched, start=0) %}
ASSERT VALUES buyers_sellers_1_minute (scope, name, WINDOWSTART, buyers, sellers, trades, unmatched_trades)
  VALUES ('collection', 'c', {{ start }}, {{ buyers }}, {{ sellers }}, {{ trades }}, {{ unmatched }});
{% endmacro %}
{% set ann, bob, cid = "'ann'", "'bob'", "'cid'" %}
{% set nft, other = "'chain/1/1'", "'chain/1/2'" %}

--@test: the transfer comes first, in another window
{{ transfer(59000, "'x'", ann, bob, nft) }} {{ sale(60000, "'x'", ann, bob, nft) }}
{{ counts(1, 1, 1, 0, 60000) }}

--@test: another asset, another transaction, or another account is no match
{{ sale(1000, "'x'", ann, bob, nft) }}
{{ transfer(1000, "'x'", ann, bob, other) }} {{ transfer(1000, "'y'", ann, bob, nft) }}
{{ transfer(1000, "'x'", ann, cid, nft) }} {{ transfer(1000, "'x'", cid, bob, nft) }}
{{ counts(0, 0, 1, 1) }}

--@test: a transfer more than an hour later is no match, and one of an hour is
{{ sale(1000, "'x'", ann, bob, nft) }} {{ transfer(3601001, "'x'", ann, bob, nft) }}
{{ sale(1000, "'y'", ann, bob, nft) }} {{ transfer(3601000, "'y'", ann, bob, nft) }}
{{ counts(1, 1, 2, 1) }}

--@test: capitals of an address do not matter, but those of a base 58 address do
{% set high, low = "'0xABCDEFABCDEFABCDEFABCDEFABCDEFABCDEFABCD'", "'0xabcdefabcdefabcdefabcdefabcdefabcdefabcd'" %}
{{ sale(1000, "'x'", high, bob, nft) }} {{ transfer(1000, "'x'", low, bob, nft) }}
{{ sale(1000, "'y'", "'Bob'", cid, nft) }} {{ transfer(1000, "'y'", bob, cid, nft) }}
{{ counts(1, 1, 2, 1) }}

--@test: two sales of one trade are one trade, and two transfers of it count once
{{ sale(1000, "'x'", ann, bob, nft) }} {{ sale(2000, "'x'", ann, bob, nft) }}
{{ transfer(1000, "'x'", ann, bob, nft) }} {{ transfer(2000, "'x'", ann, bob, nft) }}
{{ counts(1, 1, 1, 0) }}

--@test: two accounts that sell to each other in one transaction are both buyers and sellers
{{ sale(1000, "'x'", ann, bob, nft) }} {{ sale(1000, "'x'", bob, ann, nft) }}
{{ transfer(1000, "'x'", ann, bob, nft) }} {{ transfer(1000, "'x'", bob, ann, nft) }}
{{ counts(2, 2, 1, 0) }}

--@test: a sale to oneself
{{ sale(1000, "'x'", ann, ann, nft) }} {{ transfer(1000, "'x'", ann, ann, nft) }}
{{ counts(1, 1, 1, 0) }}

--@test: a sale without a transaction, an asset or an account has no match
{{ sale(1000, 'NULL', ann, bob, nft) }} {{ transfer(1000, 'NULL', ann, bob, nft) }}
{{ sale(2000, "'x'", ann, bob, 'NULL') }} {{ transfer(2000, "'x'", ann, bob, 'NULL') }}
{{ sale(3000, "'x'", ann, 'NULL', nft) }} {{ transfer(3000, "'x'", ann, 'NULL', nft) }}
{{ sale(4000, "'x'", ann, "' '", nft) }} {{ transfer(4000, "'x'", ann, "' '", nft) }}
{{ counts(0, 0, 4, 4) }}

--@test: an account counts once in a window
{{ sale(1000, "'x'", ann, bob, nft) }} {{ transfer(1000, "'x'", ann, bob, nft) }}
{{ sale(2000, "'y'", cid, bob, nft) }} {{ transfer(2000, "'y'", cid, bob, nft) }}
{{ sale(61000, "'z'", cid, bob, nft) }} {{ transfer(61000, "'z'", cid, bob, nft) }}
{{ counts(1, 2, 2, 0) }} {{ counts(1, 1, 1, 0, 60000) }}
