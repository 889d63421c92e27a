"""Columns and their types, as ksqlDB's replies name them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from opensea_metrics.deploy.shapes import Json, WrongShape, member, members, text


@dataclass(frozen=True)
class ServerColumn:
    """A column in a reply. ``type`` is as ksqlDB writes it; ``key`` is True for key columns."""

    name: str
    type: str
    key: bool = False


def type_text(schema: Json) -> str:
    """The type of a field in a DESCRIBE reply, as text.

    >>> type_text({"type": "ARRAY", "memberSchema": {"type": "STRING"}})
    'ARRAY<STRING>'
    """
    name = text(schema, "type")
    inner = member(schema, "memberSchema") if schema.get("memberSchema") else None
    if name == "STRUCT":
        fields = (
            f"`{text(field, 'name')}` {type_text(member(field, 'schema'))}"
            for field in members(schema, "fields")
        )
        return f"STRUCT<{', '.join(fields)}>"
    if name == "DECIMAL":
        limits = member(schema, "parameters") if schema.get("parameters") else {}
        return f"DECIMAL({limits.get('precision', '?')}, {limits.get('scale', '?')})"
    if name == "MAP":
        return f"MAP<STRING, {type_text(inner)}>" if inner else name
    return f"{name}<{type_text(inner)}>" if inner else name


def columns_of(schema: str) -> tuple[ServerColumn, ...]:
    """The columns that a query's header names. Raises WrongShape if the text does not name columns.

    >>> columns_of("`A` STRING KEY, `top` ARRAY<STRUCT<`b` INTEGER, `c` DOUBLE>>")[1].type
    'ARRAY<STRUCT<`b` INTEGER, `c` DOUBLE>>'
    """
    parts, depth, start, in_quotes = [], 0, 0, False
    for at, char in enumerate(schema):
        if char == "`":
            in_quotes = not in_quotes
        elif not in_quotes:
            depth += (char in "<(") - (char in ">)")
            if char == "," and depth == 0:
                parts.append(schema[start:at])
                start = at + 1
    return tuple(_column(part.strip()) for part in [*parts, schema[start:]] if part.strip())


def _column(written: str) -> ServerColumn:
    match = re.match(r"`((?:[^`]|``)*)` (.*?)( KEY)?$", written, re.DOTALL)
    if match is None:
        raise WrongShape(f"its schema has {written[:40]!r} where ksqlDB has a name and a type")
    return ServerColumn(match[1].replace("``", "`"), match[2], match[3] is not None)
