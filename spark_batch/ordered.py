"""Joins, queries over tables, and all changes of groupings, from records that are there in their order.

The way is the same on both engines. An engine computes relations and keeps them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from opensea_metrics.spark_batch.pipeline import QueryPipeline
from opensea_metrics.sql.language.catalog.catalog import Query
from opensea_metrics.sql.language.catalog.sources import Source
from opensea_metrics.sql.language.lowering.ordered.items import OrderedSyntax
from opensea_metrics.sql.language.queries.analysis import Analysis

CARRIED = ("_part", "_gone")
"""Columns of rows in order, in addition to those of their source, ROWTIME and ``_off``: see ``ordered.items``."""


class OrderedEngine(Protocol):
    """What an engine does for ordered queries. Relations are SQL."""

    @property
    def items(self) -> OrderedSyntax: ...

    def keep(self, name: str, relation: str) -> None:
        """Compute a relation, and keep it as a table or view that queries name. The name needs no quotes."""
        ...

    def release(self, name: str) -> None:
        """Drop what was kept."""
        ...

    def rows(self, analysis: Analysis, relation: str, carried: Sequence[str]) -> str:
        """A SELECT without groups, as ``selects.rows`` of the engine."""
        ...

    def changes(self, analysis: Analysis, items: str) -> str:
        """The changes of a table without groups, from a table of items: the SELECT's columns, and their order."""
        ...

    def history(self, analysis: Analysis, relation: str) -> str:
        """All changes of a grouped table: the SELECT's columns, ROWTIME, ``_off``, ``_part`` and ``_gone``."""
        ...

    def as_source(self, source: Source, relation: str, available: Sequence[str], carried: Sequence[str]) -> str:
        """``selects.as_source`` of the engine."""
        ...

    def final(self, query: Query) -> str:
        """The rows of a grouped table."""
        ...


class OrderedQueries:
    """Computes the ordered queries of a pipeline, one after the other."""

    def __init__(self, engine: OrderedEngine, pipeline: QueryPipeline) -> None:
        self._engine = engine
        self._pipeline = pipeline
        self._numbers = {query.id: n for n, query in enumerate((*pipeline.first, *pipeline.later))}
        self._inputs = {source.name: n for n, source in enumerate(pipeline.inputs)}

    def keep_input(self, source: Source, relation: str) -> None:
        """Keep the records of a stream. The relation has ``_hour``, ``_part`` and ``_off`` of each record.

        A server reads the files of an archive by hour and partition, so this is the order of the records.
        """
        columns = [*(self._engine.items.column(column.name) for column in source.columns), "ROWTIME", "_part"]
        rows = f"SELECT {', '.join(columns)}, _hour, _off AS _offset FROM ({relation})"
        numbered = self._engine.items.numbered(rows, "_hour, _part, _offset")
        self._engine.keep(f"input_{self._inputs[source.name]}", numbered)

    def rows(self, source: Source) -> str:
        """A source's rows in their order. Those of a table are its changes, or its newest rows if these are enough."""
        if (number := self._inputs.get(source.name)) is not None:
            return f"SELECT *, false AS _gone FROM input_{number}"
        (query,) = self._pipeline.writers(source.topic)
        analysis = query.analysis
        if not analysis.is_aggregation:
            rows = self._result(query) or self._engine.rows(analysis, self.rows(analysis.source), CARRIED)
        elif query.id in self._pipeline.histories:
            rows = f"SELECT * FROM history_{self._numbers[query.id]}"
        else:
            rows = f"SELECT *, 0 AS _part, false AS _gone FROM ({self._engine.final(query)})"
        names = [column.name for column in analysis.columns]
        return self._engine.as_source(source, rows, names, CARRIED)

    def compute(
        self, query: Query, relation: Callable[[Source], str], group: Callable[[Query, str], None]
    ) -> None:
        """Compute a query, after those that it reads. ``relation`` gives the rows of a source in no order.

        ``group`` computes a grouping from a relation of rows.
        """
        if not query.analysis.is_ordered:
            rows_of = self.rows if self._pipeline.drops_late(query) else relation
            group(query, rows_of(query.analysis.source))
            self.keep_history(query)
        elif not query.analysis.is_aggregation:
            self.select(query)
        else:
            with self.grouped(query) as rows:
                group(query, rows)

    def select(self, query: Query) -> None:
        """Compute a query without groups. A table gets all its changes."""
        from opensea_metrics.sql.language.lowering.ordered import plan  # most runs need no order

        analysis, syntax = query.analysis, self._engine.items
        with self._items(query) as items:
            if not analysis.gives_table:
                numbered = syntax.numbered(plan.relation(syntax, analysis, items), "_n, _s")
                rows = self._engine.rows(analysis, numbered, ["_part"])
                self._engine.keep(self._name(query), f"SELECT *, false AS _gone FROM ({rows})")
                return
            columns = [syntax.column(column.name) for column in analysis.columns]
            numbered = syntax.numbered(self._engine.changes(analysis, items), "_n, _s")
            rows = f"SELECT {', '.join(columns)}, _time AS ROWTIME, _part, _gone, _off FROM ({numbered})"
            self._engine.keep(self._name(query), rows)

    @contextmanager
    def grouped(self, query: Query) -> Iterator[str]:
        """The rows that a grouping over several sources or a table reads, in their order. Keeps its history."""
        from opensea_metrics.sql.language.lowering.ordered import plan

        name, syntax = f"rows_{self._numbers[query.id]}", self._engine.items
        with self._items(query) as items:
            self._engine.keep(name, syntax.numbered(plan.relation(syntax, query.analysis, items), "_n, _s"))
            self.keep_history(query, f"SELECT * FROM {name}")
        yield f"SELECT * FROM {name}"
        self._engine.release(name)

    def keep_history(self, query: Query, relation: str | None = None) -> None:
        """Compute all changes of a grouping, if later queries need them. The relation has the rows that it reads."""
        if query.id in self._pipeline.histories:
            relation = relation or self.rows(query.analysis.source)
            self._engine.keep(f"history_{self._numbers[query.id]}", self._engine.history(query.analysis, relation))

    def final(self, query: Query) -> str | None:
        """The rows of an ordered query without groups: of a table the newest of each key. None for other queries."""
        rows = self._result(query)
        if rows is None or not query.analysis.gives_table:
            return rows
        from opensea_metrics.sql.language.lowering.ordered import tables

        keys = [self._engine.items.column(column.name) for column in query.analysis.columns if column.is_key]
        return tables.newest(rows, keys)

    def _result(self, query: Query) -> str | None:
        is_selected = query.analysis.is_ordered and not query.analysis.is_aggregation
        return f"SELECT * FROM {self._name(query)}" if is_selected else None

    def _name(self, query: Query) -> str:
        return f"selected_{self._numbers[query.id]}"

    @contextmanager
    def _items(self, query: Query) -> Iterator[str]:
        """The items of an ordered query, as SQL for a table. A grouping over tables gets rows with their signs."""
        from opensea_metrics.sql.language.lowering.ordered import plan, tables

        analysis, syntax = query.analysis, self._engine.items
        relations = list(map(self.rows, analysis.sources))
        planned = plan.planned(syntax, analysis, relations, f"items_{self._numbers[query.id]}")
        for name, sql in planned.steps:
            self._engine.keep(name, sql)
        items = planned.result
        is_signed = analysis.is_aggregation and items.is_table
        yield f"({tables.signed(syntax, items)})" if is_signed else items.table
        for name, _ in planned.steps:
            self._engine.release(name)
