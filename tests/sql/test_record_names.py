"""Records as ksqlDB reads them, however they write the names of fields, and whatever is in a sample.

The lines are made at random; :mod:`tests.sql.slow_decoder` says what they are.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from random import Random
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opensea_metrics.core.types import (
    STRING,
    ArrayType,
    DecimalType,
    KsqlType,
    MapType,
    StructType,
    struct,
)
from opensea_metrics.sql.language.catalog.catalog import Catalog
from opensea_metrics.sql.language.catalog.changes import applied
from opensea_metrics.sql.language.catalog.sources import Source
from opensea_metrics.sql.language.lowering.duckdb.setup import SETUP, register_functions
from opensea_metrics.sql.language.lowering.records import rows as records
from opensea_metrics.sql.language.lowering.records.capitals import capitals
from opensea_metrics.sql.language.statements.parser import parse_script
from tests.sql.slow_decoder import decoded

STREAMS = {
    "flat": "id BIGINT, username VARCHAR, usd_price DOUBLE, ok BOOLEAN, `exact` VARCHAR, `Straße` VARCHAR, SS INT",
    "nested": "id VARCHAR, s STRUCT<id VARCHAR, t STRUCT<id VARCHAR, long_field_name VARCHAR>, `id2` VARCHAR>,"
    " u STRUCT<only STRUCT<id VARCHAR>>",
    "typed": "d DATE, ti TIME, ts TIMESTAMP, b BYTES, x DECIMAL(6, 2), s STRUCT<d DATE, n INT, x VARCHAR>",
    "lists": "l ARRAY<BIGINT>, w ARRAY<VARCHAR>, a ARRAY<STRUCT<id INT, tags ARRAY<VARCHAR>>>, g ARRAY<ARRAY<DATE>>",
    "maps": "m MAP<VARCHAR, INT>, v MAP<VARCHAR, VARCHAR>, s STRUCT<m MAP<VARCHAR, STRUCT<id BYTES, k VARCHAR>>>",
}


@pytest.fixture(scope="module")
def database() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        for statement in SETUP:
            connection.execute(statement)
        register_functions(connection)
        yield connection


def source(columns: str) -> Source:
    """The stream of some columns."""
    text = f"CREATE STREAM s ({columns}) WITH (KAFKA_TOPIC='t', VALUE_FORMAT='JSON', PARTITIONS=1);"
    (statement,) = parse_script(text, "s")
    return applied(Catalog(), statement, 1).sources["S"]


def kind_of(stream: Source) -> StructType:
    return struct(*((column.name, column.type) for column in stream.columns))


WRONG: tuple[object, ...] = (True, "x", "", [], {}, [1], {"a": 1}, "1")
TEXTS = (
    "", "x", "Id", '":', '"ID":1', "\\", " :", "é", "[", "{", 5, True, ",]", "NaN,}", "1.5", "1e3", "nan",
)  # fmt: skip
DECIMALS = (0, 1, -12, "1.5", "12.340", "1.234", 9999, 10_000, "x")
DOUBLES = (0, 1.5, -2.25, 1e300, 12345678901234567890)
KEYS = ("id", "ID", "Id", "k", "", 'q"', "é")
SEPARATORS = ((",", ":"), (",", ":"), (", ", ": "), (" ,\t", "\r : "))
BROKEN = ("", "null", "[1]", "5", '"id"', "nonsense", '{"id"', '{"id":1')


class Maker:
    """Makes JSON at random."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)

    def value(self, kind: KsqlType) -> Any:
        """A value of a type; now and then null, or of another type."""
        pick = self.random.choice
        if self.random.random() < 0.25:
            return pick((None, None, *WRONG))
        match kind:
            case StructType():
                return self.record(kind)
            case ArrayType():
                return [self.value(kind.element) for _ in range(self.random.randrange(4))]
            case MapType():
                return {pick(KEYS): self.value(kind.value) for _ in range(self.random.randrange(4))}
            case DecimalType():
                return pick(DECIMALS)
        match kind.name:
            case "STRING":
                return pick(TEXTS)
            case "BOOLEAN":
                return pick((True, False))
            case "DOUBLE":
                return pick(DOUBLES)
            case "BYTES":
                return base64.b64encode(self.random.randbytes(self.random.randrange(6))).decode()
            case "TIME":
                return self.random.randrange(-5_000_000, 90_000_000)
        return self.random.randrange(-2_000, 20_000)

    def name(self, name: str) -> str:
        """A name in any case, most often in lower case."""
        letters = (self.random.choice((letter.lower(), letter.upper())) for letter in name)
        others = name.replace("I", "ı").replace("SS", "ß").replace("S", "ſ").replace("FI", "ﬁ")
        return self.random.choice((*(name.lower(),) * 6, name, name, "".join(letters), others))

    def record(self, kind: StructType) -> dict[str, Any]:
        """An object with a struct's fields, some of them again in another case, and with others."""
        pairs: list[tuple[str, Any]] = []
        for name, inner in kind.fields:
            for _ in range(self.random.choice((0, 1, 1, 1, 1, 2))):
                pairs.append((self.name(name), self.value(inner)))
        if self.random.random() < 0.3:
            pairs.append((self.random.choice(("userId", "other", "I D", "größe", "Id2")), self.value(STRING)))
        self.random.shuffle(pairs)
        return dict(pairs)

    def line(self, kind: StructType) -> str:
        """A record's text; now and then a broken one."""
        line = json.dumps(
            self.record(kind),
            separators=self.random.choice(SEPARATORS),
            ensure_ascii=self.random.random() < 0.5,
        )
        if self.random.random() < 0.1:
            at = self.random.choice([at for at, letter in enumerate(line) if letter in "]}:"] or [0])
            comma = line[:at] + self.random.choice((",", ", ", ",\t ")) + line[at:]
            unknown = line.replace("{", f'{{"u":{self.random.choice(("NaN", "[1,NaN]", "-NaN", "1e3"))},', 1)
            return self.random.choice((*BROKEN, line[:-1], line[1:], "x" + line, line + " x", comma, unknown))
        return line


