"""Reads assertions. ksqlDB's test tool has four forms:

- ``ASSERT VALUES name (columns) VALUES (values);``: the next row of a stream, or a row of a table
- ``ASSERT NULL VALUES name (key columns) KEY (values);``: a record without a value, which deletes a table's row
- ``ASSERT STREAM name (columns) WITH (properties);`` and ``ASSERT TABLE``: the definition
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlglot import exp

from opensea_metrics.core.errors import Place, SqlError, Stage
from opensea_metrics.core.types import BIGINT, STRING, name_of
from opensea_metrics.deploy.sqltests.cases import Step
from opensea_metrics.deploy.sqltests.comparison import ExpectedRow, canonical
from opensea_metrics.sql.language.catalog.catalog import Catalog
from opensea_metrics.sql.language.catalog.constants import UNKNOWN, constant
from opensea_metrics.sql.language.catalog.custom_types import with_types
from opensea_metrics.sql.language.catalog.declarations import columns_of, schema_text
from opensea_metrics.sql.language.catalog.insert_values import check_value, stored
from opensea_metrics.sql.language.catalog.sources import Column, Source
from opensea_metrics.sql.language.queries.inference import infer
from opensea_metrics.sql.language.queries.scope import Scope
from opensea_metrics.sql.language.statements.parser import read_script, where
from opensea_metrics.sql.language.statements.statements import Statement
from opensea_metrics.sql.language.values import timestamps
from opensea_metrics.sql.language.values.topic_json import dump, finite

Evaluate = Callable[[exp.Expression, Scope], Any]
"""Computes an expression that only an engine can compute, such as a function's result."""

_ASSERT = re.compile(r"(ASSERT)(\s+)(NULL\s+VALUES|VALUES|STREAM|TABLE)\b", re.IGNORECASE)
_KEY = re.compile(r"\)\s*(KEY)\s*\(", re.IGNORECASE)
_TIMES = ("ROWTIME", "WINDOWSTART", "WINDOWEND")


@dataclass(frozen=True)
class Assertion:
    """An assertion as a statement of ksqlDB's grammar: an INSERT for rows, a CREATE for a definition."""

    kind: str
    statement: Statement

    @property
    def name(self) -> str:
        """The stream or table."""
        return self.statement.name or ""

    @property
    def is_of_rows(self) -> bool:
        return self.kind in ("VALUES", "NULL VALUES")


def statement_of(step: Step) -> Statement:
    """The statement of a step. Raises SqlError."""
    return _parsed(step.text, step)


def assertion_of(step: Step) -> Assertion | None:
    """The assertion of a step, or None if it is another statement. Raises SqlError."""
    match = _ASSERT.match(step.text)
    if match is None:
        return None
    kind = " ".join(match[3].upper().split())
    rest = step.text[match.end() :]
    if kind in ("STREAM", "TABLE"):
        if not re.search(r"\bWITH\s*\(", rest, re.IGNORECASE):
            rest = re.sub(r"\s*;\s*\Z", " WITH (VALUE_FORMAT='NONE');", rest)
        return Assertion(kind, _parsed(f"CREATE{match[2]}{match[3]}{rest}", step))
    written = f"INSERT{match[2]}{'INTO'.ljust(len(match[3]))}"
    longer_from = None
    if kind == "NULL VALUES":
        key = _KEY.search(rest)
        if key is None:
            raise SqlError("", step.place, "write ASSERT NULL VALUES name (columns) KEY (values);", stage=Stage.SYNTAX)
        longer_from = len(written) + key.start(1)
        rest = f"{rest[: key.start(1)]}VALUES{rest[key.end(1) :]}"
    return Assertion(kind, _parsed(written + rest, step, longer_from))


def _parsed(text: str, step: Step, longer_from: int | None = None) -> Statement:
    """The statement of a text, which is longer than the step's text after an offset by the letters of VALUES."""

    def locate(offset: int) -> Place:
        if longer_from is not None and offset > longer_from:
            offset = max(longer_from, offset - len("VALUES") + len("KEY"))
        return step.locate(offset)

    reading = read_script(text, locate, all_errors=False)
    if reading.errors:  # later errors follow from the first: after a missing semicolon, the rest may be an ASSERT
        raise reading.errors[0]
    if len(reading.statements) != 1:  # a semicolon alone
        raise SqlError("write a statement before the semicolon", step.place, stage=Stage.SYNTAX)
    return reading.statements[0]


