"""Writes docs/sql-support.md: what each engine supports of ksqlDB's SQL. ``python -m tests.sql_support`` prints it.

The page has no verdict of its own. Each statement, clause, type, format, expression, cast and function is an example
(tests/sql/support.yml, tests/sql/functions.yml), and the code of the engines runs the example or refuses it.
"""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from functools import cache, partial
from pathlib import Path
from typing import Any

from opensea_metrics.core.conversions import castable
from opensea_metrics.core.errors import SqlError
from opensea_metrics.deploy.embedded.queries.client_queries import TransientQuery
from opensea_metrics.deploy.embedded.queries.printed_topic import PrintedTopic, print_statement
from opensea_metrics.deploy.embedded.trial import Trial
from opensea_metrics.sql.language.catalog.catalog import Catalog
from opensea_metrics.sql.language.catalog.changes import applied
from opensea_metrics.sql.language.catalog.with_clause import FORMATS
from opensea_metrics.sql.language.functions.library import BUILT_IN
from opensea_metrics.sql.language.lowering import support
from opensea_metrics.sql.language.lowering.refusals import DUCKDB, EMBEDDED, SPARK, Unsupported
from opensea_metrics.sql.language.statements.parser import parse_statement
from opensea_metrics.sql.language.statements.statements import Kind
from tests.parts.yaml_files import read_yaml

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/sql-support.md"
EXAMPLES: dict[str, Any] = read_yaml(ROOT / "tests/sql/support.yml")
CALLS: list[dict[str, str]] = read_yaml(ROOT / "tests/sql/functions.yml")["cases"]
CALLS_OVER = (
    "CREATE STREAM s (k VARCHAR KEY, i INT, b BIGINT, d DOUBLE, e DECIMAL(10, 2), f DECIMAL(6, 3), s VARCHAR,"
    " t BOOLEAN, da DATE, {time}ts TIMESTAMP, y BYTES, ai ARRAY<INT>, ab ARRAY<BIGINT>, ad ARRAY<DOUBLE>,"
    " w ARRAY<VARCHAR>, ae ARRAY<DECIMAL(10, 2)>, ms MAP<VARCHAR, VARCHAR>, mi MAP<VARCHAR, INT>)"
    " WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);"
)
ENGINES = (EMBEDDED, DUCKDB, SPARK)
_REFUSAL = re.compile(r"(.*) is not supported by (?:the embedded server|recompute on \w+)\. ksqlDB supports it\.", re.S)

_INTRODUCTION = """\
# What each engine supports

`make docs` writes this page. For each row, it asks the code of each engine about an example.
A ksqlDB 7.9.1 server supports every row. It needs Kafka Connect for connectors, and a Schema Registry for the formats
AVRO, JSON_SR and PROTOBUF.

`validate` reports what the target does not support before `apply` changes anything. The message names the feature as
this page does after `no`. `recompute` runs queries only, so Statements has no column for it."""

Verdicts = tuple[str, ...]
"""For each engine: ``yes``, ``no: `` and the missing feature, or ``–`` if the question does not arise."""


def page() -> str:
    """The text of the page."""
    return "\n".join(
        [
            _INTRODUCTION,
            *_section("Statements", ["example", "embedded server"], _statements()),
            *_section("Clauses of queries", ["clause", *_ENGINES], _clauses()),
            *_section("Types", ["type", *_ENGINES], _types()),
            *_section("Formats", ["format", "of values on the embedded server", "of keys"], _formats()),
            *_section("Expressions", ["expression", *_ENGINES], _expressions()),
            *_cast_section(),
            *_section("Functions", ["function", *_ENGINES], _functions()),
            "",
        ]
    )


_ENGINES = ["embedded server", "recompute on DuckDB", "recompute on Spark"]


def _section(title: str, header: list[str], rows: Iterable[list[str]]) -> Iterator[str]:
    if title:
        yield f"\n## {title}"
    yield ""
    for row in (header, ["---"] * len(header), *rows):
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"


def _statements() -> Iterator[list[str]]:
    for kind, examples in EXAMPLES["statements"].items():
        for example in examples:
            yield [f"`{example.replace('{query}', 'query_id').rstrip(';')}`", _on_server(Kind(kind), example)]


@cache
def _server() -> Trial:
    trial = Trial()
    for statement in EXAMPLES["given"]:
        refusal = trial.execute(statement)
        assert refusal is None, refusal
    return trial


def _on_server(kind: Kind, example: str) -> str:
    """The verdict of an embedded server, which carries out the example."""
    trial = _server()
    text = example.replace("{query}", next(iter(trial.engine.catalog.queries)))
    statement = parse_statement(text)
    assert statement.kind is kind, example
    if kind is Kind.SELECT:
        try:
            with closing(TransientQuery(trial.engine, statement, {})):
                return "yes"
        except Unsupported as error:
            return _no(error)
    if kind is Kind.PRINT:
        with closing(PrintedTopic(trial.engine, print_statement(statement), {})) as printed:
            list(printed.rows())
        return "yes"
    try:
        support.check_statement(trial.engine.catalog, statement, trial.engine.catalog)
        support.check_registry(trial.engine.catalog, statement, trial.engine.catalog)
    except Unsupported as error:
        return _no(error)
    refusal = trial.execute(text)
    if refusal is None:
        return "yes"
    match = _REFUSAL.match(refusal.message)
    assert match or "runs no Kafka Connect" in refusal.message, refusal
    return f"no: {match[1] if match else refusal.message}"


