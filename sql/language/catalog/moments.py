"""Finds the BIGINT columns that hold times in epoch ms.

These are WINDOWSTART, WINDOWEND, ROWTIME, and columns that statements compute from them. The statements of the sources
are followed up to their origin, so ``ws`` of ``SELECT WINDOWSTART AS ws`` is a time in every later query.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Protocol

from sqlglot import exp

from opensea_metrics.core.types import BIGINT, name_of
from opensea_metrics.sql.language.catalog.catalog import Catalog
from opensea_metrics.sql.language.catalog.sources import Source

BOUNDS = ("WINDOWSTART", "WINDOWEND", "ROWTIME")
_OF_FIRST = (
    "MIN", "MAX", "LATEST_BY_OFFSET", "EARLIEST_BY_OFFSET", "AS_VALUE", "LAG", "LEAD", "FIRST_VALUE", "LAST_VALUE",
    "COALESCE", "IFNULL", "NULLIF", "GREATEST", "LEAST",
)  # fmt: skip
"""Functions whose result is a time if their first argument is one."""
_MAKING = ("UNIX_TIMESTAMP", "STRINGTOTIMESTAMP")
_GENERATED = re.compile(r"KSQL_COL_(\d+)")


class SourceDefinitions(Protocol):
    """Looks up sources, and the SELECTs that write into them."""

    def source(self, name: str) -> Source | None:
        """The stream or table with this name, or None."""

    def select_into(self, name: str) -> exp.Expression | None:
        """The SELECT of an INSERT INTO that writes into a declared stream. None if there is no such INSERT."""

    def sources_of(self, topic: str) -> Iterable[str]:
        """The names of the sources over a topic."""


class Moments:
    """Finds columns that hold times by following them to the statements that define them."""

    def __init__(self, definitions: SourceDefinitions) -> None:
        self._definitions = definitions
        self._known: dict[tuple[str, str], bool] = {}

    def of_source(self, name: str) -> frozenset[str]:
        """The names of a source's columns that hold times, with its window's bounds."""
        source = self._definitions.source(name)
        columns = [column.name for column in source.columns] if source else []
        return frozenset([*BOUNDS, *(column for column in columns if self._is_time(name, column))])

    def is_time_in(self, query: exp.Expression, column: str) -> bool:
        """True if a column of a SELECT's result is a time."""
        generated = 0
        number = int(match[1]) if (match := _GENERATED.fullmatch(column)) else None
        for item in query.expressions:
            match item:
                case exp.Alias():
                    name, value = name_of(item.args["alias"]), item.this
                case exp.Column(this=exp.Identifier()):
                    name, value = name_of(item.this), item
                case exp.Star() | exp.Column():
                    if any(self._is_time(source, name) for source, name in self._starred(query, column)):
                        return True
                    continue
                case _:
                    is_it = number in (generated, query.expressions.index(item))
                    name, value = column if is_it else "", item
                    generated += 1
            if name == column:
                return self._is_moment(value, query)
        return False

    def _starred(self, query: exp.Expression, column: str) -> Iterator[tuple[str, str]]:
        """The sources of a ``*`` that may have a column, with its name there. A join puts the alias before it."""
        for alias, source in _references(query).items():
            yield source, column.removeprefix(f"{alias}_") if query.args["joins"] else column

    def _is_moment(self, value: exp.Expression, query: exp.Expression) -> bool:
        match value:
            case exp.Column():
                name, sources = name_of(value.this), _references(query)
                if name in BOUNDS:
                    return True
                alias = name_of(value.args["table"]) if value.args.get("table") else None
                return any(self._is_time(s, name) for a, s in sources.items() if alias in (None, a, s))
            case exp.Anonymous():
                name = str(value.this).upper()
                first = value.expressions[:1]
                return name in _MAKING or (name in _OF_FIRST and any(self._is_moment(e, query) for e in first))
            case exp.Add() | exp.Sub():  # two times give a duration
                return self._is_moment(value.this, query) != self._is_moment(value.expression, query)
            case exp.Case():
                return any(self._is_moment(branch.args["true"], query) for branch in value.args["ifs"])
            case exp.Paren() | exp.Window():
                return self._is_moment(value.this, query)
        return False

    def _is_time(self, source: str, column: str) -> bool:
        if column in BOUNDS:
            return True
        if (source, column) not in self._known:
            self._known[source, column] = False  # stops the recursion for sources that read each other
            self._known[source, column] = self._is_defined_as_time(source, column)
        return self._known[source, column]

    def _is_defined_as_time(self, name: str, column: str) -> bool:
        source = self._definitions.source(name)
        if source is None or not any(c.name == column and c.type == BIGINT for c in source.columns):
            return False
        if source.timestamp == column:
            return True
        query = source.statement.ast.args.get("query") or self._definitions.select_into(name)
        if query is not None:
            return self.is_time_in(query, column)
        # A declared source has the columns of the source that writes its topic.
        others = (other for other in self._definitions.sources_of(source.topic) if other != name)
        return any(self._is_time(other, column) for other in others)


class CatalogDefinitions:
    """The definitions of a catalog."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def source(self, name: str) -> Source | None:
        return self._catalog.sources.get(name)

    def select_into(self, name: str) -> exp.Expression | None:
        queries = (query.analysis.statement for query in self._catalog.queries.values() if query.sink == name)
        return next((statement.ast.args["query"] for statement in queries), None)

    def sources_of(self, topic: str) -> list[str]:
        return [source.name for source in self._catalog.sources.values() if source.topic == topic]


def _references(query: exp.Expression) -> dict[str, str]:
    """The sources of a SELECT by their aliases."""
    items = (query.args["source"], *(join.this for join in query.args["joins"]))
    return {name_of(item.args.get("alias") or item.this): name_of(item.this) for item in items}
