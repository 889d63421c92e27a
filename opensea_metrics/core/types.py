"""ksqlDB's types as plain data, and their forms in DuckDB and in Spark."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from opensea_metrics.core.errors import SqlError
from opensea_metrics.core.quoting import quoted, spark_quoted

if TYPE_CHECKING:
    from sqlglot import exp

# The parser is imported only where a parsed type is read. Functions inside ksqlDB need types but no parser,
# and importing the parser would take half of their start time.


@dataclass(frozen=True)
class KsqlType:
    """A scalar type with ksqlDB's name: BOOLEAN, INTEGER, BIGINT, DOUBLE, STRING, BYTES, DATE, …"""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class DecimalType(KsqlType):
    """DECIMAL(precision, scale)."""

    precision: int = 38
    scale: int = 0

    def __str__(self) -> str:
        return f"DECIMAL({self.precision}, {self.scale})"


@dataclass(frozen=True)
class ArrayType(KsqlType):
    """ARRAY<element>."""

    element: KsqlType = KsqlType("STRING")

    def __str__(self) -> str:
        return f"ARRAY<{self.element}>"


@dataclass(frozen=True)
class MapType(KsqlType):
    """MAP<key, value>."""

    key: KsqlType = KsqlType("STRING")
    value: KsqlType = KsqlType("STRING")

    def __str__(self) -> str:
        return f"MAP<{self.key}, {self.value}>"


@dataclass(frozen=True)
class StructType(KsqlType):
    """STRUCT<name type, …>. The names are already upper-cased where ksqlDB does so."""

    fields: tuple[tuple[str, KsqlType], ...] = ()

    def __str__(self) -> str:
        return "STRUCT<" + ", ".join(f"`{name}` {kind}" for name, kind in self.fields) + ">"

    def field(self, name: str) -> KsqlType | None:
        """The type of a field, or None if the STRUCT has no field of that name."""
        return self._by_name.get(name)

    @cached_property
    def _by_name(self) -> dict[str, KsqlType]:
        return dict(self.fields)


BOOLEAN = KsqlType("BOOLEAN")
INTEGER = KsqlType("INTEGER")
BIGINT = KsqlType("BIGINT")
DOUBLE = KsqlType("DOUBLE")
STRING = KsqlType("STRING")
BYTES = KsqlType("BYTES")
DATE = KsqlType("DATE")
TIME = KsqlType("TIME")
TIMESTAMP = KsqlType("TIMESTAMP")
NULL = KsqlType("NULL")
"""The type of a bare NULL. It fits everywhere."""

_SCALARS = {
    "BOOLEAN": BOOLEAN, "INT": INTEGER, "BIGINT": BIGINT, "DOUBLE": DOUBLE, "VARCHAR": STRING, "TEXT": STRING,
    "VARBINARY": BYTES, "DATE": DATE, "TIME": TIME, "TIMESTAMP": TIMESTAMP,
}  # fmt: skip
"""The types of sqlglot, by name."""

_IN_ENGINES: dict[str, tuple[str, str | None]] = {
    "INTEGER": ("INTEGER", "INT"),
    "BIGINT": ("BIGINT", "BIGINT"),
    "DOUBLE": ("DOUBLE", "DOUBLE"),
    "BOOLEAN": ("BOOLEAN", "BOOLEAN"),
    "STRING": ("VARCHAR", "STRING"),
    "BYTES": ("BLOB", "BINARY"),
    "DATE": ("DATE", "DATE"),
    "TIME": ("TIME", None),
    "TIMESTAMP": ("TIMESTAMP", "TIMESTAMP_NTZ"),
    "NULL": ("VARCHAR", "STRING"),
}
"""Scalar types in DuckDB and in Spark; None if the engine has no such type."""


def name_of(identifier: exp.Expression) -> str:
    """An identifier's name as ksqlDB keeps it: upper-cased unless quoted."""
    name = str(identifier.this)
    return name if identifier.args.get("quoted") else name.upper()


def array(element: KsqlType) -> ArrayType:
    """ARRAY<element>."""
    return ArrayType("ARRAY", element)


def struct(*fields: tuple[str, KsqlType]) -> StructType:
    """STRUCT of (name, type) pairs."""
    return StructType("STRUCT", tuple(fields))


