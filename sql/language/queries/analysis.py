"""A SELECT with every name resolved, as frozen data, and the function calls in its expressions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlglot import exp

from opensea_metrics.core.types import KsqlType
from opensea_metrics.sql.language.catalog.sources import Column, Source, Window
from opensea_metrics.sql.language.dialect.rewriting import nodes
from opensea_metrics.sql.language.functions import library as functions
from opensea_metrics.sql.language.statements.statements import Statement

_DAY = 86_400_000  # ms


@dataclass(frozen=True)
class Projection:
    """One column of the result. The names in ``expression`` are upper-cased and unqualified."""

    column: Column
    expression: exp.Expression


@dataclass(frozen=True)
class JoinWindow:
    """WITHIN: how long before and after the left record the right one may be, in ms. Without GRACE PERIOD, ``grace``
    is None, and a row does not wait for a match.
    """

    before: int
    after: int
    grace: int | None

    @property
    def kept(self) -> int:
        """How long (ms of the stream time of the record's side) a record can find a match."""
        grace = max(0, _DAY - 2 * self.before) if self.grace is None else self.grace
        return self.before + self.after + grace

    def span(self, side: str) -> tuple[int, int]:
        """How long before and after the left record the right one may be, in ms.

        ``side`` is INNER, LEFT, RIGHT or FULL. ksqlDB runs a RIGHT join as a LEFT join of the other side, and WITHIN
        then counts from the right record.
        """
        return (self.after, self.before) if side == "RIGHT" else (self.before, self.after)


@dataclass(frozen=True)
class JoinStep:
    """One join of a SELECT. ``side`` is INNER, LEFT, RIGHT or FULL.

    ``left`` and ``right`` are the two sides of ON: of the sources so far, and of the new source. Only joins of two
    streams have a ``window``. With ``is_foreign``, the left side is not the key of the left table. With ``keeps_key``,
    the left side is the key that the joins before have given. The records then keep this key, even where the column of
    ON is NULL because it has no match.
    """

    side: str
    left: exp.Expression
    right: exp.Expression
    window: JoinWindow | None
    is_foreign: bool
    keeps_key: bool


@dataclass(frozen=True)
class JoinKey:
    """The key of a join's result.

    ``viable`` are the columns with the key's value, as (alias, name). The first selected one is the key. With
    ``is_foreign``, the SELECT needs all of them, because they are the primary key of the left table. If there are no
    such columns, ksqlDB adds the column ``synthetic``, which has the key's type.
    """

    viable: tuple[tuple[str, str], ...] = ()
    is_foreign: bool = False
    synthetic: tuple[str, KsqlType] | None = None

    @property
    def columns(self) -> list[exp.Expression]:
        """The columns of ``viable``, or the one that ksqlDB adds, as a SELECT names them."""
        if self.synthetic is not None:
            return [exp.Column(this=exp.Identifier(this=self.synthetic[0], quoted=True))]
        return [
            exp.Column(this=exp.Identifier(this=column, quoted=True), table=exp.Identifier(this=alias, quoted=True))
            for alias, column in self.viable
        ]


@dataclass(frozen=True, eq=False)
class Analysis:
    """A resolved SELECT. ``source`` is the first source. ``group`` is empty without GROUP BY.

    ``aliases`` are the aliases of ``source`` and of the sources in ``joined``. ``joins`` has their joins from left to
    right.
    ``synthetic`` is the name and the type of a key that the joins add.

    Instances are compared by identity, so functions of them can be cached (functools.cache).
    """

    statement: Statement
    source: Source
    joined: tuple[Source, ...]
    aliases: tuple[str, ...]
    joins: tuple[JoinStep, ...]
    synthetic: tuple[str, KsqlType] | None
    projections: tuple[Projection, ...]
    window: Window | None
    where: exp.Expression | None
    group: tuple[exp.Expression, ...]
    partition: tuple[exp.Expression, ...]
    having: exp.Expression | None
    emit: str | None
    limit: int | None
    is_aggregation: bool

    @property
    def sources(self) -> tuple[Source, ...]:
        """All sources, in the order of FROM and JOIN."""
        return (self.source, *self.joined)

    @property
    def is_ordered(self) -> bool:
        """True if records of several sources, or the changes of a table, must be put into one order first."""
        return bool(self.joined) or self.source.is_table

    @property
    def is_plain_aggregation(self) -> bool:
        """True for an aggregation of the records of one stream."""
        return self.is_aggregation and not self.is_ordered

    @property
    def gives_table(self) -> bool:
        """True if the result is a table."""
        return self.is_aggregation or all(source.is_table for source in self.sources)

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns of the result, in the order of a sink: keys first, in the order of GROUP BY or PARTITION BY."""
        places = {key: place for place, key in enumerate(self.group or self.partition)}

        def order(projection: Projection) -> tuple[bool, int]:
            is_key = projection.column.is_key
            return not is_key, places.get(projection.expression, 0) if is_key else 0

        return tuple(projection.column for projection in sorted(self.projections, key=order))


def aggregates(expression: exp.Expression) -> Iterator[exp.Anonymous]:
    """The calls of aggregate functions in an expression."""
    yield from calls_by_kind(expression)[0]


def table_calls(expression: exp.Expression) -> Iterator[exp.Anonymous]:
    """The calls of table functions in an expression."""
    yield from calls_by_kind(expression)[1]


def calls_by_kind(expression: exp.Expression) -> tuple[list[exp.Anonymous], list[exp.Anonymous]]:
    """The calls of aggregate functions, and those of table functions, in an expression."""
    aggregate: list[exp.Anonymous] = []
    table: list[exp.Anonymous] = []
    for call in nodes(expression):
        if isinstance(call, exp.Anonymous) and (function := functions.find(str(call.args["this"]))):
            if function.kind == "aggregate":
                aggregate.append(call)
            elif function.kind == "table":
                table.append(call)
    return aggregate, table


def is_aggregate(expression: exp.Expression) -> bool:
    """True if the expression calls an aggregate function."""
    return next(aggregates(expression), None) is not None


def makes_rows(expression: exp.Expression) -> bool:
    """True if the expression calls a table function."""
    return next(table_calls(expression), None) is not None
