"""How DuckDB reads the values of a JSON record: each type's shape for ``from_json``, and the SQL that makes a
value of what ``from_json`` gives.

The SQL gives NULL, not for a JSON null only, but for every value that DuckDB may not read as ksqlDB does. A
record with such a value is then read by ``sql.lowering.exact``, whose results this SQL reads. So the SQL has
to know the common forms of values only.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from sql.lowering.exact import DAYS, MILLISECONDS
from sql.quoting import quoted, text
from sql.types import STRING, ArrayType, DecimalType, KsqlType, MapType, StructType
from sql.types import duckdb as duckdb_type

Keys = Mapping[str, str]
"""The names in JSON of fields."""

_LONG = "json_long({0})"
_SCALARS = {
    "BOOLEAN": "CASE {0} WHEN 'true' THEN true WHEN 'false' THEN false END",
    "INTEGER": "json_integer({0})",
    "BIGINT": _LONG,
    "DOUBLE": "json_double({0})",
    "BYTES": "json_bytes({0})",
    "DATE": f"CASE WHEN abs({_LONG}) <= {DAYS} THEN DATE '1970-01-01' + {_LONG}::INTEGER END",
    "TIME": f"CASE WHEN {_LONG} BETWEEN 0 AND 86399999 THEN make_timestamp_ms({_LONG})::TIME END",
    "TIMESTAMP": f"CASE WHEN abs({_LONG}) <= {MILLISECONDS} THEN make_timestamp_ms({_LONG}) END",
}


def shape(kind: KsqlType, keys: Keys) -> Any:
    """What ``from_json`` makes of a value: text of a STRING, a STRUCT's fields, else the JSON as it is."""
    match kind:
        case StructType():
            return {keys[name]: shape(inner, keys) for name, inner in kind.fields}
    return "VARCHAR" if kind == STRING else "JSON"


def is_plain(kind: KsqlType) -> bool:
    """Whether ``from_json`` gives the value itself."""
    if isinstance(kind, StructType):
        return all(is_plain(inner) for _, inner in kind.fields)
    return kind == STRING


def parsed(json_text: str, kind: StructType, keys: Keys) -> str:
    """A record's fields, of its text."""
    return f"from_json({json_text}, {text(json.dumps(shape(kind, keys)))})"


def field(struct: str, key: str) -> str:
    """A field of what was parsed."""
    return f"struct_extract({struct}, {text(key)})"


def value(kind: KsqlType, given: str, keys: Keys, depth: int = 0) -> str:
    """A value, of what ``from_json`` gives; NULL if there may be more to it."""
    match kind:
        case ArrayType() | MapType():
            held = elements(kind, given, keys)
            return assembled(kind, held, converted(kind, held, keys, depth))
        case StructType():
            return _struct(kind, given, keys, depth)
        case DecimalType():
            fits = rf'"?-?[0-9]+([.][0-9]{{0,{kind.scale}}}0*)?"?'
            digits = f"""trim({given}::VARCHAR, '"')"""
            return (
                f"CASE WHEN regexp_full_match({given}, {text(fits)})"
                f" THEN TRY_CAST({digits} AS {duckdb_type(kind)}) END"
            )
    if kind == STRING:
        return f"CASE WHEN NOT {is_no_text(given)} THEN {given} END"
    return _SCALARS[kind.name].format(f"{given}::VARCHAR")


def is_no_text(given: str) -> str:
    """A condition: what ``from_json`` gives of a STRING may be an array or object."""
    return f"(starts_with({given}, '[') OR starts_with({given}, '{{'))"


def exact_value(kind: KsqlType, given: str, keys: Keys, depth: int = 0) -> str:
    """A value, of what ``from_json`` gives of a text that ``sql.lowering.exact`` wrote."""
    match kind:
        case StructType() if not is_plain(kind):
            fields = [
                exact_value(inner, field(given, keys[name]), keys, depth) for name, inner in kind.fields
            ]
            return packed(kind, given, fields)
        case ArrayType() | MapType():
            held = elements(kind, given, keys)
            return _whole(kind, held, converted(kind, held, keys, depth, exact_value))
    return given if is_plain(kind) else value(kind, given, keys, depth)


def elements(kind: ArrayType | MapType, given: str, keys: Keys) -> str:
    """What an array or map holds, as ``from_json`` gives it; NULL if the JSON is no array or object."""
    whole: Any
    if isinstance(kind, ArrayType):
        begin, whole = "[", [shape(kind.element, keys)]
    else:
        begin, whole = "{", f"MAP(VARCHAR, {_type(kind.value, keys)})"
    json_text = f"from_json({given}, {text(json.dumps(whole))})"
    return f"CASE WHEN starts_with({given}, '{begin}') THEN {json_text} END"


def converted(
    kind: ArrayType | MapType,
    held: str,
    keys: Keys,
    depth: int = 0,
    read: Callable[[KsqlType, str, Keys, int], str] = value,
) -> str:
    """The values of an array or map, as a list."""
    inner = kind.element if isinstance(kind, ArrayType) else kind.value
    made = read(inner, element := f"_e{depth}", keys, depth + 1)
    members = _members(kind, held)
    return members if made == element else f"list_transform({members}, lambda {element}: {made})"


def assembled(kind: ArrayType | MapType, held: str, values: str) -> str:
    """An array or map of its values; NULL if one of them is NULL that is no JSON null."""
    whole = _whole(kind, held, values)
    return f"CASE WHEN list_count({values}) = list_count({_members(kind, held)}) THEN {whole} END"


def _whole(kind: ArrayType | MapType, held: str, values: str) -> str:
    if isinstance(kind, ArrayType):
        return values
    made = f"MAP(map_keys({held}), {values})"
    return made if kind.key == STRING else f"CAST({made} AS {duckdb_type(kind)})"


def all_null(values: list[str]) -> str:
    """A condition: none of some values is there."""
    return "(" + " AND ".join(f"{value} IS NULL" for value in values) + ")"


def packed(kind: StructType, given: str, fields: list[str]) -> str:
    """A struct of the values of its fields; NULL where what was given is."""
    pairs = ", ".join(
        f"{quoted(name)} := {value}" for (name, _), value in zip(kind.fields, fields, strict=True)
    )
    return f"CASE WHEN {given} IS NOT NULL THEN struct_pack({pairs}) END"


def _struct(kind: StructType, given: str, keys: Keys, depth: int) -> str:
    """A struct that an array or map holds. What is no object reads as a struct of NULLs."""
    raw = [field(given, keys[name]) for name, _ in kind.fields]
    values = [
        value(inner, each, keys, depth) for each, (_, inner) in zip(raw, kind.fields, strict=True)
    ]
    doubts = [all_null(raw)]
    doubts += [
        f"({each} IS NOT NULL AND {made} IS NULL)"
        for each, made in zip(raw, values, strict=True)
        if each != made
    ]
    made = given if is_plain(kind) else packed(kind, given, values)
    return f"CASE WHEN NOT ({' OR '.join(doubts)}) THEN {made} END"


def _members(kind: ArrayType | MapType, held: str) -> str:
    return held if isinstance(kind, ArrayType) else f"map_values({held})"


def _type(kind: KsqlType, keys: Keys) -> str:
    """A type's shape as a type of DuckDB's."""
    if isinstance(kind, StructType):
        fields = (f"{quoted(keys[name])} {_type(inner, keys)}" for name, inner in kind.fields)
        return f"STRUCT({', '.join(fields)})"
    return "VARCHAR" if kind == STRING else "JSON"
