"""Turns JSON records into typed rows, as ksqlDB's deserializer does.

DuckDB parses all records with the field names of a sample. If DuckDB may read a record differently from
ksqlDB, the record is in doubt. :mod:`.exact` rewrites such records, and DuckDB parses the rewritten text. The
sample only affects the speed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest

from opensea_metrics.core.quoting import column as column_of
from opensea_metrics.core.quoting import json_pointer, text
from opensea_metrics.core.types import (
    STRING,
    ArrayType,
    DecimalType,
    KsqlType,
    MapType,
    StructType,
    duckdb,
    struct,
)
from opensea_metrics.sql.language.catalog.sources import Column, Source
from opensea_metrics.sql.language.lowering.event_times import event_time
from opensea_metrics.sql.language.lowering.records import readings, spelling
from opensea_metrics.sql.language.lowering.records.exact import spec_of
from opensea_metrics.sql.language.lowering.records.readings import all_null, field, is_plain
from opensea_metrics.sql.language.lowering.records.spelling import Spelling

_LONG_NUMBER = r"[:,\[]\s*-?(?:[0-9]{9,}[.][0-9]|[0-9]*[.][0-9]{7,}|[0-9.]{16,}[eE])"
"""Numbers with a fraction that may have more digits than DuckDB's DOUBLE keeps."""

NO_VALUE = "no value"
"""The reason why no query reads a stream's record without a value. ksqlDB only passes such a record on."""

_Path = tuple[str, ...]


@dataclass(frozen=True)
class Default:
    """A value for a column in records that do not have it.

    ``sql`` computes the value from the record's text in ``line``, and from additional text fields of the record. For
    the name of each such field in ``sql``, ``texts`` has the path of a declared struct, and the field's name in JSON.
    """

    column: str
    texts: Mapping[str, tuple[_Path, str]]
    sql: str

    def suits(self, source: Source, names: Spelling) -> bool:
        """Whether DuckDB can read the additional text fields together with the records of a source."""
        places = dict(_places(_type_of(_read(source))))
        return all(_has_room(places.get(path), key, names) for path, key in self.texts.values())


def spelled(source: Source, sample: str | None) -> Spelling:
    """The spelling of a source's field names in the lines of a sample."""
    return spelling.sampled(_type_of(_read(source)), sample)


def as_declared(source: Source) -> Spelling:
    """The spelling of lines that have the declared names."""
    return spelling.declared(_type_of(_read(source)))


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
    value = _Side("_v", "line", [column for column in source.columns if column.role is None], names, beside)
    key = _Side("_k", "key", source.key_fields, names)
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


def _type_of(columns: Sequence[Column]) -> StructType:
    return struct(*((column.name, column.type) for column in columns))


