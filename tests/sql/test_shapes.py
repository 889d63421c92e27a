"""The SQL that is written for an engine has the same shape whatever the names in it are."""

from __future__ import annotations

from contextlib import suppress
from functools import cache

import pytest
from hypothesis import given, settings
from sqlglot.dialects import DuckDB, Spark
from sqlglot.dialects.dialect import Dialect

from opensea_metrics.core.errors import SqlError
from opensea_metrics.core.types import StructType, duckdb, spark, struct
from opensea_metrics.sql.language.catalog.catalog import Catalog
from opensea_metrics.sql.language.catalog.changes import applied
from opensea_metrics.sql.language.catalog.sources import Source
from opensea_metrics.sql.language.dialect.naming import SYSTEM_COLUMNS
from opensea_metrics.sql.language.lowering.duckdb import groupings, selects
from opensea_metrics.sql.language.lowering.records import rows as records
from opensea_metrics.sql.language.lowering.records import spelling
from opensea_metrics.sql.language.lowering.spark import selects as spark_selects
from opensea_metrics.sql.language.statements.parser import parse_script
from tests.hostile import NAMES, is_text, names

STREAM = (
    "CREATE STREAM raw ({name} VARCHAR, n BIGINT, t BIGINT, s STRUCT<{name} VARCHAR, b STRUCT<{name} INT>>,"
    " m MAP<VARCHAR, ARRAY<STRUCT<{name} INT>>>)"
    " WITH (KAFKA_TOPIC='raw', VALUE_FORMAT='JSON', PARTITIONS=1, TIMESTAMP='t');"
)
ROWS = (
    "CREATE STREAM h AS SELECT {name}, n AS x, s->b AS y, s->{name} AS z, {text} AS txt, CONCAT({text}, {name}) AS c,"
    " TRANSFORM(ARRAY[1], p => p + s->b->{name}) AS l, TRANSFORM(ARRAY[1], {other} => {other} + 1) AS o,"
    " STRUCT({name} := n, q := {text}) AS st, MAP({text} := n) AS ma, CAST(n AS VARCHAR) AS {other},"
    " EXPLODE(m['k']) AS e FROM raw WHERE {name} = {text} OR {name} LIKE {text} OR {name} IN ({text}, 'k');"
)
GROUPS = (
    "CREATE TABLE h AS SELECT {name}, COUNT(*) AS {other}, MAX(s->{name}) AS x, COLLECT_LIST({text}) AS y,"
    " TOP_BY_KEY({name}, 1.0E0, {text}, 2) AS z FROM raw WINDOW TUMBLING (SIZE 1 HOUR)"
    " WHERE {name} <> {text} GROUP BY {name} HAVING MAX(s->{name}) <> {text};"
)


def filled(template: str, name: str) -> str:
    ticked = name.replace("`", "``")
    other = ("p" + name).replace("`", "``")
    literal = name.replace("'", "''")
    return template.replace("{name}", f"`{ticked}`").replace("{other}", f"`{other}`").replace("{text}", f"'{literal}'")


def names_of(source: Source) -> StructType:
    return struct(*((column.name, column.type) for column in source.columns))


def texts(name: str) -> dict[str, str]:
    """What is written for the engines, where a column, field and text are so called. Raises SqlError."""
    catalog = Catalog()
    (stream,) = parse_script(filled(STREAM, name), "test")
    catalog = applied(catalog, stream, 0)
    source = catalog.sources["RAW"]
    (row,) = applied(catalog, parse_script(filled(ROWS, name), "test")[0], 1).queries.values()
    (group,) = applied(catalog, parse_script(filled(GROUPS, name), "test")[0], 1).queries.values()
    relation = "SELECT * FROM raw"
    grouping = groupings.grouping(group.analysis)
    return {
        "types in duckdb": ", ".join(duckdb(column.type) for column in source.columns),
        "types in spark": ", ".join(spark(column.type) for column in source.columns),
        "records in duckdb": records.decoded(relation, source, spelling.declared(names_of(source))),
        "source in duckdb": selects.as_source(source, relation, [name, "n"]),
        "source in spark": spark_selects.as_source(source, relation, [name, "n"]),
        "rows in spark": spark_selects.rows(row.analysis, relation),
        "rows in duckdb": selects.rows(row.analysis, relation),
        "groups in duckdb": grouping.finish(grouping.merge(grouping.partial(relation, None))),
        "groups in spark": spark_selects.grouped(group.analysis, relation),
    }


def shape(text: str, engine: str) -> list[str]:
    """The kinds of a text's tokens, without those of literals and names, and the words between them."""
    dialect: Dialect = Spark() if engine.endswith("spark") else DuckDB()
    return [
        kind if (kind := token.token_type.name) in ("STRING", "IDENTIFIER") else token.text
        for token in dialect.tokenize(text)
    ]


@cache
def plain() -> dict[str, list[list[str]]]:
    """The shapes with names without anything special: long values are written once, under a name."""
    shapes: dict[str, list[list[str]]] = {}
    for length in (4, 20, 60, 120, 250, 500, 1_000, 10_000):
        for engine, text in texts("N" * length).items():
            shapes.setdefault(engine, []).append(shape(text, engine))
    return shapes


def is_refused(name: str) -> bool:
    """Whether no identifier can be so called, or the statements have another column of the name."""
    has_other = name in ("N", "S", "T", "M", "X", "Y", "Z", "C", "L", "O", "E", "ST", "MA", "TXT")
    return not name or "\0" in name or not is_text(name) or has_other or name in SYSTEM_COLUMNS


def compare(name: str) -> None:
    for engine, text in texts(name).items():
        if engine.startswith(("records", "source")) and name.upper() in ("N", "S", "T", "M"):
            continue  # beside columns that differ in case only
        assert shape(text, engine) in plain()[engine], engine


@pytest.mark.parametrize("name", NAMES)
def test_of_hostile_names(name: str) -> None:
    if is_refused(name):
        with pytest.raises(SqlError):
            texts(name)
    else:
        compare(name)


@settings(deadline=None)
@given(names())
def test_of_any_name(name: str) -> None:
    with suppress(SqlError):
        compare(name)
