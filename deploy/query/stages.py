"""Writes the part of a SELECT that runs over pulled rows in DuckDB's SQL, one relation after another.

Order of the stages: join, WHERE, GROUP BY, HAVING, OVER, then the columns with ORDER BY and LIMIT. Expressions are
lowered as in the embedded server, so they mean what they mean in ksqlDB. Rows whose group key is NULL are dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlglot import exp

from opensea_metrics.core.errors import SqlError
from opensea_metrics.core.quoting import column as duckdb_column
from opensea_metrics.core.types import KsqlType, duckdb, name_of
from opensea_metrics.deploy.query.grammar import Over, Term
from opensea_metrics.deploy.query.names import NameResolver, column_of
from opensea_metrics.deploy.query.over import over_sql, over_type
from opensea_metrics.sql.language.lowering.duckdb.aggregates import aggregate
from opensea_metrics.sql.language.lowering.duckdb.expressions import Lowering
from opensea_metrics.sql.language.queries.analysis import aggregates
from opensea_metrics.sql.language.queries.conditions import expect_boolean
from opensea_metrics.sql.language.queries.inference import infer
from opensea_metrics.sql.language.queries.scope import Scope, shown

Replacements = Mapping[exp.Expression, exp.Column]
_BY_ORDER = ("LATEST_BY_OFFSET", "EARLIEST_BY_OFFSET")


@dataclass(frozen=True)
class Relation:
    """A SELECT in DuckDB's SQL. ``columns`` are its columns with their types; it also has ``_off``, a row's number."""

    columns: Mapping[str, KsqlType]
    sql: str


@dataclass(frozen=True)
class LocalQuery:
    """A whole SELECT: the SQL, and the columns of its result."""

    sql: str
    columns: tuple[tuple[str, KsqlType], ...]
    steps: tuple[str, ...]
    """The work that this tool does itself, in words: joined, grouped, ranked, sorted."""


class Stages:
    """Writes one SELECT."""

    def __init__(self, names: NameResolver) -> None:
        query = names.select.query
        self.names = names
        self.projections = names.projections()
        self.order: list[exp.Expression] = [self._with_aliases(term) for term in names.select.order]
        self.group = [self._key(key) for key in query.args.get("group") or ()]
        having = query.args.get("having")
        self.having = None if having is None else names.resolved(having)

    def used(self, conditions: Sequence[exp.Expression]) -> set[str]:
        """The columns of the relation that the SELECT reads, with those of some conditions."""
        joins = [part.join.args["on"] for part in self.names.parts if part.join is not None]
        resolved = [self.names.resolved(condition) for condition in (*joins, *conditions)]
        read = [*(e for _, e in self.projections), *self.order, *self.group, *resolved]
        read += [self.having] if self.having is not None else []
        names = {name_of(column.this) for item in read for column in item.find_all(exp.Column)}
        return names & set(self.names.columns)

    def write(self, tables: Mapping[str, Relation], conditions: Sequence[exp.Expression]) -> LocalQuery:
        """The SELECT over the pulled rows of each alias. ``conditions`` are checked after the join. Raises SqlError."""
        steps = ["joined"] if self.names.is_join else []
        relation = self._joined(tables)
        for condition in conditions:
            relation = self._filtered(relation, self.names.resolved(condition), "WHERE")
        calls = list(dict.fromkeys(call for item in self._items() for call in _grouped_calls(item)))
        if self.group or calls or self.having is not None:
            steps.append("grouped")
            relation, replacements = self._grouped(relation, calls)
            self._replace(replacements, self._check_grouped)
            if self.having is not None:
                relation = self._filtered(relation, self.having, "HAVING")
        overs = list(dict.fromkeys(over for item in self._items() for over in item.find_all(Over)))
        if overs:
            steps.append("ranked")
            relation, replacements = self._ranked(relation, overs)
            self._replace(replacements, lambda _: None)
        if self.order:
            steps.append("sorted")
        return self._finished(relation, tuple(steps))

    def _aliased(self, name: exp.Expression) -> exp.Expression | None:
        """The expression of the result's column with this name."""
        is_name = isinstance(name, exp.Column) and not name.args.get("table")
        return dict(self.projections).get(name_of(name.this)) if is_name else None

    def _key(self, key: exp.Expression) -> exp.Expression:
        """A resolved key of GROUP BY. A name refers first to the source's columns, then to the result's."""
        if isinstance(key, exp.Literal):
            raise self.names.scope.error(key, "GROUP BY takes columns and expressions, not a constant")
        chosen = self._aliased(key)
        is_column = isinstance(key, exp.Column) and name_of(key.this) in self.names.columns
        return self.names.resolved(key) if chosen is None or is_column else chosen

    def _with_aliases(self, term: Term) -> Term:
        """A resolved term of ORDER BY: the name or number of a column of the result, or an expression."""
        value = term.this
        if isinstance(value, exp.Literal) and not value.is_string:
            position = int(value.this) if str(value.this).isdigit() else 0
            if not 1 <= position <= len(self.projections):
                message = f"ORDER BY {value.this}: the query has columns 1 to {len(self.projections)}"
                raise self.names.scope.error(value, message, "write a column's number or name")
            chosen = self.projections[position - 1][1]
        else:
            chosen = self._aliased(value) or self.names.resolved(value)
        return Term(this=chosen.copy(), descending=term.args["descending"], nulls_first=term.args["nulls_first"])

    def _items(self) -> Iterator[exp.Expression]:
        yield from (expression for _, expression in self.projections)
        yield from self.order
        if self.having is not None:
            yield self.having

    def _replace(self, replacements: Replacements, check: Callable[[exp.Expression], None]) -> None:
        def replaced(item: exp.Expression) -> exp.Expression:
            changed = item.copy().transform(lambda part: replacements.get(part, part), copy=False)
            check(changed)
            return changed

        self.projections = [(name, replaced(expression)) for name, expression in self.projections]
        self.order = [replaced(term) for term in self.order]
        self.having = None if self.having is None else replaced(self.having)

    def _check_grouped(self, expression: exp.Expression) -> None:
        for column in expression.find_all(exp.Column):
            if (name := name_of(column.this)) in self.names.columns:
                message = f"{name} is neither in GROUP BY nor inside an aggregate"
                raise self.names.scope.error(column, message, f"write GROUP BY {name}, or MAX({name})")

    def _lowering(self, relation: Relation) -> Lowering:
        return Lowering(Scope(self.names.select.statement, {"": relation.columns}))

    def _joined(self, tables: Mapping[str, Relation]) -> Relation:
        first, *rest = self.names.parts
        relation = tables[first.alias]
        for part in rest:
            assert part.join is not None
            right = tables[part.alias]
            both = Relation({**relation.columns, **right.columns}, "")
            condition = self.names.resolved(part.join.args["on"])
            expect_boolean(condition, Scope(self.names.select.statement, {"": both.columns}, clause="JOIN"), infer)
            on = self._lowering(both).whole_condition(condition)
            columns = ", ".join(map(duckdb_column, both.columns))
            side = part.join.args["side"]
            sql = f"SELECT {columns} FROM ({relation.sql}) {side} JOIN ({right.sql}) ON {on}"
            relation = Relation(both.columns, sql)
        if rest:
            return Relation(relation.columns, f"SELECT *, row_number() OVER () AS _off FROM ({relation.sql})")
        return relation

    def _filtered(self, relation: Relation, condition: exp.Expression, clause: str) -> Relation:
        expect_boolean(condition, Scope(self.names.select.statement, {"": relation.columns}, clause=clause), infer)
        kept = self._lowering(relation).whole_condition(condition)
        return Relation(relation.columns, f"SELECT * FROM ({relation.sql}) WHERE {kept}")

    def _grouped(self, relation: Relation, calls: Sequence[exp.Anonymous]) -> tuple[Relation, Replacements]:
        lowering = self._lowering(relation)
        columns: dict[str, KsqlType] = {}
        replacements: dict[exp.Expression, exp.Column] = {}
        keys, partial, tidy, finished = [], [], [], []
        for at, key in enumerate(self.group):
            keys.append(f"{lowering.whole(key)} AS _k{at}")
            finished.append(f"_k{at} AS {duckdb_column(f'(key {at})')}")
            columns[f"(key {at})"] = infer(key, lowering.scope)
            replacements[key] = column_of(f"(key {at})")
        position = 0
        for at, call in enumerate(calls):
            if (name := str(call.this)) in _BY_ORDER:
                hint = "sort by ROWTIME with ROW_NUMBER() OVER (…) instead"
                raise self.names.scope.error(call, f"{name} needs offsets, which pulled rows do not have", hint)
            written = aggregate(call, lowering)
            for part in written.accumulators:
                partial.append(f"{part.partial} AS _a{position}")
                tidy.append(f"{part.tidy.format(a=f'_a{position}')} AS _a{position}")
                position += 1
            first = position - len(written.accumulators)
            value = written.finish.format(a=f"_a{first}", b=f"_a{first + 1}")
            finished.append(f"{value} AS {duckdb_column(f'(value {at})')}")
            columns[f"(value {at})"] = infer(call, lowering.scope)
            replacements[call] = column_of(f"(value {at})")
        key_names = [f"_k{at}" for at in range(len(keys))]
        by = f" GROUP BY {', '.join(str(at + 1) for at in range(len(keys)))}" if keys else ""
        rows = f"SELECT {', '.join([*keys, *partial])} FROM ({relation.sql}){by}"
        present = " AND ".join(f"{key} IS NOT NULL" for key in key_names) or "true"
        rows = f"SELECT {', '.join([*key_names, *tidy])} FROM ({rows}) WHERE {present}"
        rows = f"SELECT {', '.join(finished)}, row_number() OVER () AS _off FROM ({rows})"
        return Relation(columns, rows), replacements

    def _ranked(self, relation: Relation, overs: Sequence[Over]) -> tuple[Relation, Replacements]:
        lowering = self._lowering(relation)
        columns = dict(relation.columns)
        replacements: dict[exp.Expression, exp.Column] = {}
        written = []
        for at, over in enumerate(overs):
            name = f"(over {at})"
            written.append(f"{over_sql(over, lowering, self._sorting(over.args['order'], lowering))}"
                           f" AS {duckdb_column(name)}")
            columns[name] = over_type(over, lowering.scope)
            replacements[over] = column_of(name)
        return Relation(columns, f"SELECT *, {', '.join(written)} FROM ({relation.sql})"), replacements

    def _sorting(self, terms: Sequence[exp.Expression], lowering: Lowering) -> str:
        """The ORDER BY of OVER in DuckDB's SQL; '' without terms."""
        written = [f"{lowering.whole(term.this)} {_direction(term)}" for term in terms]
        return f"ORDER BY {', '.join(written)}" if written else ""

    def _finished(self, relation: Relation, steps: tuple[str, ...]) -> LocalQuery:
        lowering = self._lowering(relation)
        columns, written = [], []
        for at, (name, expression) in enumerate(self.projections):
            kind = infer(expression, lowering.scope)
            duckdb(kind)  # raises SqlError for a type that DuckDB does not have
            columns.append((name, kind))
            written.append(f"{lowering.whole(expression)} AS _c{at}")
        # Sort by columns, because DuckDB reads a number in ORDER BY as a position.
        keys = [f"{lowering.whole(term.this)} AS _o{at}" for at, term in enumerate(self.order)]
        order = ", ".join([*(f"_o{at} {_direction(term)}" for at, term in enumerate(self.order)), "_off"])
        limit = self.names.select.query.args.get("limit")
        ending = f" LIMIT {int(limit.this)}" if isinstance(limit, exp.Literal) else ""
        if limit is not None and not ending:
            raise SqlError("LIMIT must not be negative", self.names.select.statement.place, "remove the minus sign")
        inner = f"SELECT {', '.join([*written, *keys, '_off'])} FROM ({relation.sql})"
        shown_columns = ", ".join(f"_c{at}" for at in range(len(written)))
        return LocalQuery(f"SELECT {shown_columns} FROM ({inner}) ORDER BY {order}{ending}", tuple(columns), steps)


def _direction(term: exp.Expression) -> str:
    direction = "DESC" if term.args["descending"] else "ASC"
    return f"{direction} NULLS {'FIRST' if term.args['nulls_first'] else 'LAST'}"


def _grouped_calls(expression: exp.Expression) -> Iterator[exp.Anonymous]:
    """The aggregates of GROUP BY in an expression: those that OVER does not follow."""
    for call in aggregates(expression):
        if not isinstance(call.parent, Over):
            outer = next((o for o in aggregates(expression) if o is not call and call in list(o.walk())), None)
            if outer is not None and not isinstance(outer.parent, Over):
                raise SqlError(f"aggregates cannot be nested: {shown(outer)}")
            yield call
