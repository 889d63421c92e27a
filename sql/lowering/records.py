"""JSON records → typed rows, as ksqlDB's deserializer gives them.

Observed (shared/ksqldb-facts.md, section 1): names match in any case; unknown fields are ignored and
missing ones NULL; a number is taken for a VARCHAR, an object or array for a VARCHAR as its text; a
value of the wrong type, text that is no JSON, or a record without its timestamp costs the whole record.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sql.lowering.duckdb import quoted, text
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
)
from sql.types import duckdb as duckdb_type

_Path = tuple[str, ...]
_ROOT = "$"
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
    names, types = _as_written(source.columns, sample, exact)
    keys = [column for column in source.columns if column.is_key]
    values = [column for column in source.columns if not column.is_key]
    columns = [
        f"{_read(column, record, names)} AS {quoted(column.name)}"
        for record, some in (("v", values), ("k", keys))
        for column in some
    ]
    passed = "".join(f", {name}" for name in carried)
    parsed = (
        f"SELECT line, path, ts{passed}, {_parsed('line', values, names, types, all_json)} AS v,"
        f" {_parsed('key', keys, names, types, all_json)} AS k FROM ({lines})"
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
    time = quoted(source.timestamp) if source.timestamp else "_ts"
    doubts, reasons = [], []
    for number, (doubt, place, reason) in enumerate(_doubts(values, names, checked, structs)):
        doubts.append(f"{doubt} AS _d{number}")
        wrong = f"_d{number}"
        if place is not None:
            kinds = "('OBJECT')" if place == _ROOT else "('OBJECT', 'NULL')"
            wrong = f"CASE WHEN {wrong} THEN json_type(_text, {text(place)}) END NOT IN {kinds}"
        reasons.append(f"WHEN {wrong} THEN {text(reason)}")
    any_doubt = " OR ".join(f"_d{number}" for number in range(len(doubts)))
    return (
        f"SELECT * EXCLUDE (_text, _ts, {any_doubt.replace(' OR ', ', ')}), {time} AS ROWTIME,"
        f" CASE WHEN NOT ({any_doubt}) AND {time} IS NOT NULL THEN NULL {' '.join(reasons)}"
        f" WHEN {time} IS NULL THEN 'no timestamp' END AS _failed,"
        "  CASE WHEN _failed IS NOT NULL THEN _text END AS _line "
        f"FROM (SELECT {', '.join([*columns, *doubts])}, line AS _text, path AS _path, ts AS _ts{passed}"
        f" FROM ({parsed}))"
    )


def _as_written(
    columns: Sequence[Column], sample: str | None, exact: bool
) -> tuple[dict[_Path, str], dict[_Path, KsqlType]]:
    """The JSON name of each declared field, by its path of ksqlDB names, and its type, in which structs
    have the names of the JSON too."""
    try:
        record = json.loads(sample) if sample else {}
    except ValueError:
        record = {}
    names: dict[_Path, str] = {}
    kinds: dict[_Path, KsqlType] = {}

    def look(path: _Path, kind: KsqlType, owner: Any) -> None:
        names[path] = key = path[-1] if exact else _name_in(owner, path[-1])
        inner = owner.get(key) if isinstance(owner, dict) else None
        kinds[path] = kind if exact else _type_in(inner, kind)
        if isinstance(kind, StructType):
            for name, field in kind.fields:
                look((*path, name), field, inner)

    for column in columns:
        look((column.name,), column.type, record)
    return names, kinds


def _name_in(owner: Any, name: str) -> str:
    """A field's name in a JSON object, in whatever case; in lower case if it is not there."""
    known = {str(key).upper(): str(key) for key in owner} if isinstance(owner, dict) else {}
    return known.get(name.upper(), name.lower())


def _type_in(value: Any, kind: KsqlType) -> KsqlType:
    """A type whose structs have their fields under the names of a JSON value."""
    match kind:
        case StructType():
            fields = value if isinstance(value, dict) else {}
            written = ((_name_in(fields, name), inner) for name, inner in kind.fields)
            return replace(
                kind, fields=tuple((key, _type_in(fields.get(key), inner)) for key, inner in written)
            )
        case ArrayType():
            elements = value if isinstance(value, list) else []
            return replace(kind, element=_type_in(_first(elements), kind.element))
        case MapType():
            values = value.values() if isinstance(value, dict) else []
            return replace(kind, value=_type_in(_first(values), kind.value))
    return kind


def _first(values: Iterable[Any]) -> Any:
    return next((value for value in values if value is not None), None)


def _parsed(
    value: str,
    columns: Sequence[Column],
    names: Mapping[_Path, str],
    kinds: Mapping[_Path, KsqlType],
    all_json: bool,
) -> str:
    """``from_json`` of a text; NULL if it is no JSON, unless all are. Scalars are read as text, to be
    checked."""
    if not columns:
        return "NULL"

    def structure(path: _Path, kind: KsqlType) -> Any:
        if isinstance(kind, StructType):
            return {
                names[*path, name]: structure((*path, name), field) for name, field in kind.fields
            }
        return "VARCHAR" if len(path) == 1 and kind in _READERS else duckdb_type(kinds[path])

    shape = {names[column.name,]: structure((column.name,), column.type) for column in columns}
    read = f"from_json({value}, {text(json.dumps(shape))})"
    return read if all_json else f"TRY({read})"


def _read(column: Column, record: str, names: Mapping[_Path, str]) -> str:
    value = _field(record, names[column.name,])
    return _READERS[column.type].format(value) if column.type in _READERS else value


def _field(struct: str, name: str) -> str:
    return f"struct_extract({struct}, {text(name)})"


def _place(path: _Path, names: Mapping[_Path, str]) -> str:
    """Where a field is, for DuckDB's functions of JSON."""
    return f"{_ROOT}." + ".".join(f'"{names[path[: depth + 1]]}"' for depth in range(len(path)))


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
