"""TO_JSON_STRING in DuckDB: writes values as JSON text, as ksqlDB's function does.

Times are text and BYTES are base64. Fields and keys are in alphabetical order (observed on 7.9.1).
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from opensea_metrics.core.quoting import quoted, text
from opensea_metrics.core.types import ArrayType, DecimalType, KsqlType, MapType, StructType
from opensea_metrics.sql.language.lowering.records.readings import field

_READY = ("BOOLEAN", "INTEGER", "BIGINT", "STRING")
_SCALARS = {
    # JSON has no such numbers, so Jackson writes them as text.
    "DOUBLE": "CASE WHEN isfinite({0}) THEN double_text({0}) WHEN isnan({0}) THEN '\"NaN\"'"
    " WHEN {0} > 0 THEN '\"Infinity\"' WHEN {0} < 0 THEN '\"-Infinity\"' END",
    "BYTES": "'\"' || to_base64({0}) || '\"'",
    "DATE": "'\"' || date_text({0}) || '\"'",
    "TIME": "'\"' || time_text({0}) || '\"'",
    "TIMESTAMP": "'\"' || timestamp_text({0}) || '\"'",
}


def is_ready(kind: KsqlType) -> bool:
    """True if DuckDB's ``to_json`` writes values of a type as ksqlDB does."""
    match kind:
        case ArrayType():
            return is_ready(kind.element)
        case StructType():
            names = [name for name, _ in kind.fields]
            return names == sorted(names) and all(is_ready(inner) for _, inner in kind.fields)
    return kind.name in _READY


def json_text(kind: KsqlType, value: str, depth: int = 0) -> str:
    """A value as JSON text. NULL becomes ``null``."""
    if is_ready(kind):
        return f"coalesce(to_json({value})::VARCHAR, 'null')"
    element = f"_j{depth}"
    match kind:
        case StructType():
            written = json_object(kind, {name: field(value, name) for name, _ in kind.fields}, depth)
            return f"CASE WHEN {value} IS NULL THEN 'null' ELSE {written} END"
        case ArrayType():
            inner = json_text(kind.element, element, depth + 1)
            written = f"'[' || array_to_string(list_transform({value}, lambda {element}: {inner}), ',') || ']'"
        case MapType():
            inner = json_text(kind.value, f"{element}.value", depth + 1)
            pairs = (
                f"list_transform(list_sort(map_entries({value})),"
                f" lambda {element}: to_json({element}.key)::VARCHAR || ':' || {inner})"
            )
            written = f"'{{' || array_to_string({pairs}, ',') || '}}'"
        case DecimalType():
            written = f"{value}::VARCHAR"
        case _:
            written = f"({_SCALARS[kind.name].format(value)})"
    return f"coalesce({written}, 'null')"


def json_object(kind: StructType, fields: Mapping[str, str], depth: int = 0) -> str:
    """A struct as JSON text. ``fields`` are the values of its fields."""
    ordered = sorted(kind.fields)
    if all(is_ready(inner) for _, inner in ordered):
        packed = ", ".join(f"{quoted(name)} := {fields[name]}" for name, _ in ordered)
        return f"to_json(struct_pack({packed}))::VARCHAR"
    pairs = [
        f"{text(json.dumps(name, ensure_ascii=False) + ':')} || {json_text(inner, fields[name], depth)}"
        for name, inner in ordered
    ]
    return "'{' || " + " || ',' || ".join(pairs) + " || '}'"
