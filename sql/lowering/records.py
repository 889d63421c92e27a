"""JSON records → typed rows, as ksqlDB's deserializer gives them.

Observed (shared/ksqldb-facts.md, section 1): names match in any case; unknown fields are ignored and
missing ones NULL; a number is taken for a VARCHAR, an object or array for a VARCHAR as its text; a
value of the wrong type, text that is no JSON, or a record without its timestamp costs the whole record.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from sql.quoting import column as column_of
from sql.quoting import json_pointer, text
from sql.sources import Column, Source
from sql.types import (
    BIGINT,
    BOOLEAN,
    DOUBLE,
    INTEGER,
    STRING,
    ArrayType,
    KsqlType,
    MapType,
    StructType,
    struct,
)
from sql.types import duckdb as duckdb_type

_Path = tuple[str, ...]
_ROOT = ""
Kind = TypeVar("Kind", bound=KsqlType)
_READERS = {
    # 1.7 is 1 for an INTEGER or BIGINT; an INTEGER wraps around (observed).
    BIGINT: "coalesce(parse_bigint({0}), TRY_CAST(trunc(parse_double({0})) AS BIGINT))",
    INTEGER: "wrap32(coalesce(parse_bigint({0}), TRY_CAST(trunc(parse_double({0})) AS BIGINT)))",
    DOUBLE: "parse_double({0})",
    BOOLEAN: "CASE {0} WHEN 'true' THEN true WHEN 'false' THEN false END",
    STRING: "{0}",
}


def decoded(
    lines: str,
    source: Source,
    sample: str | None,
    exact: bool = False,
    carried: Sequence[str] = (),
    all_json: bool = False,
) -> str:
    """The rows of a relation of lines, as a relation.

    ``lines`` has ``line`` (the value), ``path`` and, for records with a key, ``key`` and ``ts``. The
    result has the source's columns and ROWTIME; for a record that cannot be read ``_failed`` says why
    and ``_line`` is its text; ``_path`` is where it stood. ``sample`` is a record from which the case
    of the fields' names is taken; with ``exact`` they are written as declared. ``carried`` are further
    columns of ``lines``, passed on. With ``all_json`` a line that is no JSON fails the query
    (duckdb.InvalidInputException), which is faster than to look for such lines.
    """
    declared = struct(*((column.name, column.type) for column in source.columns))
    written = declared if exact else _type_in(_parse(sample), declared)
    names = dict(_names(declared, written))
    fields = {column.name: field for column, field in zip(source.columns, written.fields, strict=True)}
    keys = [column for column in source.columns if column.is_key]
    values = [column for column in source.columns if not column.is_key]
    columns = [
        f"{_read(column, record, names)} AS {column_of(column.name)}"
        for record, some in (("v", values), ("k", keys))
        for column in some
    ]
    passed = "".join(f", {name}" for name in carried)
    parsed = (
        f"SELECT line, path, ts{passed},"
        f" {_parsed('line', [fields[column.name] for column in values], all_json)} AS v,"
        f" {_parsed('key', [fields[column.name] for column in keys], all_json)} AS k FROM ({lines})"
    )
    checked = _checked(values)
    structs = {path: f"_s{n}" for n, path in enumerate(checked) if isinstance(checked[path], StructType)}
    for depth in range(1, 1 + max(map(len, structs), default=0)):
        # Each struct as a column: expressions over them stay short, however deep they are.
        taken = (
            f"{_field(structs.get(path[:-1], 'v'), names[path])} AS {structs[path]}"
            for path in structs
            if len(path) == depth
        )
        parsed = f"SELECT *, {', '.join(taken)} FROM ({parsed})"
    time = column_of(source.timestamp) if source.timestamp else "_ts"
    doubts, reasons = [], []
    for number, (doubt, place, reason) in enumerate(_doubts(values, names, checked, structs)):
        doubts.append(f"{doubt} AS _d{number}")
        wrong = f"_d{number}"
        if place is not None:
            kinds = "('OBJECT')" if place == _ROOT else "('OBJECT', 'NULL')"
            wrong = f"CASE WHEN {wrong} THEN json_type(_text, {text(place)}) END NOT IN {kinds}"
        reasons.append(f"WHEN {wrong} THEN {text(reason)}")
    flags = [f"_d{number}" for number in range(len(doubts))]
    return (
        f"SELECT * EXCLUDE (_text, _ts, {', '.join(flags)}), {time} AS ROWTIME,"
        f" CASE WHEN NOT ({' OR '.join(flags)}) AND {time} IS NOT NULL THEN NULL {' '.join(reasons)}"
        f" WHEN {time} IS NULL THEN 'no timestamp' END AS _failed,"
        "  CASE WHEN _failed IS NOT NULL THEN _text END AS _line "
        f"FROM (SELECT {', '.join([*columns, *doubts])}, line AS _text, path AS _path, ts AS _ts{passed}"
        f" FROM ({parsed}))"
    )


def _parse(sample: str | None) -> Any:
    try:
        return json.loads(sample) if sample else None
    except ValueError:
        return None


def _names(kind: StructType, written: StructType, path: _Path = ()) -> Iterator[tuple[_Path, str]]:
    """The JSON name of each field of a struct and of those in it, by its path of ksqlDB names."""
    for (name, inner), (key, inner_written) in zip(kind.fields, written.fields, strict=True):
        yield (*path, name), key
        if isinstance(inner, StructType) and isinstance(inner_written, StructType):
            yield from _names(inner, inner_written, (*path, name))


def _name_in(owner: Any, name: str) -> str:
    """A field's name in a JSON object, in whatever case; in lower case if it is not there."""
    known = {str(key).upper(): str(key) for key in owner} if isinstance(owner, dict) else {}
    return known.get(name.upper(), name.lower())


