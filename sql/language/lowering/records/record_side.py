"""One side of records, the value or the key: the SQL that reads its columns, in layers.

DuckDB parses the text with the usual names. If DuckDB may read a text differently from ksqlDB, the text is in doubt,
and :mod:`.exact` rewrites it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from opensea_metrics.core.quoting import json_pointer, text
from opensea_metrics.core.types import (
    STRING,
    ArrayType,
    DecimalType,
    KsqlType,
    MapType,
    StructType,
    struct,
)
from opensea_metrics.sql.language.catalog.sources import Column
from opensea_metrics.sql.language.lowering.records import readings
from opensea_metrics.sql.language.lowering.records.exact import spec_of
from opensea_metrics.sql.language.lowering.records.readings import all_null, field, is_plain
from opensea_metrics.sql.language.lowering.records.spelling import Spelling

Path = tuple[str, ...]
"""The names of the structs around a value, and its own name."""

_LONG_NUMBER = r"[:,\[]\s*-?(?:[0-9]{9,}[.][0-9]|[0-9]*[.][0-9]{7,}|[0-9.]{16,}[eE])"
"""Numbers with a fraction that may have more digits than DuckDB's DOUBLE keeps."""


def type_of(columns: Sequence[Column]) -> StructType:
    return struct(*((column.name, column.type) for column in columns))


@dataclass(frozen=True)
class RecordSide:
    """The value or the key of records: a JSON object in the column ``text``, with some of a source's columns.

    Columns whose names begin with ``name`` hold the object as DuckDB parses it, its structs, and the values that
    DuckDB's parser alone does not read. ``beside`` are further texts that DuckDB parses with the object: the paths of
    structs, and the names in them.
    """

    name: str
    text: str
    columns: Sequence[Column]
    names: Spelling
    beside: Sequence[tuple[Path, str]] = ()

    @cached_property
    def kind(self) -> StructType:
        return type_of(self.columns)

    @cached_property
    def widened(self) -> Mapping[Path, Sequence[str]]:
        """The structs that have additional text fields, with the names of these fields."""
        lacking: dict[Path, list[str]] = {}
        for path, key in self.beside:
            if key not in (self.names.keys[name] for name, _ in self.structs[path][0].fields):
                lacking.setdefault(path, []).append(key)
        return lacking

    @cached_property
    def structs(self) -> dict[Path, tuple[StructType, str]]:
        """The object itself and the structs at fixed places in it, with their columns."""
        paths = (path for path, kind in places(self.kind) if isinstance(kind, StructType))
        kinds = dict(places(self.kind))
        return {
            path: (kind, f"{self.name}s{number}")
            for number, path in enumerate(paths)
            if isinstance(kind := kinds[path], StructType)
        }

    @cached_property
    def converted(self) -> dict[Path, tuple[KsqlType, str]]:
        """The values that are neither structs nor text, with their columns."""
        return {
            path: (kind, f"{self.name}m{number}")
            for number, (path, kind) in enumerate(places(self.kind))
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
        doubts = [odd or f"regexp_matches({self.text}, {text(self.names.of(self.kind).pattern)})"]
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

    def _value(self, path: Path, kind: KsqlType) -> str:
        """A value that is not in doubt."""
        is_widened = any(other[: len(path)] == path for other in self.widened)
        if is_plain(kind) and not is_widened:
            return self._given(path)
        if isinstance(kind, StructType):
            fields = [self._value((*path, name), inner) for name, inner in kind.fields]
            return readings.packed(kind, self.structs[path][1], fields, self.names.keys)
        return self.converted[path][1]

    def _given(self, path: Path) -> str:
        """A field as DuckDB parses it."""
        return field(self.structs[path[:-1]][1], self.names.keys[path[-1]])


def places(kind: KsqlType, path: Path = ()) -> Iterator[tuple[Path, KsqlType]]:
    """A type and the fields in it that have a fixed place in a record, by their paths."""
    yield path, kind
    if isinstance(kind, StructType):
        for name, inner in kind.fields:
            yield from places(inner, (*path, name))


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
