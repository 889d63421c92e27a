"""JSON records → typed rows, as ksqlDB's deserializer gives them.

Observed (shared/ksqldb-facts.md, section 1): names match in any case; unknown fields are ignored and
missing ones NULL; a number is taken for a VARCHAR, an object or array for a VARCHAR as its text; a
value of the wrong type, text that is no JSON, or a record without its timestamp costs the whole record.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from sql.analysis import Column, Source
from sql.lowering.duckdb import quoted, text
from sql.types import (
    BIGINT,
    BOOLEAN,
    DOUBLE,
    INTEGER,
    STRING,
    KsqlType,
    StructType,
)
from sql.types import duckdb as duckdb_type

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
) -> str:
    """The rows of a relation of lines, as a relation.

    ``lines`` has ``line`` (the value), ``path`` and, for records with a key, ``key`` and ``ts``. The
    result has the source's columns and ROWTIME; for a record that cannot be read ``_failed`` says why
    and ``_line`` is its text; ``_path`` is where it stood. ``sample`` is a record from which the case
    of the fields' names is taken; with ``exact`` they are written as declared. ``carried`` are further
    columns of ``lines``, passed on.
    """
    names = _field_names(source.columns, sample, exact)
    keys = [column for column in source.columns if column.is_key]
    values = [column for column in source.columns if not column.is_key]
    columns = [
        f"{_read(column, record, names)} AS {quoted(column.name)}"
        for record, some in (("v", values), ("k", keys))
        for column in some
    ]
    time = quoted(source.timestamp) if source.timestamp else "_ts"
    passed = "".join(f", {name}" for name in carried)
    reason = f"CASE WHEN _reason IS NULL AND {time} IS NULL THEN 'no timestamp' ELSE _reason END"
    return (
        f"SELECT * EXCLUDE (_reason, _text, _ts), {time} AS ROWTIME, {reason} AS _failed,"
        "  CASE WHEN _failed IS NOT NULL THEN _text END AS _line "
        f"FROM (SELECT {', '.join(columns)}, {_reason(values, names)} AS _reason,"
        f"  line AS _text, path AS _path, ts AS _ts{passed} FROM ("
        f"    SELECT line, path, ts{passed}, {_parsed('line', values, names)} AS v, "
        f"      {_parsed('key', keys, names)} AS k FROM ({lines})))"
    )


def _field_names(
    columns: Sequence[Column], sample: str | None, exact: bool
) -> dict[tuple[str, ...], str]:
    """The JSON name of each declared field, by its path of ksqlDB names."""
    try:
        record = json.loads(sample) if sample else {}
    except ValueError:
        record = {}
    names: dict[tuple[str, ...], str] = {}

    def look(path: tuple[str, ...], kind: KsqlType, owner: Any) -> None:
        known = {str(key).upper(): str(key) for key in owner} if isinstance(owner, dict) else {}
        key = path[-1] if exact else known.get(path[-1].upper(), path[-1].lower())
        names[path] = key
        if isinstance(kind, StructType):
            inner = owner.get(key) if isinstance(owner, dict) else None
            for name, field in kind.fields:
                look((*path, name), field, inner)

    for column in columns:
        look((column.name,), column.type, record)
    return names


def _parsed(value: str, columns: Sequence[Column], names: dict[tuple[str, ...], str]) -> str:
    """``from_json`` of a text; NULL if it is no JSON. Scalars are read as text, to be checked."""
    if not columns:
        return "NULL"

    def structure(path: tuple[str, ...], kind: KsqlType) -> Any:
        if isinstance(kind, StructType):
            return {
                names[*path, name]: structure((*path, name), field) for name, field in kind.fields
            }
        return "VARCHAR" if len(path) == 1 and kind in _READERS else duckdb_type(kind)

    shape = {names[column.name,]: structure((column.name,), column.type) for column in columns}
    return f"TRY(from_json({value}, {text(json.dumps(shape))}))"


def _read(column: Column, record: str, names: dict[tuple[str, ...], str]) -> str:
    value = f"struct_extract({record}, {text(names[column.name,])})"
    return _READERS[column.type].format(value) if column.type in _READERS else value


def _reason(columns: Sequence[Column], names: dict[tuple[str, ...], str]) -> str:
    """NULL for a record that can be read, else why not."""
    odd = ["v IS NULL"]
    checks = ["WHEN v IS NULL THEN 'not JSON'"]
    nothing = " AND ".join(
        f"struct_extract(v, {text(names[column.name,])}) IS NULL" for column in columns
    )
    odd.append(f"({nothing})")
    checks.append(f"WHEN {nothing} AND json_type(line) <> 'OBJECT' THEN 'not a JSON object'")
    for column in columns:
        if column.type != STRING and column.type in _READERS:
            raw = f"struct_extract(v, {text(names[column.name,])})"
            wrong = f"{raw} IS NOT NULL AND {_read(column, 'v', names)} IS NULL"
            odd.append(f"({wrong})")
            checks.append(f"WHEN {wrong} THEN {text(f'{column.name} is no {column.type}')}")
    for path, kind in _structs(columns):
        # A value that is no object reads as a struct of NULLs; so does an object without any of the
        # fields, which is why the text is asked, for these few rows only.
        owner = "v"
        for depth in range(len(path)):
            owner = f"struct_extract({owner}, {text(names[path[: depth + 1]])})"
        empty = f"{owner} IS NOT NULL AND " + " AND ".join(
            f"struct_extract({owner}, {text(names[*path, name])}) IS NULL" for name, _ in kind.fields
        )
        odd.append(f"({empty})")
        where = "$." + ".".join(f'"{names[path[: depth + 1]]}"' for depth in range(len(path)))
        checks.append(
            f"WHEN {empty} AND json_type(line, {text(where)}) <> 'OBJECT'"
            f" THEN {text('->'.join(path) + ' is no STRUCT')}"
        )
    # DuckDB picks rows out of nested structs for each branch of a CASE, which is dear: so it is asked
    # first, of all rows at once (which the cast is for), whether there is anything to look at.
    return f"CASE WHEN CAST({' OR '.join(odd)} AS INTEGER) = 1 THEN CASE {' '.join(checks)} END END"


def _structs(columns: Sequence[Column]) -> Iterator[tuple[tuple[str, ...], StructType]]:
    def inside(path: tuple[str, ...], kind: KsqlType) -> Iterator[tuple[tuple[str, ...], StructType]]:
        if isinstance(kind, StructType):
            yield path, kind
            for name, field in kind.fields:
                yield from inside((*path, name), field)

    for column in columns:
        yield from inside((column.name,), column.type)


