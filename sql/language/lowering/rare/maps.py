"""The order of a MAP's entries in ksqlDB: the order of Java's hash table, which MAPs of the engines do not have."""

from __future__ import annotations

from itertools import chain

from opensea_metrics.sql.language.lowering.rare.utf16 import units
from opensea_metrics.udfs.api import udf

_BITS = 0xFFFF_FFFF
_STOCK = 16
"""The buckets of a hash table that is made without a size."""


def _spread(key: str) -> int:
    """The hash of a text, with its upper half mixed into the lower one."""
    value = 0
    for unit in units(key):
        value = (31 * value + ord(unit)) & _BITS
    return value ^ value >> 16


@udf(name="ksql_hash_order")
def hash_order(keys: list[str], is_sized: bool) -> list[int]:
    """The positions of keys, from 1, in the order in which Java's hash table lists them.

    A hash table is created for a number of entries (``is_sized``), or with 16 buckets. It doubles when it is three
    quarters full. Keys in one bucket stay in insertion order.
    """
    buckets = 1 << max(len(keys) - 1, 0).bit_length() if is_sized else _STOCK
    while len(keys) > int(buckets * 0.75):
        buckets *= 2
    table: list[list[int]] = [[] for _ in range(buckets)]
    for position, key in enumerate(keys, 1):
        table[_spread(key) & (buckets - 1)].append(position)
    return list(chain.from_iterable(table))
