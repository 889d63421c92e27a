"""What a SELECT means over a catalog: its columns, keys and window, with every name resolved."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from sqlglot import exp

from sql import functions
from sql.errors import SqlError, Stage
from sql.inference import Scope, condition_error, infer, shown
from sql.parser import where
from sql.sources import Column, Source, Window
from sql.statements import Kind, Statement
from sql.types import BIGINT, BOOLEAN, NULL, name_of


@dataclass(frozen=True)
class Projection:
    """One column of the result; in ``expression`` names are upper-cased and unqualified."""

    column: Column
    expression: exp.Expression


@dataclass(frozen=True, eq=False)
class Analysis:
    """A SELECT, resolved. ``source`` is the (first) source; ``group`` is empty without GROUP BY.

    Compared by identity, so that what is made of it can be kept beside it (functools.cache).
    """

    statement: Statement
    source: Source
    joined: tuple[Source, ...]
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
    def columns(self) -> tuple[Column, ...]:
        """The result's columns, keys first, as a sink has them."""
        columns = [projection.column for projection in self.projections]
        return tuple(sorted(columns, key=lambda column: not column.is_key))


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
            inner = replace(scope, clause=clause.upper())
            if (kind := infer(condition, inner)) not in (BOOLEAN, NULL):
                raise condition_error(condition, kind, inner)
    named = list(zip(aliases, (source, *joined), strict=True))
    projections = tuple(_projections(query, scope, named))
    group = tuple(normalised(e) for e in query.args.get("group") or ())
    partition = tuple(normalised(e) for e in query.args.get("partition") or ())
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
    return _checked(analysis)


def aggregates(expression: exp.Expression) -> Iterator[exp.Anonymous]:
    """The calls of aggregate functions in an expression."""
    return _calls(expression, "aggregate")


def table_calls(expression: exp.Expression) -> Iterator[exp.Anonymous]:
    """The calls of table functions in an expression."""
    return _calls(expression, "table")


def _calls(expression: exp.Expression, kind: str) -> Iterator[exp.Anonymous]:
    for call in expression.find_all(exp.Anonymous):
        function = functions.find(str(call.this))
        if function and function.kind == kind:
            yield call


def is_aggregate(expression: exp.Expression) -> bool:
    """True if an aggregate function is called in it."""
    return next(aggregates(expression), None) is not None


def makes_rows(expression: exp.Expression) -> bool:
    """True if a table function is called in it."""
    return next(table_calls(expression), None) is not None


def normalised(expression: exp.Expression) -> exp.Expression:
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
    return None if expression is None else normalised(expression)


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
        expression = normalised(item.this if isinstance(item, exp.Alias) else item)
        if isinstance(item, exp.Alias):
            name = name_of(item.args["alias"])
        elif isinstance(item, exp.Column):
            name = name_of(item.this)
        elif isinstance(item, exp.Dot):
            name = name_of(item.expression)
        else:
            name = f"KSQL_COL_{generated}"
            generated += 1
        role = None
        if isinstance(expression, exp.Column) and len(sources) == 1:
            known = {column.name: column.role for column in sources[0][1].columns}
            role = known.get(expression.name)
        yield Projection(Column(name, kind, role), expression)


def _starred(statement: Statement, source: Source) -> list[Column]:
    """The columns of ``*``: a query of a client sees a window's bounds after the keys."""
    keys = [column for column in source.columns if column.is_key]
    values = [column for column in source.columns if not column.is_key]
    bounds = []
    if source.window and statement.kind is Kind.SELECT:
        bounds = [Column("WINDOWSTART", BIGINT), Column("WINDOWEND", BIGINT)]
    return [*keys, *bounds, *values]


