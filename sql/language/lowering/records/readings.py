"""Reads the values of a JSON record in DuckDB: the shape of each type for ``from_json``, and the SQL that converts
the results of ``from_json``.

The SQL returns NULL for a JSON null, and also for each value that DuckDB may not read as ksqlDB does. :mod:`.exact`
reads the records with such values. So the SQL only has to support the common forms of values.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from opensea_metrics.core.quoting import quoted, text
from opensea_metrics.core.types import STRING, ArrayType, DecimalType, KsqlType, MapType, StructType
from opensea_metrics.core.types import duckdb as duckdb_type
from opensea_metrics.sql.language.lowering.records.exact_scalars import DAYS, MILLISECONDS

Keys = Mapping[str, str]
"""The names of fields in JSON. The fields of structs keep these names until a statement uses the struct."""

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


def is_plain(kind: KsqlType) -> bool:
    """True if ``from_json`` returns the value itself."""
    if isinstance(kind, StructType):
        return all(is_plain(inner) for _, inner in kind.fields)
    return kind == STRING


def parsed(
    json_text: str, kind: StructType, keys: Keys, widened: Mapping[tuple[str, ...], Sequence[str]] | None = None
) -> str:
    """The fields of a record's text. A STRING is text, a STRUCT has its fields, and all other types are JSON.

    ``widened`` maps the path of a struct to the names of additional text fields to read from it.
    """
    shape = _shape(kind, keys)
    for path, more in (widened or {}).items():
        place = shape
        for name in path:
            place = place[keys[name]]
        place.update(dict.fromkeys(more, "VARCHAR"))
    return f"from_json({json_text}, {text(json.dumps(shape))})"


def exact(json_text: str, kind: StructType, keys: Keys) -> str:
    """The fields of a text from ``sql.language.lowering.records.exact``, as values."""
    return f"from_json({json_text}, {text(json.dumps(_exact_shape(kind, keys)))})"


def field(struct: str, key: str) -> str:
    """A field of a parsed struct."""
    return f"struct_extract({struct}, {text(key)})"


def value(kind: KsqlType, given: str, keys: Keys, inside: int = 0) -> str:
    """A parsed value, or NULL if the value needs :mod:`.exact`.

    ``inside`` is the number of arrays, maps, and structs in these that contain the value. Arrays inside arrays are
    always NULL here, because DuckDB's time doubles with each lambda inside a lambda.
    """
    match kind:
        case ArrayType() | MapType():
            if inside:
                return "NULL"
            held = elements(kind, given, keys)
            return assembled(kind, held, converted(kind, held, keys), keys)
        case StructType():
            return "NULL" if inside > 1 and not is_plain(kind) else _struct(kind, given, keys, inside)
        case DecimalType():
            fits = rf'"?-?[0-9]+([.][0-9]{{0,{kind.scale}}}0*)?"?'
            digits = f"""trim({given}::VARCHAR, '"')"""
            return (
                f"CASE WHEN regexp_full_match({given}, {text(fits)})"
                f" THEN TRY_CAST({digits} AS {duckdb_type(kind)}) END"
            )
    if kind == STRING:
        return f"CASE WHEN json_odd_text({given}) THEN NULL ELSE {given} END"
    return _SCALARS[kind.name].format(f"{given}::VARCHAR")


def elements(kind: ArrayType | MapType, given: str, keys: Keys) -> str:
    """The parsed elements of an array or map, or NULL if the JSON is not an array or object."""
    whole: Any
    if isinstance(kind, ArrayType):
        begin, whole = "[", [_shape(kind.element, keys)]
    else:
        begin, whole = "{", f"MAP(VARCHAR, {_type(kind.value, keys)})"
    json_text = f"from_json({given}, {text(json.dumps(whole))})"
    return f"CASE WHEN starts_with({given}, '{begin}') THEN {json_text} END"


def converted(kind: ArrayType | MapType, held: str, keys: Keys) -> str:
    """The values of an array or map, as a list."""
    inner = kind.element if isinstance(kind, ArrayType) else kind.value
    return f"list_transform({_members(kind, held)}, lambda _e: {value(inner, '_e', keys, inside=1)})"


def assembled(kind: ArrayType | MapType, held: str, values: str, keys: Keys) -> str:
    """An array or map, built from its values. NULL if a value is NULL but was not null in the JSON."""
    whole = values if isinstance(kind, ArrayType) else f"MAP(map_keys({held}), {values})"
    whole_list = f"CASE WHEN list_count({values}) = list_count({_members(kind, held)}) THEN {whole} END"
    return f"CAST({whole_list} AS {_type(kind, keys, exact=True)})"


def all_null(values: list[str]) -> str:
    """A condition that is true if all values are NULL."""
    return "(" + " AND ".join(f"{value} IS NULL" for value in values) + ")"


def packed(kind: StructType, given: str, fields: list[str], keys: Keys) -> str:
    """A struct, built from the values of its fields. NULL if ``given`` is NULL."""
    pairs = ", ".join(
        f"{quoted(keys[name])} := {value}" for (name, _), value in zip(kind.fields, fields, strict=True)
    )
    return f"CASE WHEN {given} IS NOT NULL THEN struct_pack({pairs}) END"


def _struct(kind: StructType, given: str, keys: Keys, inside: int) -> str:
    """A struct in an array or map. A value that is not an object reads as a struct of NULLs."""
    raw = [field(given, keys[name]) for name, _ in kind.fields]
    values = [
        value(inner, given_field, keys, inside + 1) for given_field, (_, inner) in zip(raw, kind.fields, strict=True)
    ]
    doubts = [all_null(raw)]
    doubts += [
        f"({given_field} IS NOT NULL AND {read} IS NULL)" for given_field, read in zip(raw, values, strict=True)
    ]
    whole = given if is_plain(kind) else packed(kind, given, values, keys)
    return f"CASE WHEN NOT ({' OR '.join(doubts)}) THEN {whole} END"


def _members(kind: ArrayType | MapType, held: str) -> str:
    return held if isinstance(kind, ArrayType) else f"map_values({held})"


def _shape(kind: KsqlType, keys: Keys) -> Any:
    """The shape in which ``from_json`` returns a value that is still to be checked."""
    if isinstance(kind, StructType):
        return {keys[name]: _shape(inner, keys) for name, inner in kind.fields}
    return "VARCHAR" if kind == STRING else "JSON"


def _exact_shape(kind: KsqlType, keys: Keys) -> Any:
    """The shape in which ``from_json`` returns a value that ``sql.language.lowering.records.exact`` wrote."""
    match kind:
        case StructType():
            return {keys[name]: _exact_shape(inner, keys) for name, inner in kind.fields}
        case ArrayType():
            return [_exact_shape(kind.element, keys)]
    return _type(kind, keys, exact=True)


def _type(kind: KsqlType, keys: Keys, exact: bool = False) -> str:
    """The DuckDB type for values that are still to be checked, or that are ``exact``."""
    match kind:
        case StructType():
            fields = (f"{quoted(keys[name])} {_type(inner, keys, exact)}" for name, inner in kind.fields)
            return f"STRUCT({', '.join(fields)})"
        case ArrayType() if exact:
            return f"{_type(kind.element, keys, exact)}[]"
        case MapType() if exact:
            return f"MAP({duckdb_type(kind.key)}, {_type(kind.value, keys, exact)})"
    return duckdb_type(kind) if exact or kind == STRING else "JSON"
