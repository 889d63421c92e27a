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

_BITS = 60
"""Of a BIGINT that hold something."""
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
    checks = _checks(values, names)
    # Which checks a record does not pass are numbers, of a bit for each. To ask for the checks in a CASE
    # is dear: DuckDB then picks rows out of the nested structs for every branch.
    words: list[list[str]] = [[] for _ in range(0, len(checks), _BITS)]
    branches = ""
    for number, (doubt, proof, reason) in enumerate(checks):
        word, bit = divmod(number, _BITS)
        words[word].append(f"({doubt})::BIGINT * {1 << bit}")
        branches += f" WHEN _odd{word} & {1 << bit} <> 0 AND {proof} THEN {text(reason)}"
    odd = ", ".join(f"{' + '.join(bits)} AS _odd{word}" for word, bits in enumerate(words))
    fine = " AND ".join(f"_odd{word} = 0" for word in range(len(words)))
    hidden = ", ".join([*(f"_odd{word}" for word in range(len(words))), "_text", "_ts"])
    return (
        f"SELECT * EXCLUDE ({hidden}), {time} AS ROWTIME,"
        f" CASE WHEN {fine} AND {time} IS NOT NULL THEN NULL{branches}"
        f"   WHEN {time} IS NULL THEN 'no timestamp' END AS _failed,"
        "  CASE WHEN _failed IS NOT NULL THEN _text END AS _line "
        f"FROM (SELECT {', '.join(columns)}, {odd},"
        f"  line AS _text, path AS _path, ts AS _ts{passed} FROM ("
        f"    SELECT line, path, ts{passed}, {_parsed('line', values, names, all_json)} AS v, "
        f"      {_parsed('key', keys, names, all_json)} AS k FROM ({lines})))"
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


def _parsed(
    value: str, columns: Sequence[Column], names: dict[tuple[str, ...], str], all_json: bool
) -> str:
    """``from_json`` of a text; NULL if it is no JSON, unless all are. Scalars are read as text, to be
    checked."""
    if not columns:
        return "NULL"

    def structure(path: tuple[str, ...], kind: KsqlType) -> Any:
        if isinstance(kind, StructType):
            return {
                names[*path, name]: structure((*path, name), field) for name, field in kind.fields
            }
        return "VARCHAR" if len(path) == 1 and kind in _READERS else duckdb_type(kind)

    shape = {names[column.name,]: structure((column.name,), column.type) for column in columns}
    read = f"from_json({value}, {text(json.dumps(shape))})"
    return read if all_json else f"TRY({read})"


def _read(column: Column, record: str, names: dict[tuple[str, ...], str]) -> str:
    value = f"struct_extract({record}, {text(names[column.name,])})"
    return _READERS[column.type].format(value) if column.type in _READERS else value


def _checks(
    columns: Sequence[Column], names: dict[tuple[str, ...], str]
) -> list[tuple[str, str, str]]:
    """What can be wrong with a record: a doubt, of what was read (``v``), the proof, of the record's text
    (``_text``) where there is a doubt, and the reason to give. Most serious first."""
    nothing = " AND ".join(
        f"struct_extract(v, {text(names[column.name,])}) IS NULL" for column in columns
    )
    checks = [
        ("v IS NULL", "true", "not JSON"),
        (nothing, "json_type(_text) <> 'OBJECT'", "not a JSON object"),
    ]
    for column in columns:
        if column.type != STRING and column.type in _READERS:
            raw = f"struct_extract(v, {text(names[column.name,])})"
            wrong = f"{raw} IS NOT NULL AND {_read(column, 'v', names)} IS NULL"
            checks.append((wrong, "true", f"{column.name} is no {column.type}"))
    for path, kind in _structs(columns):
        # A value that is no object reads as a struct of NULLs; so does an object without any of the
        # fields, which is why the text is asked.
        owner = "v"
        for depth in range(len(path)):
            owner = f"struct_extract({owner}, {text(names[path[: depth + 1]])})"
        empty = f"{owner} IS NOT NULL AND " + " AND ".join(
            f"struct_extract({owner}, {text(names[*path, name])}) IS NULL" for name, _ in kind.fields
        )
        where = "$." + ".".join(f'"{names[path[: depth + 1]]}"' for depth in range(len(path)))
        proof = f"json_type(_text, {text(where)}) <> 'OBJECT'"
        checks.append((empty, proof, f"{'->'.join(path)} is no STRUCT"))
    return checks


def _structs(columns: Sequence[Column]) -> Iterator[tuple[tuple[str, ...], StructType]]:
    def inside(path: tuple[str, ...], kind: KsqlType) -> Iterator[tuple[tuple[str, ...], StructType]]:
        if isinstance(kind, StructType):
            yield path, kind
            for name, field in kind.fields:
                yield from inside((*path, name), field)

    for column in columns:
        yield from inside((column.name,), column.type)