def expected_row(assertion: Assertion, source: Source, evaluate: Evaluate) -> ExpectedRow:
    """The row that an assertion expects. Raises SqlError for an unknown column, or a value of another type."""
    statement = assertion.statement
    columns = _columns(assertion, source)
    given = statement.ast.expressions
    if len(columns) != len(given):
        raise SqlError(
            f"{len(columns)} columns, but {len(given)} values", statement.place, "write a value for each column"
        )
    scope = Scope(statement, {})
    values = tuple(_value(source, *pair, scope, evaluate) for pair in zip(columns, given, strict=True))
    names = tuple(column.name for column in columns)
    return ExpectedRow(names, values, statement.place, assertion.kind == "NULL VALUES")


def _columns(assertion: Assertion, source: Source) -> list[Column]:
    known = {name: Column(name, BIGINT) for name in (_TIMES if source.window else _TIMES[:1])}
    known |= {column.name: column for column in source.columns}
    named = assertion.statement.ast.args.get("columns") or []
    for identifier in named:
        if name_of(identifier) not in known:
            raise SqlError(
                f"{source.name} has no column {name_of(identifier)}",
                where(assertion.statement, identifier),
                f"it has {schema_text(list(known.values()))}",
            )
    if named:
        return [known[name_of(identifier)] for identifier in named]
    return [column for column in source.columns if column.is_key or assertion.kind == "VALUES"]


def _value(source: Source, column: Column, value: exp.Expression, scope: Scope, evaluate: Evaluate) -> Any:
    """An expected value in canonical form."""
    if column.name in _TIMES and infer(value, scope) == STRING:
        text = constant(value, scope)
        if (at := timestamps.milliseconds(str(text))) is None:
            raise SqlError(
                f"{text!r} is not a time", where(scope.statement, value), "write it as 2026-09-15T11:30:00"
            )
        return at
    free = Column(column.name, column.type)  # as columns without a role, so that NULL is not an error
    check_value(source.name, free, value, scope)
    given = constant(value, scope)
    if given is UNKNOWN:
        given = evaluate(value, scope)
    if column.name == "ROWTIME":
        return given
    fitted = stored(source.name, free, given, value, scope)
    return canonical(column.type, json.loads(dump({"value": finite(fitted)}), parse_float=Decimal)["value"])


def definition_difference(assertion: Assertion, source: Source, catalog: Catalog) -> str | None:
    """How a stream or table differs from the definition that an assertion expects, or None. Raises SqlError."""
    statement = with_types(assertion.statement, catalog.types)
    if source.kind != assertion.kind:
        return f"{source.name} is a {source.kind}, not a {assertion.kind}"
    wanted, actual = schema_text(columns_of(statement)), schema_text(source.columns)
    if wanted != actual:
        return f"{source.name} has other columns\n  expected  {wanted}\n  actual    {actual}"
    known = _properties(source)
    for name, value in assertion.statement.properties.items():
        if (name, value) == ("VALUE_FORMAT", "NONE"):
            continue
        if name not in known:
            raise SqlError(
                f"an assertion cannot compare {name}", statement.place, f"it can compare {', '.join(sorted(known))}"
            )
        same = (lambda text: text) if name == "KAFKA_TOPIC" else str.upper
        if same(known[name] or "") != same(value):
            return f"{name} of {source.name} is {known[name] or 'not set'}, not {value}"
    return None


def _properties(source: Source) -> dict[str, str | None]:
    window = source.window
    is_one_format = source.key_format == source.value_format
    return {
        "KAFKA_TOPIC": source.topic,
        "VALUE_FORMAT": source.value_format,
        "KEY_FORMAT": source.key_format,
        "FORMAT": source.value_format if is_one_format else f"{source.key_format} and {source.value_format}",
        "PARTITIONS": str(source.partitions),
        "REPLICAS": str(source.replicas),
        "TIMESTAMP": source.timestamp,
        "TIMESTAMP_FORMAT": source.timestamp_format,
        "WINDOW_TYPE": window.kind if window else None,
    }


def names_of_rows(steps: Sequence[Step]) -> set[str]:
    """The streams and tables whose rows a case asserts. Ignores assertions with errors."""
    names = set()
    for step in steps:
        try:
            assertion = assertion_of(step)
        except SqlError:
            continue
        if assertion is not None and assertion.is_of_rows:
            names.add(assertion.name)
    return names
