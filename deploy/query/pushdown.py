"""Splits a SELECT. The server answers one pull query for each source, with its share of the WHERE clause."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlglot import exp

from opensea_metrics.core.quoting import ksqldb_quoted
from opensea_metrics.core.types import KsqlType
from opensea_metrics.deploy.query.names import NameResolver, Part


@dataclass(frozen=True)
class PullQuery:
    """A pull query for the needed ``columns`` of one source, without LIMIT."""

    part: Part
    columns: tuple[tuple[str, KsqlType], ...]
    condition: str

    def text(self, limit: int) -> str:
        """The query for at most ``limit`` rows."""
        names = ", ".join(ksqldb_quoted(name) for name, _ in self.columns)
        where = f" WHERE {self.condition}" if self.condition else ""
        return f"SELECT {names} FROM {ksqldb_quoted(self.part.source.name)}{where} LIMIT {limit};"


def split_where(names: NameResolver) -> tuple[dict[str, list[exp.Expression]], list[exp.Expression]]:
    """The conditions that the server checks, by alias, and those that are checked after the join.

    A condition on one source is checked before the join, unless an outer join may replace that source's rows with NULL.
    """
    where = names.select.query.args.get("where")
    pushed: dict[str, list[exp.Expression]] = {part.alias: [] for part in names.parts}
    if where is None:
        return pushed, []
    if not names.is_join:
        names.owners(where)  # raises for unknown columns
        return {names.parts[0].alias: [where]}, []
    rest, nullable = [], _nullable(names.parts)
    for condition in _conditions(where):
        owners = names.owners(condition)
        if len(owners) == 1 and not owners & nullable:
            pushed[owners.pop()].append(condition)
        else:
            rest.append(condition)
    return pushed, rest


def pulls(names: NameResolver, pushed: dict[str, list[exp.Expression]], used: set[str]) -> tuple[PullQuery, ...]:
    """The pull queries for the columns in ``used``, by the relation's names."""
    result = []
    for part in names.parts:
        readable = part.source.readable().items()
        columns = [(name, kind) for name, kind in readable if names.name(part.alias, name) in used]
        columns = columns or [(part.source.columns[0].name, part.source.columns[0].type)]
        condition = " AND ".join(f"({_text(item)})" for item in pushed[part.alias])
        result.append(PullQuery(part, tuple(columns), condition))
    return tuple(result)


def _conditions(where: exp.Expression) -> Iterator[exp.Expression]:
    if isinstance(where, exp.And):
        yield from _conditions(where.this)
        yield from _conditions(where.expression)
    else:
        yield where


def _nullable(parts: Sequence[Part]) -> set[str]:
    """The aliases of sources whose columns an outer join may fill with NULL."""
    nullable: set[str] = set()
    for at, part in enumerate(parts):
        side = str(part.join.args["side"]) if part.join else ""
        if side in ("LEFT", "FULL"):
            nullable.add(part.alias)
        if side in ("RIGHT", "FULL"):
            nullable |= {other.alias for other in parts[:at]}
    return nullable


def _text(condition: exp.Expression) -> str:
    """A condition in ksqlDB's SQL, without aliases."""

    def plain(part: exp.Expr) -> exp.Expr:
        if isinstance(part, exp.Column):
            part.set("table", None)
        return part

    return condition.copy().transform(plain, copy=False).sql(dialect="ksqldb")