def _type_in(value: Any, kind: Kind) -> Kind:
    """A type whose structs have their fields under the names of a JSON value."""
    match kind:
        case StructType():
            owner = value if isinstance(value, dict) else {}
            fields = ((_name_in(owner, name), inner) for name, inner in kind.fields)
            return replace(kind, fields=tuple((key, _type_in(owner.get(key), inner)) for key, inner in fields))
        case ArrayType():
            elements = value if isinstance(value, list) else []
            return replace(kind, element=_type_in(_first(elements), kind.element))
        case MapType():
            values = value.values() if isinstance(value, dict) else []
            return replace(kind, value=_type_in(_first(values), kind.value))
    return kind


def _first(values: Iterable[Any]) -> Any:
    return next((value for value in values if value is not None), None)


def _parsed(value: str, fields: Sequence[tuple[str, KsqlType]], all_json: bool) -> str:
    """``from_json`` of a text; NULL if it is no JSON, unless all are. Scalars are read as text, to be
    checked."""
    if not fields:
        return "NULL"

    def structure(kind: KsqlType) -> Any:
        if isinstance(kind, StructType):
            return {name: structure(inner) for name, inner in kind.fields}
        return duckdb_type(kind)

    shape = {name: "VARCHAR" if kind in _READERS else structure(kind) for name, kind in fields}
    read = f"from_json({value}, {text(json.dumps(shape))})"
    return read if all_json else f"TRY({read})"


def _read(column: Column, record: str, names: Mapping[_Path, str]) -> str:
    value = _field(record, names[column.name,])
    return _READERS[column.type].format(value) if column.type in _READERS else value


def _field(struct: str, name: str) -> str:
    return f"struct_extract({struct}, {text(name)})"


def _place(path: _Path, names: Mapping[_Path, str]) -> str:
    """Where a field is, for DuckDB's functions of JSON."""
    return _ROOT + json_pointer([names[path[: depth + 1]] for depth in range(len(path))])


def _doubts(
    columns: Sequence[Column],
    names: Mapping[_Path, str],
    checked: Mapping[_Path, KsqlType],
    structs: Mapping[_Path, str],
) -> Iterator[tuple[str, str | None, str]]:
    """What may be wrong with a record, in the order in which it is told: a condition of what was read of
    it, where in the text there has to be an object (None: the condition says enough), and the reason.

    A value that is no object reads as a struct of NULLs, and so does an object without any of the
    fields: the text has to be asked which it is. That is dear, so only of what is in doubt.
    """
    yield "v IS NULL", None, "not JSON"
    top = (_field("v", names[column.name,]) for column in columns)
    yield f"v IS NOT NULL AND {_all_null(top)}", _ROOT, "not a JSON object"
    for path, kind in checked.items():
        if isinstance(kind, StructType):
            fields = (_field(structs[path], names[*path, name]) for name, _ in kind.fields)
            empty = f"{structs[path]} IS NOT NULL AND {_all_null(fields)}"
            yield empty, _place(path, names), f"{'->'.join(path)} is no STRUCT"
        else:
            value = _field("v", names[path])
            wrong = f"{value} IS NOT NULL AND {_READERS[kind].format(value)} IS NULL"
            yield wrong, None, f"{path[0]} is no {kind}"


def _all_null(values: Iterable[str]) -> str:
    return " AND ".join(f"{value} IS NULL" for value in values)


def _checked(columns: Sequence[Column]) -> dict[_Path, KsqlType]:
    """The fields in which a wrong value costs the whole record, by their paths: scalars of a record that
    are no text, and structs however deep."""
    found: dict[_Path, KsqlType] = {}

    def look(path: _Path, kind: KsqlType) -> None:
        if isinstance(kind, StructType):
            found[path] = kind
            for name, field in kind.fields:
                look((*path, name), field)
        elif len(path) == 1 and kind != STRING and kind in _READERS:
            found[path] = kind

    for column in columns:
        look((column.name,), column.type)
    scalars = {path: kind for path, kind in found.items() if not isinstance(kind, StructType)}
    return scalars | found
