"""What a SELECT means over a catalog: its sources, columns and window, with every name resolved."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from sqlglot import exp

from opensea_metrics.core.errors import SqlError, Stage
from opensea_metrics.core.types import BIGINT, NULL, name_of
from opensea_metrics.sql.language.catalog.keys import checked
from opensea_metrics.sql.language.catalog.sources import Column, Source, Window
from opensea_metrics.sql.language.dialect.naming import SYSTEM_COLUMNS
from opensea_metrics.sql.language.queries.analysis import Analysis, Projection, is_aggregate
from opensea_metrics.sql.language.queries.conditions import expect_boolean
from opensea_metrics.sql.language.queries.inference import infer
from opensea_metrics.sql.language.queries.scope import Scope
from opensea_metrics.sql.language.statements.parser import where
from opensea_metrics.sql.language.statements.statements import Kind, Statement


def analyse(statement: Statement, query: exp.Expression, sources: dict[str, Source]) -> Analysis:
    """Resolve a SELECT against the sources that there are. Raises SqlError."""
    first, *rest = [query.args["source"], *(join.this for join in query.args["joins"])]
    source = _find(statement, first, sources)
    joined = tuple(_find(statement, item, sources) for item in rest)
    aliases = [_alias(item) for item in (first, *rest)]
    columns = {
        alias: known.readable() for alias, known in zip(aliases, (source, *joined), strict=True)
    }
    window = _window(statement, query.args.get("window"))
    if window:
        columns[aliases[0]] |= {"WINDOWSTART": BIGINT, "WINDOWEND": BIGINT}
    scope = Scope(statement, columns)
    for clause in ("group", "partition"):
        for expression in query.args.get(clause) or ():
            infer(expression, replace(scope, clause=f"{clause.upper()} BY"))
    for clause in ("where", "having"):
        if (condition := query.args.get(clause)) is not None:
            expect_boolean(condition, replace(scope, clause=clause.upper()), infer)
    named = list(zip(aliases, (source, *joined), strict=True))
    projections = tuple(_projections(query, scope, named))
    group = tuple(_normalised(e) for e in query.args.get("group") or ())
    partition = tuple(_normalised(e) for e in query.args.get("partition") or ())
    for join in query.args["joins"]:
        infer(join.args["on"], scope)
    limit = query.args.get("limit")
    analysis = Analysis(
        statement=statement,
        source=source,
        joined=joined,
        projections=projections,
        window=window or (source.window if not group else None),
        where=_normalised_or_none(query.args.get("where")),
        group=group,
        partition=partition,
        having=_normalised_or_none(query.args.get("having")),
        # A persistent query emits changes, said or not.
        emit=query.args.get("emit") or (None if statement.kind is Kind.SELECT else "CHANGES"),
        limit=int(limit.this) if limit else None,
        is_aggregation=bool(group) or any(is_aggregate(p.expression) for p in projections),
    )
    return checked(analysis)


def _normalised(expression: exp.Expression) -> exp.Expression:
    """A copy in which equal things look equal: upper-cased names, no sources before columns."""

    def normalise(part: exp.Expression) -> exp.Expression:
        if isinstance(part, exp.Identifier):
            name = exp.Identifier(this=name_of(part), quoted=True)
            name.meta.update(part.meta)
            return name
        if isinstance(part, exp.Column) and part.args.get("table"):
            part.set("table", None)
        if isinstance(part, exp.Anonymous):
            part.set("this", str(part.this).upper())
        return part

    return expression.copy().transform(normalise)


def _normalised_or_none(expression: exp.Expression | None) -> exp.Expression | None:
    return None if expression is None else _normalised(expression)


def _find(statement: Statement, item: exp.Expression, sources: dict[str, Source]) -> Source:
    name = name_of(item.this)
    if name not in sources:
        hint = "create it in an earlier migration or statement"
        raise SqlError(
            f"{name} does not exist.", where(statement, item.this), hint, stage=Stage.SOURCES
        )
    return sources[name]


def _alias(item: exp.Expression) -> str:
    return name_of(item.args.get("alias") or item.this)


def _window(statement: Statement, window: exp.Expression | None) -> Window | None:
    if window is None:
        return None

    def duration(name: str) -> int | None:
        value = window.args.get(name)
        return int(value.this) if value is not None else None

    size = duration("size")
    assert size is not None
    if size == 0:
        raise SqlError("Size must be positive", statement.place, stage=Stage.QUERY)
    grace = duration("grace")
    if grace is None:
        grace = max(0, 86_400_000 - size)
    retention = duration("retention")
    if retention is not None and retention < size + grace:
        raise SqlError(
            "The retention period of the window store Aggregate-Aggregate-Materialize must be no smaller "
            f"than its window size plus the grace period. Got size=[{size}], grace=[{grace}], "
            f"retention=[{retention}]",
            statement.place,
            code=50000,
        )
    kind = str(window.args["kind"])
    return Window(kind, size, duration("advance") or size, grace)


def _projections(
    query: exp.Expression, scope: Scope, sources: list[tuple[str, Source]]
) -> Iterator[Projection]:
    generated = 0
    roles = {column.name: column.role for column in sources[0][1].columns} if len(sources) == 1 else {}
    for item in query.expressions:
        if isinstance(item, exp.Star):
            for alias, source in sources:
                prefix = f"{alias}_" if len(sources) > 1 else ""
                for column in _starred(scope.statement, source):
                    identifier = exp.Identifier(this=column.name, quoted=True)
                    renamed = Column(prefix + column.name, column.type, column.role)
                    yield Projection(renamed, exp.Column(this=identifier))
            continue
        kind = infer(item, scope)
        if kind == NULL:
            raise scope.error(
                item,
                "Can't infer a type of null. Please explicitly cast it to a required type, e.g."
                " CAST(null AS VARCHAR).",
            )
        expression = _normalised(item.this if isinstance(item, exp.Alias) else item)
        if isinstance(item, exp.Alias):
            name = name_of(item.args["alias"])
            if name.upper() in SYSTEM_COLUMNS:
                raise scope.error(
                    item.args["alias"],
                    f"`{name.upper()}` is a reserved column name. You cannot use it as an alias for a column.",
                )
        elif isinstance(item, exp.Column):
            name = name_of(item.this)
            if name in SYSTEM_COLUMNS and scope.statement.kind is not Kind.SELECT:
                raise scope.error(
                    item, f"Reserved column name in select: `{name}`. Please remove or alias the column."
                )
        elif isinstance(item, exp.Dot):
            name = name_of(item.expression)
        else:
            name = f"KSQL_COL_{generated}"
            generated += 1
        role = roles.get(expression.name) if isinstance(expression, exp.Column) else None
        yield Projection(Column(name, kind, role), expression)


def _starred(statement: Statement, source: Source) -> list[Column]:
    """The columns of ``*``: a query of a client sees a window's bounds after the keys."""
    keys = [column for column in source.columns if column.is_key]
    values = [column for column in source.columns if not column.is_key]
    bounds = []
    if source.window and statement.kind is Kind.SELECT:
        bounds = [Column("WINDOWSTART", BIGINT), Column("WINDOWEND", BIGINT)]
    return [*keys, *bounds, *values]
