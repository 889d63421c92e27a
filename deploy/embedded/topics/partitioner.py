"""The partition that Kafka's producers choose for a record, by the murmur2 hash of its key's bytes."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

from opensea_metrics.core.types import BIGINT, DOUBLE, INTEGER, STRING
from opensea_metrics.sql.language.catalog.sources import Source
from opensea_metrics.sql.language.values.topic_json import dump

_MULTIPLIER = 0x5BD1E995
_MASK = 0xFFFF_FFFF
_PACKED = {INTEGER: ">i", BIGINT: ">q", DOUBLE: ">d"}


def partition(source: Source, key: Mapping[str, Any], partitions: int) -> int:
    """The partition of a record of a source. ``key`` has the values of the key columns.

    Without a key the partition is 0. A real server's producer spreads records without a key over all partitions, in an
    unpredictable order.
    """
    if partitions == 1 or not key or all(value is None for value in key.values()):
        return 0
    return (murmur2(_encoded(source, key)) & 0x7FFF_FFFF) % partitions


def murmur2(data: bytes) -> int:
    """Kafka's hash of bytes, as an unsigned number.

    >>> murmur2(b"21") & 0xFFFFFFFF, murmur2(b"foobar")  # -973932308 and -790332482 as Java's int
    (3321034988, 3504634814)
    """
    result = 0x9747B28C ^ len(data)
    whole = len(data) - len(data) % 4
    for (word,) in struct.iter_unpack("<I", data[:whole]):
        word = word * _MULTIPLIER & _MASK
        word = (word ^ word >> 24) * _MULTIPLIER & _MASK
        result = (result * _MULTIPLIER & _MASK) ^ word
    if rest := data[whole:]:
        result = (result ^ int.from_bytes(rest, "little")) * _MULTIPLIER & _MASK
    result = (result ^ result >> 13) * _MULTIPLIER & _MASK
    return result ^ result >> 15


def _encoded(source: Source, key: Mapping[str, Any]) -> bytes:
    """The key as its format writes it. In JSON a key with a single column is the bare value, without its name."""
    columns = [column for column in source.columns if column.is_key]
    values = [key.get(column.name) for column in columns]
    if source.key_format == "JSON":
        return dump(dict(key)) if len(columns) > 1 else dump({"": values[0]})[4:-1]
    if source.key_format == "DELIMITED":
        return ",".join("" if value is None else str(value) for value in values).encode()
    kind, value = columns[0].type, values[0]
    if kind == STRING or kind not in _PACKED:
        return str(value).encode()
    return struct.pack(_PACKED[kind], value)
