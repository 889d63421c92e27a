"""ksqlDB's JSON deserializer for one record at a time. It is slow, but correct for every record.

DuckDB reads most records itself (:mod:`.rows`). This module rewrites the records that DuckDB may read differently
from ksqlDB. They have names in another case, values of a wrong type, numbers that wrap around, or invalid JSON. The
rules are those of Jackson and of KsqlJsonDeserializer in 7.9.1. tests/embedded/records.yml has the results of
a real server.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from opensea_metrics.core.types import ArrayType, DecimalType, KsqlType, MapType, StructType
from opensea_metrics.sql.language.lowering.records.exact_scalars import (
    SCALARS,
    Write,
    Wrong,
    decimal_writer,
)
from opensea_metrics.sql.language.lowering.records.json_values import parsed


def exact(line: str, spec: str) -> str:
    """A JSON object with the values that ksqlDB reads from a record, for DuckDB to read by their types.

    If ksqlDB cannot read the record, the result is ``!`` and the reason. ``spec`` (:func:`spec_of`) has the columns
    and the names that DuckDB looks for.
    """
    try:
        value = parsed(line)
    except (ValueError, RecursionError):
        return "!not JSON"
    if not isinstance(value, dict):
        return "!not a JSON object"
    try:
        written = _record(spec)(value)
    except Wrong as wrong:
        return f"!{wrong.path.removeprefix('->')} is not a valid {wrong.kind}"
    return json.dumps(written, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace").decode()


def spec_of(kind: StructType, keys: Mapping[str, str]) -> str:
    """The columns for :func:`exact`, as text. ``keys`` are their names in JSON."""

    def spec(kind: KsqlType) -> Any:
        match kind:
            case DecimalType():
                return [kind.name, kind.precision, kind.scale]
            case ArrayType():
                return [kind.name, spec(kind.element)]
            case MapType():
                return [kind.name, spec(kind.value)]
            case StructType():
                return [kind.name, *([name, keys[name], spec(inner)] for name, inner in kind.fields)]
        return [kind.name]

    return json.dumps(spec(kind))


@lru_cache(maxsize=100)
def _record(spec: str) -> Write:
    return _writer(json.loads(spec))


def _writer(spec: list[Any]) -> Write:
    """A function that writes values of a type. It raises Wrong for other values."""
    name, *parts = spec
    match name:
        case "STRUCT":
            return _struct([(field, key, _writer(inner)) for field, key, inner in parts])
        case "ARRAY":
            return _array(_writer(parts[0]))
        case "MAP":
            return _map(_writer(parts[0]))
        case "DECIMAL":
            return decimal_writer(*parts)
    return SCALARS[name]


def _at(path: str, write: Write, value: Any) -> Any:
    if value is None:
        return None
    try:
        return write(value)
    except Wrong as wrong:
        raise Wrong(wrong.kind, path + wrong.path) from None


def _struct(fields: list[tuple[str, str, Write]]) -> Write:
    def write(value: Any) -> Any:
        if not isinstance(value, dict):
            raise Wrong("STRUCT")
        upper = {key.upper(): key for key in value}
        written = {}
        for name, key, inner in fields:
            given = name if name in value else upper.get(name)
            if given is not None:
                written[key] = _at(f"->{name}", inner, value[given])
        return written

    return write


def _array(element: Write) -> Write:
    def write(value: Any) -> Any:
        if not isinstance(value, list):
            raise Wrong("ARRAY")
        return [_at(f"[{at}]", element, member) for at, member in enumerate(value, 1)]

    return write


def _map(element: Write) -> Write:
    def write(value: Any) -> Any:
        if not isinstance(value, dict):
            raise Wrong("MAP")
        return {key: _at(f"['{key}']", element, member) for key, member in value.items()}

    return write