def _checked(analysis: Analysis) -> Analysis:
    """The analysis with the keys that GROUP BY or PARTITION BY give, if the SELECT is allowed."""
    statement = analysis.statement
    names = [projection.column.name for projection in analysis.projections]
    for name in names:
        if names.count(name) > 1:
            kind = next(p.column.type for p in reversed(analysis.projections) if p.column.name == name)
            raise SqlError(
                f"Duplicate value columns found in schema: `{name}` {kind}",
                statement.place,
                stage=Stage.QUERY,
            )
    if analysis.is_aggregation:
        calls = [call for p in analysis.projections for call in aggregates(p.expression)]
        if not analysis.group and statement.kind is not Kind.SELECT:
            raise SqlError(
                f"{statement.kind.value.upper()} statement does not support aggregate function "
                f"[{_without_star(calls[0])}] without a GROUP BY clause.",
                statement.place,
                "for one row over everything: SELECT 'all' AS scope, … GROUP BY 'all'",
                stage=Stage.QUERY,
            )
        if not calls and not (analysis.having is not None and is_aggregate(analysis.having)):
            raise SqlError(
                "GROUP BY requires aggregate functions in either the SELECT or HAVING clause.",
                statement.place,
                stage=Stage.QUERY,
            )
        if not analysis.group:  # a client's query may aggregate everything
            analysis = replace(analysis, group=(exp.true(),))
        return _keyed(analysis, analysis.group, "PRIMARY KEY")
    if analysis.partition:
        return _keyed(analysis, analysis.partition, "KEY")
    if statement.kind is not Kind.SELECT:
        _check_keys(analysis)
    return analysis


def _check_keys(analysis: Analysis) -> None:
    """A persistent query keeps the keys of its source; so they must be selected."""
    selected = {p.expression.name for p in analysis.projections if isinstance(p.expression, exp.Column)}
    missing = [c.name for c in analysis.source.columns if c.is_key and c.name not in selected]
    if missing and not analysis.joined:
        raise SqlError(
            f"Key missing from projection (ie, SELECT). \nThe query used to build "
            f"`{analysis.statement.name}` must include the key column {missing[0]} in its projection "
            f"(eg, SELECT {missing[0]}...).",
            analysis.statement.place,
            stage=Stage.QUERY,
        )


def _without_star(call: exp.Anonymous) -> str:
    """A call as ksqlDB names it in a message: it puts ROWTIME in the place of a star."""
    arguments = ", ".join(
        "ROWTIME" if isinstance(argument, exp.Star) else shown(argument)
        for argument in call.expressions
    )
    return f"{call.this}({arguments or 'ROWTIME'})"


def _keyed(
    analysis: Analysis, keys: tuple[exp.Expression, ...], role: str
) -> Analysis:
    statement = analysis.statement
    projections = []
    found = set()
    for projection in analysis.projections:
        is_key = projection.expression in keys and projection.expression not in found
        if is_key:
            found.add(projection.expression)
        elif analysis.is_aggregation:
            _check_grouped(statement, projection.expression, keys)
        column = Column(projection.column.name, projection.column.type, role if is_key else None)
        projections.append(Projection(column, projection.expression))
    missing = [key for key in keys if key not in found]
    if missing and statement.kind is not Kind.SELECT:
        clause = "grouping" if analysis.is_aggregation else "partitioning"
        text = shown(missing[0])
        raise SqlError(
            f"Key missing from projection (ie, SELECT). \nThe query used to build `{statement.name}` "
            f"must include the {clause} expression {text} in its projection (eg, SELECT {text}...).",
            where(statement, missing[0]),
            "ksqlDB keeps it as the key of the result, so it must be selected",
            stage=Stage.QUERY,
        )
    return replace(analysis, projections=tuple(projections))


def _check_grouped(
    statement: Statement, expression: exp.Expression, keys: tuple[exp.Expression, ...]
) -> None:
    """Every column outside an aggregate must be a GROUP BY expression (or the window's bounds)."""
    if expression in keys:
        return
    if isinstance(expression, exp.Anonymous):
        function = functions.find(str(expression.this))
        if function and function.kind == "aggregate":
            return
    if isinstance(expression, exp.Column):
        if expression.name in ("WINDOWSTART", "WINDOWEND"):
            return
        raise SqlError(
            f"Non-aggregate SELECT expression(s) not part of GROUP BY: {expression.name}\n"
            "Either add the column(s) to the GROUP BY or remove them from the SELECT.",
            where(statement, expression),
            stage=Stage.QUERY,
        )
    for part in expression.iter_expressions():
        if not isinstance(part, exp.Identifier | exp.DataType):
            _check_grouped(statement, part, keys)
