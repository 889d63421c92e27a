"""Payloads of sample events as JSON text: transfers, sales and orders of a market (:mod:`producer.market`)."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime

from opensea_metrics.producer import market
from opensea_metrics.producer.market import SampleCollection, SampleToken

_ZERO = "0x" + "0" * 40
_DEAD = "0x000000000000000000000000000000000000dead"


def iso(moment: int) -> str:
    """A time (epoch ms) as OpenSea writes it."""
    time = datetime.fromtimestamp(moment // 1000, UTC)
    return f"{time:%Y-%m-%dT%H:%M:%S}.{moment % 1000:03}000Z"


def _account(address: str) -> str:
    return f'{{"address":"{address}"}}'


def _item(rng: random.Random, collection: SampleCollection, is_wash: bool = False) -> str:
    """An item. Wash trades pass the same few items around."""
    token = rng.randrange(3) if is_wash else int(rng.paretovariate(0.4)) % collection.supply
    nft = f"{collection.chain}/{collection.contract}/{token}"
    if rng.random() < 0.04:
        metadata = '{"name":null,"image_url":null,"animation_url":null,"metadata_url":null}'
    else:
        name = json.dumps(f"{collection.title} #{token}", ensure_ascii=False)
        metadata = (
            f'{{"name":{name},"image_url":"https://img.example/{collection.slug}/{token}.png",'
            '"animation_url":null,"metadata_url":null}'
        )
    return (
        f'{{"nft_id":"{nft}","permalink":"https://opensea.io/assets/{nft}",'
        f'"chain":{{"name":"{collection.chain}"}},"metadata":{metadata}}}'
    )


def _head(rng: random.Random, collection: SampleCollection, moment: int) -> str:
    known = f'{{"slug":"{collection.slug}"}}' if rng.random() > 0.003 else "null"
    return f'"chain":"{collection.chain}","collection":{known},"event_timestamp":"{iso(moment)}"'


def _transfer(head: str, item: str, accounts: tuple[str, str], moment: int, hash_: str, quantity: str) -> str:
    source, target = map(_account, accounts)
    return (
        f'{{{head},"from_account":{source},"to_account":{target},"item":{item},"quantity":{quantity},'
        f'"transaction":{{"hash":"{hash_}","timestamp":"{iso(moment)}"}}}}'
    )


def transfer(rng: random.Random, collection: SampleCollection, moment: int) -> str:
    """The payload of a transfer without a sale, which may be a mint or a burn."""
    quantity = rng.choice(["1"] * 36 + ['"3"', "250", "null", "-4"])
    seller, buyer = market.traders(rng, collection, is_wash=False)
    chance = rng.random()
    if chance < (0.7 if collection.is_minting else 0.03):
        seller = _ZERO
    elif chance > 0.99:
        buyer = _DEAD
    item, hash_ = _item(rng, collection), f"0x{rng.getrandbits(256):064x}"
    return _transfer(_head(rng, collection, moment), item, (seller, buyer), moment, hash_, quantity)


def _amount(usd: float, token: SampleToken) -> str:
    """A price in the smallest unit of a token."""
    return str(int(usd / float(token.usd) * 10**9) * 10 ** (token.decimals - 6) // 1000 + 1)


def _token(token: SampleToken, eth: str, usd: str) -> str:
    return (
        f'{{"address":"{_ZERO}","decimals":{token.decimals},"eth_price":"{eth}","name":"{token.name}",'
        f'"symbol":"{token.symbol}","usd_price":"{usd}"}}'
    )


def sale(rng: random.Random, collection: SampleCollection, moment: int) -> tuple[str, str]:
    """The payloads of a sale and of its transfer, from the seller to the buyer."""
    is_wash = collection.has_ring and rng.random() < 0.25
    is_offer = not is_wash and rng.random() < 0.3
    seller, buyer = market.traders(rng, collection, is_wash)
    floor = collection.floor_at(moment)
    if is_offer:  # a holder accepts an offer, a little below the floor
        usd, token, accounts = floor * rng.uniform(0.92, 0.995), collection.offer_token, (buyer, seller)
    else:
        usd, token, accounts = floor * (1 + rng.expovariate(4)), rng.choice(collection.tokens), (seller, buyer)
        if is_wash:
            usd *= rng.uniform(1.5, 3)
        elif rng.random() < 0.03:  # a rare item
            usd *= rng.uniform(2, 8)
    price = json.dumps(_amount(usd, token))
    chance = rng.random()
    if chance < 0.01:
        price = rng.choice(("null", '"1e400"', '"about 3"'))
    elif chance < 0.012:
        token, price = market.ETHER, "23000000000000000000"  # 23 ETH, as a number beyond 64 bits
    quantity = rng.choice(["1"] * 60 + ["5", '"2"', "0", "null", "1.5"])
    payment = _token(token, token.eth, token.usd)
    if rng.random() < 0.002:
        payment = '"ETH"'  # not an object, so the server cannot read the record
    item, head = _item(rng, collection, is_wash), _head(rng, collection, moment)
    hash_ = f"0x{rng.getrandbits(256):064x}"
    maker, taker = map(_account, accounts)
    payload = (
        f'{{{head},"order_hash":"0x{rng.getrandbits(256):064x}",'
        '"protocol_address":"0x0000000000000068f116a894984e2db1123eb395",'
        f'"item":{item},"quantity":{quantity},"sale_price":{price},"maker":{maker},"taker":{taker},'
        f'"listing_type":null,"closing_date":"{iso(moment)}","is_private":false,"payment_token":{payment},'
        f'"transaction":{{"hash":"{hash_}","timestamp":"{iso(moment)}"}}}}'
    )
    return payload, _transfer(head, item, (seller, buyer), moment, hash_, "1")


def order(rng: random.Random, kind: str, collection: SampleCollection, moment: int) -> str:
    """The payload of a listing, a bid or another order, or of an update of metadata."""
    if kind == "item_metadata_updated":
        return f'{{"collection":{{"slug":"{collection.slug}"}},"item":{_item(rng, collection)}}}'
    is_listing = kind == "item_listed"
    token = rng.choice(collection.tokens) if is_listing else collection.offer_token
    floor = collection.floor_at(moment)
    price = _amount(floor * (1 + rng.expovariate(2)) if is_listing else floor * rng.uniform(0.5, 0.97), token)
    # On orders these are the order's value, not the token's rate.
    value = int(price) / 10**token.decimals
    eth, usd = value * float(token.eth), value * float(token.usd)
    item = {"collection_offer": "{}", "trait_offer": "null"}.get(kind) or _item(rng, collection)
    maker, _ = market.traders(rng, collection, is_wash=False)
    return (
        f'{{{_head(rng, collection, moment)},"item":{item},"quantity":1,"base_price":"{price}",'
        f'"listing_date":"{iso(moment)}","expiration_date":"{iso(moment + 86_400_000)}",'
        f'"maker":{_account(maker)},"taker":null,"order_hash":"0x{rng.getrandbits(256):064x}",'
        '"protocol_address":"0x0000000000000068f116a894984e2db1123eb395","protocol_data":null,'
        f'"is_private":false,"payment_token":{_token(token, f"{eth:.15f}", f"{usd:.12f}")}}}'
    )