def _clauses() -> Iterator[list[str]]:
    given = _catalog(EXAMPLES["given"])
    for name, example in EXAMPLES["clauses"].items():
        yield [f"`{name}`" if name.upper() == name else name, *_of_query(given, example)]


def _types() -> Iterator[list[str]]:
    for name, column in EXAMPLES["types"].items():
        declared = f"CREATE STREAM x ({column}) WITH (KAFKA_TOPIC='x', VALUE_FORMAT='JSON', PARTITIONS=1);"
        given = applied(Catalog(), parse_statement(declared), 0)
        source = given.sources["X"]
        checks = (partial(support.check_types, source, engine, source.statement.place) for engine in ENGINES)
        yield [name, *map(_verdict, checks)]


def _formats() -> Iterator[list[str]]:
    for name in sorted(FORMATS):
        yield [name, *(_format(name, part) for part in ("VALUE_FORMAT", "KEY_FORMAT"))]


def _format(name: str, part: str) -> str:
    other = "VALUE_FORMAT='JSON'" if part == "KEY_FORMAT" else "KEY_FORMAT='KAFKA'"
    key = "" if (part, name) == ("KEY_FORMAT", "NONE") else "k VARCHAR KEY, "
    statement = parse_statement(
        f"CREATE STREAM x ({key}c INT) WITH (KAFKA_TOPIC='x', {part}='{name}', {other}, PARTITIONS=1);"
    )
    try:
        after = applied(Catalog(), statement, 0)
    except SqlError:
        return "–"
    return _verdict(lambda: support.check_registry(Catalog(), statement, after))


def _expressions() -> Iterator[list[str]]:
    given = _catalog(EXAMPLES["given"])
    for name, expression in EXAMPLES["expressions"].items():
        yield [name, *_of_query(given, f"CREATE STREAM x AS SELECT k, {expression} AS x FROM s EMIT CHANGES;")]


def _cast_section() -> Iterator[str]:
    yield ""
    if not (refused := list(_casts())):
        yield "All casts of ksqlDB run on all engines."
        return
    yield "Casts that an engine does not support. All other casts of ksqlDB run on all engines:"
    yield from _section("", ["cast", *_ENGINES], refused)


def _casts() -> Iterator[list[str]]:
    """The casts that an engine refuses."""
    given = _catalog(EXAMPLES["given"])
    types = {column.type: column.name for column in given.sources["S"].columns if column.name != "K"}
    for source, target in itertools.product(types, types):
        if source != target and castable(source, target):
            query = f"CREATE STREAM x AS SELECT k, CAST({types[source]} AS {target}) AS x FROM s EMIT CHANGES;"
            verdicts = _of_query(given, query)
            if set(verdicts) != {"yes"}:
                yield [f"{source} to {target}", *verdicts]


def _functions() -> Iterator[list[str]]:
    by_function: dict[str, list[str]] = {name: [] for name in sorted(BUILT_IN)}
    for case in CALLS:
        by_function[case["call"].partition("(")[0]].append(case["call"])
    for name, calls in by_function.items():
        verdicts = [_of_call(call) for call in calls]
        if len({*verdicts}) == 1:
            yield [f"{name} ({BUILT_IN[name].kind})", *verdicts[0]]
            continue
        for call, verdict in zip(calls, verdicts, strict=True):
            yield [f"`{call}`", *verdict]


def _of_call(call: str) -> Verdicts:
    kind = BUILT_IN[call.partition("(")[0]].kind
    group = " GROUP BY k" if kind == "aggregate" else ""
    sink = "TABLE" if kind == "aggregate" else "STREAM"
    # Spark has no TIME, so that it would refuse every query over a source with a column of this type.
    time = "ti TIME, " if re.search(r"\bti\b", call) else ""
    given = _catalog((CALLS_OVER.format(time=time),))
    return _of_query(given, f"CREATE {sink} x AS SELECT k, {call} AS x FROM s{group} EMIT CHANGES;")


def _of_query(given: Catalog, text: str) -> Verdicts:
    """The verdicts about a statement that starts a query."""
    statement = parse_statement(text)
    after = applied(given, statement, 99)
    (query,) = (query for id_, query in after.queries.items() if id_ not in given.queries)
    checks: list[Callable[[], None]] = [
        lambda: support.check_statement(given, statement, after),
        lambda: support.check_recompute(after, query, DUCKDB),
        lambda: support.check_recompute(after, query, SPARK),
    ]
    return tuple(map(_verdict, checks))


def _verdict(check: Callable[[], None]) -> str:
    try:
        check()
    except Unsupported as error:
        return _no(error)
    return "yes"


def _no(error: Unsupported) -> str:
    return f"no: {error.feature.rstrip(',')}"


def _catalog(statements: Iterable[str]) -> Catalog:
    return _cached_catalog(tuple(statements))


@cache
def _cached_catalog(statements: tuple[str, ...]) -> Catalog:
    catalog = Catalog()
    for number, text in enumerate(statements):
        catalog = applied(catalog, parse_statement(text), number)
    return catalog


if __name__ == "__main__":
    sys.stdout.write(page())