@dataclass(frozen=True)
class _Side:
    """The value or the key of records: a JSON object in the column ``text``, with some of a source's columns.

    Columns whose names begin with ``name`` hold the object as DuckDB parses it, its structs, and the values that
    DuckDB's parser alone does not read. ``beside`` are further texts that DuckDB parses with the object: the paths of
    structs, and the names in them.
    """

    name: str
    text: str
    columns: Sequence[Column]
    names: Spelling
    beside: Sequence[tuple[_Path, str]] = ()

    @cached_property
    def kind(self) -> StructType:
        return _type_of(self.columns)

    @cached_property
    def widened(self) -> Mapping[_Path, Sequence[str]]:
        """The structs that have additional text fields, with the names of these fields."""
        lacking: dict[_Path, list[str]] = {}
        for path, key in self.beside:
            if key not in (self.names.keys[name] for name, _ in self.structs[path][0].fields):
                lacking.setdefault(path, []).append(key)
        return lacking

    @cached_property
    def structs(self) -> dict[_Path, tuple[StructType, str]]:
        """The object itself and the structs at fixed places in it, with their columns."""
        paths = (path for path, kind in _places(self.kind) if isinstance(kind, StructType))
        kinds = dict(_places(self.kind))
        return {
            path: (kind, f"{self.name}s{number}")
            for number, path in enumerate(paths)
            if isinstance(kind := kinds[path], StructType)
        }

    @cached_property
    def converted(self) -> dict[_Path, tuple[KsqlType, str]]:
        """The values that are neither structs nor text, with their columns."""
        return {
            path: (kind, f"{self.name}m{number}")
            for number, (path, kind) in enumerate(_places(self.kind))
            if kind != STRING and not isinstance(kind, StructType)
        }

    @property
    def exact_text(self) -> str:
        """The column with the result of ``exact`` for a text in doubt: an object, or the reason why there is none."""
        return f"{self.name}e"

    @property
    def is_exact(self) -> str:
        """A condition that is true if ``exact`` wrote an object."""
        return f"starts_with({self.exact_text}, '{{')"

    @property
    def reason(self) -> str:
        """The reason why ksqlDB cannot read a record, or NULL if it can."""
        return f"CASE WHEN starts_with({self.exact_text}, '!') THEN {self.exact_text}[2:] END"

    def parsed(self, all_json: bool) -> str:
        """The object. NULL for a text that is not JSON, unless ``all_json`` is true."""
        parsed = readings.parsed(self.text, self.kind, self.names.keys, self.widened)
        return f"{parsed if all_json else f'TRY({parsed})'} AS {self.structs[()][1]}"

    def layers(self) -> Iterator[list[str]]:
        """Columns in layers. Each layer is computed from the layers before it. Nested expressions instead of layers
        would compute some parts many times."""
        for depth in range(1, 1 + max(map(len, self.structs))):
            yield [
                f"{self._given(path)} AS {column}"
                for path, (_, column) in self.structs.items()
                if len(path) == depth
            ]
        held, converted, assembled = [], [], []
        for path, (kind, column) in self.converted.items():
            if isinstance(kind, ArrayType | MapType):
                held.append(f"{readings.elements(kind, self._given(path), self.names.keys)} AS {column}h")
                converted.append(f"{readings.converted(kind, f'{column}h', self.names.keys)} AS {column}c")
                whole = readings.assembled(kind, f"{column}h", f"{column}c", self.names.keys)
                assembled.append(f"{whole} AS {column}")
            else:
                held.append(f"{readings.value(kind, self._given(path), self.names.keys)} AS {column}")
        yield held
        yield converted
        yield assembled

    def doubts(self, odd: str | None) -> list[str]:
        """Columns of doubts: ``d`` for the record, and ``d1`` … for each struct that may not be an object in JSON.
        DuckDB reads such a value as a struct of NULLs."""
        doubts = [odd or f"regexp_matches({self.text}, {text(self.names.pattern)})"]
        if any(isinstance(kind, DecimalType) for kind in _parts(self.kind)):
            doubts.append(f"regexp_matches({self.text}, {text(_LONG_NUMBER)})")
        doubts.append(f"({self.text} IS NOT NULL AND {self.structs[()][1]} IS NULL)")
        for path, (_, column) in self.converted.items():
            doubts.append(f"({self._given(path)} IS NOT NULL AND {column} IS NULL)")
        columns = [f"{' OR '.join(doubts)} AS {self.name}d"]
        for number, (kind, column) in enumerate(self.structs.values()):
            fields = [field(column, self.names.keys[name]) for name, _ in kind.fields]
            columns.append(f"{column} IS NOT NULL AND {all_null(fields)} AS {self.name}d{number}")
        return columns

    def exact(self) -> str:
        """The column :attr:`exact_text`. It is NULL if nothing is in doubt."""
        flags = [f"{self.name}d"]
        checks = [f"{self.name}d"]
        for number, path in enumerate(self.structs):
            flags.append(flag := f"{self.name}d{number}")
            place = json_pointer([self.names.keys[name] for name in path])
            kinds = "'OBJECT', 'NULL'" if path else "'OBJECT'"
            checks.append(f"CASE WHEN {flag} THEN json_type({self.text}, {text(place)}) NOT IN ({kinds}) END")
        exact = f"exact_record({self.text}, {text(spec_of(self.kind, self.names.keys))})"
        return (
            f"CASE WHEN {' OR '.join(flags)} THEN CASE WHEN {' OR '.join(checks)} THEN {exact} END END"
            f" AS {self.exact_text}"
        )

    def exact_record(self) -> str:
        """The column :attr:`name`: the values of the object that ``exact`` wrote."""
        record = readings.exact(self.exact_text, self.kind, self.names.keys)
        return f"CASE WHEN {self.is_exact} THEN {record} END AS {self.name}"

    def values(self) -> Iterator[tuple[str, str]]:
        """The columns' values, by name."""
        for name, kind in self.kind.fields:
            exact = field(self.name, self.names.keys[name])
            yield name, f"CASE WHEN {self.is_exact} THEN {exact} ELSE {self._value((name,), kind)} END"

    def _value(self, path: _Path, kind: KsqlType) -> str:
        """A value that is not in doubt."""
        is_widened = any(other[: len(path)] == path for other in self.widened)
        if is_plain(kind) and not is_widened:
            return self._given(path)
        if isinstance(kind, StructType):
            fields = [self._value((*path, name), inner) for name, inner in kind.fields]
            return readings.packed(kind, self.structs[path][1], fields, self.names.keys)
        return self.converted[path][1]

    def _given(self, path: _Path) -> str:
        """A field as DuckDB parses it."""
        return field(self.structs[path[:-1]][1], self.names.keys[path[-1]])


def _has_room(kind: KsqlType | None, key: str, names: Spelling) -> bool:
    """Whether DuckDB can read a text in a struct: it is a declared STRING, or differs from all fields."""
    if not isinstance(kind, StructType):
        return False
    fields = {names.keys[name].lower(): (names.keys[name], inner) for name, inner in kind.fields}
    return fields.get(key.lower(), (key, STRING)) == (key, STRING)


def _places(kind: KsqlType, path: _Path = ()) -> Iterator[tuple[_Path, KsqlType]]:
    """A type and the fields in it that have a fixed place in a record, by their paths."""
    yield path, kind
    if isinstance(kind, StructType):
        for name, inner in kind.fields:
            yield from _places(inner, (*path, name))


def _parts(kind: KsqlType) -> Iterator[KsqlType]:
    """A type and all types in it."""
    yield kind
    match kind:
        case StructType():
            for _, inner in kind.fields:
                yield from _parts(inner)
        case ArrayType():
            yield from _parts(kind.element)
        case MapType():
            yield from _parts(kind.value)

