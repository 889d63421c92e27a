"""Turns JSON records into typed rows, as ksqlDB's deserializer does.

DuckDB parses all records with the field names of a sample. If DuckDB may read a record differently from
ksqlDB, the record is in doubt. :mod:`.exact` rewrites such records, and DuckDB parses the rewritten text. The
sample only affects the speed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from opensea_metrics.core.quoting import column as column_of
from opensea_metrics.core.quoting import text
from opensea_metrics.core.types import STRING, KsqlType, StructType, duckdb
from opensea_metrics.sql.language.catalog.sources import Column, Source
from opensea_metrics.sql.language.lowering.event_times import event_time
from opensea_metrics.sql.language.lowering.records import spelling
from opensea_metrics.sql.language.lowering.records.readings import field
from opensea_metrics.sql.language.lowering.records.record_side import (
    Path,
    RecordSide,
    places,
    type_of,
)
from opensea_metrics.sql.language.lowering.records.spelling import Spelling

NO_VALUE = "no value"
"""The reason why no query reads a stream's record without a value. ksqlDB only passes such a record on."""


@dataclass(frozen=True)
class Default:
    """A value for a column in records that do not have it.

    ``sql`` computes the value from the record's text in ``line``, and from additional text fields of the record. For
    the name of each such field in ``sql``, ``texts`` has the path of a declared struct, and the field's name in JSON.
    """

    column: str
    texts: Mapping[str, tuple[Path, str]]
    sql: str

    def suits(self, source: Source, names: Spelling) -> bool:
        """Whether DuckDB can read the additional text fields together with the records of a source."""
        known = dict(places(type_of(_read(source))))
        return all(_has_room(known.get(path), key, names) for path, key in self.texts.values())


def spelled(source: Source, sample: str | None) -> Spelling:
    """The spelling of a source's field names in the lines of a sample."""
    return spelling.sampled(type_of(_read(source)), sample)


def as_declared(source: Source) -> Spelling:
    """The spelling of lines that have the declared names."""
    return spelling.declared(type_of(_read(source)))


def decoded(
    lines: str,
    source: Source,
    names: Spelling,
    odd: str | None = None,
    carried: Sequence[str] = (),
    all_json: bool = False,
    default: Default | None = None,
) -> str:
    """The rows of a relation of lines, as a relation.

    ``lines`` has the columns ``line`` (the value), ``path`` and ``ts`` (the record's timestamp, epoch ms). For a
    source with keys it has ``key``, for one with a column of headers ``headers``. The result has the source's
    columns, WINDOWSTART and WINDOWEND if keys have windows, and ROWTIME. For a record that cannot be read,
    ``_failed`` has the reason, ``_line`` the text and ``_path`` the file. For a stream's record without a value, the
    reason is :data:`NO_VALUE`. ``carried`` are further columns of ``lines`` that the result keeps.

    ``names`` is the spelling of field names in most lines. ``odd`` is a condition for the lines that may have another
    spelling. Without it, the SQL searches the lines for other spellings, which takes longer. With ``all_json``, a line
    that is not JSON fails the query (duckdb.InvalidInputException). That is faster than a search for such lines. A
    ``default`` must suit the source.
    """
    beside = tuple(default.texts.values()) if default else ()
    value = RecordSide("_v", "line", [column for column in source.columns if column.role is None], names, beside)
    key = RecordSide("_k", "key", source.key_fields, names)
    sides = [side for side in (value, key) if side.columns]
    rows = f"SELECT *, {', '.join(side.parsed(all_json) for side in sides)} FROM ({lines})"
    for layer in zip_longest(*(side.layers() for side in sides), fillvalue=()):
        if added := [column for columns in layer for column in columns]:
            rows = f"SELECT *, {', '.join(added)} FROM ({rows})"
    for added in (
        [doubt for side in sides for doubt in side.doubts(odd if side is value else None)],
        [side.exact() for side in sides],
        [side.exact_record() for side in sides],
    ):
        rows = f"SELECT *, {', '.join(added)} FROM ({rows})"
    columns = {name: sql for side in sides for name, sql in side.values()}
    if default:
        texts = [f"{field(value.structs[path][1], key)} AS {name}" for name, (path, key) in default.texts.items()]
        rows = f"SELECT *, {', '.join(texts)}, {columns[default.column]} AS _given FROM ({rows})"
        rows = f"SELECT *, CASE WHEN _given IS NULL THEN {default.sql} ELSE _given END AS _whole FROM ({rows})"
        columns[default.column] = "_whole"
    time = event_time(source, columns[source.timestamp]) if source.timestamp else "ts"
    rows = f"SELECT *, {time} AS _time FROM ({rows})"
    reasons = [*(side.reason for side in sides), *_no_window(source, columns)]
    no_time = "no timestamp"
    if source.timestamp_format:
        no_time += f" of the form {source.timestamp_format}"
    reasons.append(f"CASE WHEN _time IS NULL THEN {text(no_time)} WHEN _time < 0 THEN 'a timestamp before 1970' END")
    if not source.is_table:
        reasons.append(f"CASE WHEN line IS NULL THEN {text(NO_VALUE)} END")
    rows = f"SELECT *, coalesce({', '.join(reasons)}) AS _why FROM ({rows})"
    if headers := source.headers:
        columns[headers.name] = f"coalesce(headers, []::{duckdb(headers.type)})"
    selected = [f"{columns[column.name]} AS {column_of(column.name)}" for column in source.columns]
    if source.window:
        end = "WINDOWEND" if source.window.is_session else "WINDOWSTART"
        size = 0 if source.window.is_session else source.window.size
        selected += [f"{columns['WINDOWSTART']} AS WINDOWSTART", f"{columns[end]} + {size} AS WINDOWEND"]
    selected += [*carried, "_time AS ROWTIME", "_why AS _failed"]
    selected += [f"CASE WHEN _why IS NOT NULL THEN {name} END AS _{name}" for name in ("line", "path")]
    return f"SELECT {', '.join(selected)} FROM ({rows})"


def _read(source: Source) -> list[Column]:
    """The columns that are read from a record's key and value."""
    values = [column for column in source.columns if not column.is_key and column.role != "HEADERS"]
    return [*source.key_fields, *values]


def _no_window(source: Source, columns: Mapping[str, str]) -> list[str]:
    """SQL for the reason why a key cannot be read: it should have a window, but has none."""
    missing = " OR ".join(f"({columns[c.name]}) IS NULL" for c in source.key_fields if c.name.startswith("WINDOW"))
    return [f"CASE WHEN key IS NOT NULL AND ({missing}) THEN 'the key has no window' END"] if source.window else []


def _has_room(kind: KsqlType | None, key: str, names: Spelling) -> bool:
    """Whether DuckDB can read a text in a struct: it is a declared STRING, or differs from all fields."""
    if not isinstance(kind, StructType):
        return False
    fields = {names.keys[name].lower(): (names.keys[name], inner) for name, inner in kind.fields}
    return fields.get(key.lower(), (key, STRING)) == (key, STRING)
