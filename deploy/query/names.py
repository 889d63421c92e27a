"""The names in a SELECT over pulled rows: every column gets one name in one relation.

The columns of a single source keep their names. In a join, column X of the alias A is called ``A.X``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlglot import exp

from opensea_metrics.core.errors import SqlError
from opensea_metrics.core.types import KsqlType, name_of
from opensea_metrics.deploy.query.grammar import LocalSelect
from opensea_metrics.sql.language.catalog.sources import Source
from opensea_metrics.sql.language.dialect.rewriting import identifier
from opensea_metrics.sql.language.queries.inference import infer
from opensea_metrics.sql.language.queries.scope import Scope
from opensea_metrics.sql.language.statements.parser import where as place_in


@dataclass(frozen=True)
class Part:
    """One source of FROM with its alias, and its join (None for the first source)."""

    alias: str
    source: Source
    join: exp.Expression | None = None


class NameResolver:
    """Resolves the columns of a SELECT."""

    def __init__(self, select: LocalSelect, sources: Mapping[str, Source]) -> None:
        """Raises SqlError if a source is missing in ``sources``, or two have one alias."""
        self.select = select
        query = select.query
        references = [(query.args["source"], None), *((join.this, join) for join in query.args["joins"])]
        self.parts = tuple(
            Part(name_of(item.args.get("alias") or item.this), sources[name_of(item.this)], join)
            for item, join in references
        )
        self.is_join = len(self.parts) > 1
        if len({part.alias for part in self.parts}) < len(self.parts):
            message = "two sources of the query have one name"
            raise SqlError(message, select.statement.place, "give each an alias: FROM t AS a JOIN t AS b")
        self.scope = Scope(select.statement, {part.alias: part.source.readable() for part in self.parts})
        self.columns: dict[str, KsqlType] = {
            self.name(part.alias, column): kind
            for part in self.parts
            for column, kind in part.source.readable().items()
        }

    def name(self, alias: str, column: str) -> str:
        """The name of a source's column in the relation."""
        return f"{alias}.{column}" if self.is_join else column

    def owner(self, column: exp.Column) -> str:
        """The alias of the source that has a column. Raises SqlError for an unknown or ambiguous column."""
        infer(column, self.scope)
        if column.args.get("table"):
            return name_of(column.args["table"])
        return next(part.alias for part in self.parts if name_of(column.this) in part.source.readable())

    def owners(self, expression: exp.Expression) -> set[str]:
        """The aliases of the sources that an expression reads."""
        return {self.owner(column) for column in _columns(expression)}

    def resolved(self, expression: exp.Expression) -> exp.Expression:
        """A copy with the relation's names, in which equal expressions look equal."""

        def resolve(part: exp.Expr) -> exp.Expr:
            if isinstance(part, exp.Column) and not _is_parameter(part):
                name = self.name(self.owner(part), name_of(part.this))
                part.set("this", identifier(name, part.this))
                part.set("table", None)
            elif isinstance(part, exp.Identifier) and not isinstance(part.parent, exp.Column):
                return identifier(name_of(part), part)
            elif isinstance(part, exp.Anonymous):
                part.set("this", str(part.this).upper())
            return part

        changed = expression.copy().transform(resolve, copy=False)
        assert isinstance(changed, exp.Expression)
        return changed

    def projections(self) -> list[tuple[str, exp.Expression]]:
        """The columns of the result: names as ksqlDB gives them, and resolved expressions."""
        return [column for item in self.select.query.expressions for column in self._projection(item)]

    def _projection(self, item: exp.Expression) -> Iterator[tuple[str, exp.Expression]]:
        match item:
            case exp.Star():
                yield from self._all(self.parts)
            case exp.Column(this=exp.Star()):
                alias = name_of(item.args["table"])
                parts = [part for part in self.parts if part.alias == alias]
                if not parts:
                    known = " or ".join(part.alias for part in self.parts)
                    raise self.scope.error(item, f"{alias} is not a source of the query", f"write {known}")
                yield from self._all(parts)
            case exp.Alias():
                yield name_of(item.args["alias"]), self.resolved(item.this)
            case exp.Column():
                yield name_of(item.this), self.resolved(item)
            case exp.Dot():
                yield name_of(item.expression), self.resolved(item)
            case _:
                number = next(n for n, other in enumerate(self.select.query.expressions) if other is item)
                yield f"KSQL_COL_{number}", self.resolved(item)

    def _all(self, parts: Sequence[Part]) -> Iterator[tuple[str, exp.Expression]]:
        """The columns of ``*``: keys, the window's bounds, values."""
        for part in parts:
            keys = [column.name for column in part.source.columns if column.is_key]
            bounds = ["WINDOWSTART", "WINDOWEND"] if part.source.window else []
            values = [column.name for column in part.source.columns if not column.is_key]
            for column in (*keys, *bounds, *values):
                shown = f"{part.alias}_{column}" if self.is_join else column
                yield shown, column_of(self.name(part.alias, column))


def column_of(name: str) -> exp.Column:
    """A column of the relation."""
    return exp.Column(this=identifier(name))


def check_sources(select: LocalSelect, known: Mapping[str, Source], missing_hint: str) -> None:
    """Raises SqlError for the first source of a SELECT that does not exist."""
    for item in (select.query.args["source"], *(join.this for join in select.query.args["joins"])):
        name = name_of(item.this)
        if name not in known:
            raise SqlError(f"{name} does not exist", place_in(select.statement, item.this), missing_hint)


def _columns(expression: exp.Expression) -> Iterator[exp.Column]:
    return (column for column in expression.find_all(exp.Column) if not _is_parameter(column))


def _is_parameter(column: exp.Column) -> bool:
    """True for a lambda's parameter, which looks like a column."""
    outer = column.parent
    while outer is not None and not column.args.get("table"):
        if isinstance(outer, exp.Lambda) and name_of(column.this) in map(name_of, outer.expressions):
            return True
        outer = outer.parent
    return False
