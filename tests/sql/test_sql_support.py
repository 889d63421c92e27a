"""docs/sql-support.md is what the code says, and its examples leave nothing out."""

from __future__ import annotations

import inspect
from collections import defaultdict
from itertools import chain

import pytest
from sqlglot import exp

from opensea_metrics.core import types
from opensea_metrics.sql.language.catalog.catalog import Catalog
from opensea_metrics.sql.language.catalog.changes import applied
from opensea_metrics.sql.language.dialect import expressions as node
from opensea_metrics.sql.language.functions.library import BUILT_IN
from opensea_metrics.sql.language.statements.parser import parse_statement
from opensea_metrics.sql.language.statements.statements import Kind
from tests.sql_support import CALLS, EXAMPLES, PAGE, page


@pytest.fixture(scope="module")
def generated() -> str:
    return page()


def test_the_page_is_what_the_code_says(generated: str) -> None:
    assert PAGE.read_text(encoding="utf-8") == generated, "run: make docs"


def test_the_page_has_every_kind_of_statement_and_function() -> None:
    assert EXAMPLES["statements"].keys() == {kind.value for kind in Kind}
    assert {case["call"].partition("(")[0] for case in CALLS} == BUILT_IN.keys()


def test_the_examples_use_every_part_of_the_grammar() -> None:
    statements = [*EXAMPLES["clauses"].values(), *chain.from_iterable(EXAMPLES["statements"].values())]
    properties = "WITH (KAFKA_TOPIC='x', VALUE_FORMAT='JSON')"
    statements += [f"CREATE STREAM x ({column}) {properties};" for column in EXAMPLES["types"].values()]
    used: dict[type, set[str]] = defaultdict(set)
    for text in statements:
        for part in parse_statement(text.replace("{query}", "query_1")).ast.walk():
            used[type(part)] |= {name for name, value in part.args.items() if value}
    classes = [c for _, c in inspect.getmembers(node, inspect.isclass) if c.__module__ == node.__name__]
    missing = {
        f"{c.__name__}.{name}"
        for c in classes
        if issubclass(c, exp.Expression)
        for name in c.arg_types
        if name not in used[c]
    }
    assert missing == set()


def test_the_page_has_every_type() -> None:
    catalog = Catalog()
    declared = ", ".join(column.replace("c ", f"c{n} ", 1) for n, column in enumerate(EXAMPLES["types"].values()))
    text = f"CREATE STREAM x ({declared}) WITH (KAFKA_TOPIC='x', VALUE_FORMAT='JSON', PARTITIONS=1);"
    source = applied(catalog, parse_statement(text), 0).sources["X"]
    names = {column.type.name for column in source.columns}
    values = [value for value in vars(types).values() if isinstance(value, types.KsqlType)]
    assert names == {value.name for value in values} - {"NULL"} | {"DECIMAL", "ARRAY", "MAP", "STRUCT"}


def test_a_refusal_is_on_the_page_by_its_name(generated: str) -> None:
    assert "| `ROWPARTITION, ROWOFFSET` | yes | no: ROWPARTITION | no: ROWPARTITION |" in generated
    assert "| `WINDOW TUMBLING` | yes | yes | yes |" in generated
    assert "| TIME | yes | yes | no: the column C of X (Spark has no type for TIME) |" in generated