def from_ast(kind: exp.Expression) -> KsqlType | None:
    """The type that a parsed type stands for, or None if ksqlDB has no such type."""
    from sqlglot import exp

    if not isinstance(kind, exp.DataType):
        return None
    if isinstance(kind.this, exp.DType) and (scalar := _SCALARS.get(kind.this.name)):
        return scalar
    parts = kind.expressions
    if kind.this == exp.DType.DECIMAL:
        if not all(part.name.isdecimal() and len(part.name) <= 9 for part in parts):
            return None
        sizes = [int(part.name) for part in parts] or [38, 0]
        return DecimalType("DECIMAL", sizes[0], sizes[1] if len(sizes) > 1 else 0)
    if kind.this == exp.DType.STRUCT:
        fields = []
        for part in parts:
            field = from_ast(part.args["kind"]) if isinstance(part, exp.ColumnDef) else None
            if field is None:
                return None
            fields.append((name_of(part.this), field))
        return struct(*fields)
    inner = [from_ast(part) for part in parts]
    match kind.this, inner:
        case exp.DType.ARRAY, [KsqlType() as element]:
            return array(element)
        case exp.DType.MAP, [KsqlType() as key, KsqlType() as value]:
            return MapType("MAP", key, value)
    return None


class NoSuchType(SqlError, ValueError):
    """An engine has no type that holds the values of a ksqlDB type."""


def duckdb(kind: KsqlType) -> str:
    """The DuckDB type that holds a ksqlDB type.

    Raises NoSuchType for a DECIMAL of more than 38 digits, and for a STRUCT with two fields that DuckDB
    cannot tell apart.
    """
    match kind:
        case DecimalType():
            if kind.precision > 38:
                raise NoSuchType(f"{kind} has more than DuckDB's 38 digits")
            return f"DECIMAL({kind.precision},{kind.scale})"
        case ArrayType():
            return f"{duckdb(kind.element)}[]"
        case MapType():
            return f"MAP({duckdb(kind.key)}, {duckdb(kind.value)})"
        case StructType():
            _check_distinct(kind, "DuckDB", lambda name: name.encode().lower())  # the ASCII letters only
            fields = ", ".join(f"{quoted(name)} {duckdb(inner)}" for name, inner in kind.fields)
            return f"STRUCT({fields})"
        case _:
            return _IN_ENGINES[kind.name][0]


def spark(kind: KsqlType) -> str:
    """The Spark type that holds a ksqlDB type.

    Raises NoSuchType for TIME, for a DECIMAL of more than 38 digits, and for a STRUCT with two fields that
    Spark cannot tell apart.
    """
    match kind:
        case DecimalType():
            if kind.precision > 38:
                raise NoSuchType(f"{kind} has more than Spark's 38 digits")
            return f"DECIMAL({kind.precision}, {kind.scale})"
        case ArrayType():
            return f"ARRAY<{spark(kind.element)}>"
        case MapType():
            return f"MAP<{spark(kind.key)}, {spark(kind.value)}>"
        case StructType():
            _check_distinct(kind, "Spark", str.lower)
            fields = ", ".join(f"{spark_quoted(name)}: {spark(inner)}" for name, inner in kind.fields)
            return f"STRUCT<{fields}>"
    _, name = _IN_ENGINES[kind.name]
    if name is None:
        raise NoSuchType(f"Spark has no type for {kind}")
    return name


def parts(kind: KsqlType) -> Iterator[KsqlType]:
    """The types inside a type, and then the type itself."""
    match kind:
        case ArrayType():
            yield from parts(kind.element)
        case MapType():
            yield from parts(kind.key)
            yield from parts(kind.value)
        case StructType():
            for _, inner in kind.fields:
                yield from parts(inner)
    yield kind


def duplicate_name(kind: KsqlType) -> str | None:
    """ksqlDB's sentence about two fields of a STRUCT with the same name, or None. It ignores fields of inner types."""
    if not isinstance(kind, StructType):
        return None
    known: dict[str, KsqlType] = {}
    for name, inner in kind.fields:
        if (other := known.get(name)) is not None:
            return f"Duplicate field names found in STRUCT: '`{name}` {other}' and '`{name}` {inner}'"
        known[name] = inner
    return None


def _check_distinct(kind: StructType, engine: str, folded: Callable[[str], object]) -> None:
    """Refuse a STRUCT with fields that the engine cannot tell apart. Engines ignore case in names of fields."""
    known: dict[object, str] = {}
    for name, _ in kind.fields:
        if (other := known.setdefault(folded(name), name)) != name:
            raise NoSuchType(f"{engine} cannot tell the fields `{other}` and `{name}` apart")