def read(
    database: duckdb.DuckDBPyConnection, stream: Source, records_: list[str], sample: str, search: bool
) -> list[dict[str, Any] | None]:
    """What DuckDB makes of records. With ``search`` it looks for other spellings itself."""
    names = records.spelled(stream, sample)
    array = pa.array(records_, pa.large_string())
    odd = pa.array(capitals(names.capitalized).of(array))
    database.register("given", pa.table({"n": range(len(array)), "line": array, "odd": odd}))
    given = "SELECT n, line, odd, '' AS path, NULL::VARCHAR AS key, 0::BIGINT AS ts FROM given"
    condition = "odd" if names.is_lower and not search else None
    relation = records.decoded(given, stream, names, condition, carried=("n",))
    found = database.execute(f"SELECT * EXCLUDE (_path, _line) FROM ({relation}) ORDER BY n").fetchall()
    columns = [column.name for column in stream.columns]
    kind = kind_of(stream)
    return [
        named(dict(zip(columns, row[: len(columns)], strict=True)), kind) if row[-1] is None else None
        for row in found
    ]


def named(value: Any, kind: KsqlType) -> Any:
    """A value of DuckDB's with the declared names of fields: they may be those of the JSON until a
    statement takes them."""
    match kind:
        case StructType() if value is not None:
            return {
                name: named(field, inner)
                for field, (name, inner) in zip(value.values(), kind.fields, strict=True)
            }
        case ArrayType() if value is not None:
            return [named(element, kind.element) for element in value]
        case MapType() if value is not None:
            return {key: named(element, kind.value) for key, element in value.items()}
    return value


@pytest.mark.parametrize("name", STREAMS)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_any_spelling_is_read_as_by_the_slow_decoder(
    database: duckdb.DuckDBPyConnection, name: str, seed: int
) -> None:
    stream = source(STREAMS[name])
    kind = kind_of(stream)
    maker = Maker(seed)
    made = [maker.line(kind) for _ in range(150)]
    expected = [decoded(line, kind) for line in made]
    assert sum(record is not None for record in expected) > 10
    for sample in ("", made[0], "\n".join(made[:20])):
        for search in (False, True):
            for line, found, right in zip(
                made, read(database, stream, made, sample, search), expected, strict=True
            ):
                assert found == right, (line, sample[:1_000], search)


def test_a_key_and_a_value_are_searched_for_their_own_names_only(database: duckdb.DuckDBPyConnection) -> None:
    """A name of the other one is a field that nobody reads."""
    text = (
        "CREATE STREAM s (ka INT KEY, kb INT KEY, va INT, vs STRUCT<vb INT>)"
        " WITH (KAFKA_TOPIC='t', KEY_FORMAT='JSON', VALUE_FORMAT='JSON', PARTITIONS=1);"
    )
    (statement,) = parse_script(text, "s")
    stream = applied(Catalog(), statement, 1).sources["S"]
    keys = ['{"KA": 1, "KB": 2}', '{"kA": 1, "KB": 2, "vA": 7}', '{"KA": 1, "kB": 2}']
    values = ['{"VA": 3, "VS": {"VB": 4}}', '{"VA": 3, "VS": {"vB": 4}, "kB": 7}', '{"vA": 3, "VS": {"VB": 4}}']
    database.register("given", pa.table({"n": range(3), "key": keys, "line": values}))
    given = "SELECT n, line, key, '' AS path, 0::BIGINT AS ts FROM given"
    relation = records.decoded(given, stream, records.as_declared(stream), carried=("n",))
    rows = database.execute(f"SELECT KA, KB, VA, VS, _failed FROM ({relation}) ORDER BY n").fetchall()
    assert [(ka, kb, va, *vs.values(), failed) for ka, kb, va, vs, failed in rows] == [(1, 2, 3, 4, None)] * 3
    own = dict(re.findall(r"regexp_matches\((key|line), '((?:[^']|'')*)'\)", relation))
    starts = ("k(?i:A)", "k(?i:B)", "v(?i:A)", "v(?i:B)")
    assert {text: [start in pattern for start in starts] for text, pattern in own.items()} == {
        "key": [True, True, False, False],
        "line": [False, False, True, True],
    }
