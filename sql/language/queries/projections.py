"""The columns of a SELECT, with the names that ksqlDB gives them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from sqlglot import exp

from opensea_metrics.core.types import BIGINT, INTEGER, NULL, KsqlType, StructType, name_of
from opensea_metrics.sql.language.catalog.sources import Column, Source
from opensea_metrics.sql.language.dialect.naming import SYSTEM_COLUMNS
from opensea_metrics.sql.language.dialect.rewriting import identifier, rewritten
from opensea_metrics.sql.language.queries.analysis import Projection
from opensea_metrics.sql.language.queries.inference import infer
from opensea_metrics.sql.language.queries.scope import Scope, shown
from opensea_metrics.sql.language.statements.statements import Kind

PSEUDO = (("ROWTIME", BIGINT), ("ROWPARTITION", INTEGER), ("ROWOFFSET", BIGINT))
"""The columns that each source has in addition to its declared columns."""


class Projections:
    """Resolves what a SELECT lists.

    ``sources`` are the sources of FROM and JOIN by their aliases. ``partition`` is PARTITION BY. ``synthetic`` is the
    name of the key that a join adds, with its type.
    """

    def __init__(
        self,
        scope: Scope,
        sources: Mapping[str, Source],
        partition: Sequence[exp.Expression],
        synthetic: tuple[str, KsqlType] | None,
    ) -> None:
        self.scope = scope
        self.sources = sources
        self.partition = partition
        self.synthetic = synthetic
        self.is_join = len(sources) > 1
        names = [name for source in sources.values() for name in source.readable()]
        self._taken = set(names)
        self._clashing = {name for name, count in Counter(names).items() if count > 1}
        self._generated = 0

    def of(self, items: Sequence[exp.Expression]) -> tuple[Projection, ...]:
        """The columns that the items of a SELECT produce. Raises SqlError."""
        return tuple(projection for item in items for projection in self._of(item))

    def normalised(self, expression: exp.Expression) -> exp.Expression:
        """A copy with upper-cased names, in which equal expressions look equal.

        In a join, the source is in front of each column; elsewhere, columns have no source.
        """

        def normalise(part: exp.Expression) -> exp.Expression:
            if isinstance(part, exp.Identifier):
                return identifier(name_of(part), part)
            if isinstance(part, exp.Column):
                owner = self._owner(part) if self.is_join else None
                part.set("table", identifier(owner) if owner else None)
            if isinstance(part, exp.Anonymous):
                part.set("this", str(part.this).upper())
            return part

        return rewritten(expression, normalise)

    def _owner(self, column: exp.Column) -> str | None:
        if column.args.get("table"):
            return name_of(column.args["table"])
        name = name_of(column.this)
        return next((alias for alias, source in self.sources.items() if name in source.readable()), None)

    def _of(self, item: exp.Expression) -> Iterator[Projection]:
        match item:
            case exp.Star():
                yield from self._all(self.sources)
            case exp.Column(this=exp.Star()):
                alias = name_of(item.args["table"])
                if alias not in self.sources:
                    known = " or ".join(self.sources)
                    raise self.scope.error(item, f"Expected alias of `{known}`, but was `{alias}`")
                yield from self._all({alias: self.sources[alias]})
            case exp.Dot(expression=exp.Star()):
                yield from self._fields(item)
            case _:
                yield self._one(item)

    def _all(self, sources: Mapping[str, Source]) -> Iterator[Projection]:
        """``*`` or ``alias.*``. PARTITION BY puts its keys first, and the previous keys last."""
        if self.synthetic and len(sources) > 1:
            yield self._column(self.synthetic[0], Column(*self.synthetic))
        keys = []
        for key in self.partition:
            if isinstance(key, exp.Null):
                continue
            expression = self.normalised(key)
            kind = infer(key, self.scope)
            name = self._name_in(key) if isinstance(key, exp.Column) else self._generated_name(key)
            keys.append(expression)
            yield Projection(Column(name, kind), expression)
        for alias, source in sources.items():
            for column in self._starred(source):
                name = f"{alias}_{column.name}" if self.is_join else column.name
                projection = self._column(name, column, alias)
                if projection.expression not in keys:
                    yield projection

    def _starred(self, source: Source) -> list[Column]:
        """The columns of ``*``. In a join and in a client's query, a window's bounds follow the keys."""
        keys = [column for column in source.columns if column.is_key]
        values = [column for column in source.columns if not column.is_key]
        if self.partition:
            return [*values, *([Column(*pseudo) for pseudo in PSEUDO] if self.is_join else []), *keys]
        bounds = []
        if source.window and (self.is_join or self.scope.statement.kind is Kind.SELECT):
            bounds = [Column("WINDOWSTART", BIGINT), Column("WINDOWEND", BIGINT)]
        return [*keys, *bounds, *values]

    def _column(self, name: str, column: Column, alias: str | None = None) -> Projection:
        expression = exp.Column(this=identifier(column.name))
        if alias is not None and self.is_join:
            expression.set("table", identifier(alias))
        return Projection(Column(name, column.type, None if self.is_join else column.role), expression)

    def _fields(self, item: exp.Dot) -> Iterator[Projection]:
        """``struct->*``."""
        kind = infer(item.this, self.scope)
        if not isinstance(kind, StructType) or not isinstance(item.this, exp.Column | exp.Dot):
            message = f"'->*' needs a column that is a STRUCT, not {shown(item.this)} ({kind})"
            raise self.scope.error(item.this, message, "name the column, such as address->*")
        base = self.normalised(item.this)
        for name, field in kind.fields:
            yield Projection(Column(name, field), exp.Dot(this=base.copy(), expression=identifier(name)))

    def _one(self, item: exp.Expression) -> Projection:
        kind = infer(item, self.scope)
        if kind == NULL:
            raise self.scope.error(
                item,
                "Can't infer a type of null. Please explicitly cast it to a required type, e.g."
                " CAST(null AS VARCHAR).",
            )
        expression = self.normalised(item.this if isinstance(item, exp.Alias) else item)
        name = self._name(item)
        role = None
        if isinstance(expression, exp.Column) and not self.is_join:
            (source,) = self.sources.values()
            role = next((c.role for c in source.columns if c.name == expression.name), None)
        return Projection(Column(name, kind, role), expression)

    def _name(self, item: exp.Expression) -> str:
        is_persistent = self.scope.statement.kind is not Kind.SELECT
        match item:
            case exp.Alias():
                name = name_of(item.args["alias"])
                if name.upper() in SYSTEM_COLUMNS:
                    message = (
                        f"`{name.upper()}` is a reserved column name. You cannot use it as an alias for a column."
                    )
                    raise self.scope.error(item.args["alias"], message)
                return name
            case exp.Column() if "is_signed" not in item.meta:
                name = self._name_in(item)
                if name in SYSTEM_COLUMNS and is_persistent:
                    raise self.scope.error(
                        item, f"Reserved column name in select: `{name}`. Please remove or alias the column."
                    )
                return name
        return self._generated_name(item)

    def _name_in(self, column: exp.Column) -> str:
        name = name_of(column.this)
        return f"{self._owner(column)}_{name}" if name in self._clashing else name

    def _generated_name(self, item: exp.Expression) -> str:
        """A field's name, with a number if such a column exists already; or KSQL_COL_ and a number."""
        if isinstance(item, exp.Dot):
            field = name_of(item.expression)
            numbered = (f"{field}_{number}" for number in range(1, len(self._taken) + 2))
            name = next(name for name in (field, *numbered) if name not in self._taken)
            self._taken.add(name)
            return name
        while (name := f"KSQL_COL_{self._generated}") in self._taken:
            self._generated += 1
        self._generated += 1
        return name
