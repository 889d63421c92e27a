"""Resolves a SELECT over a catalog: its sources, columns and window, with every name resolved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlglot import exp

from opensea_metrics.core.errors import SqlError, Stage
from opensea_metrics.core.types import BIGINT, name_of
from opensea_metrics.core.wording import nearest
from opensea_metrics.sql.language.catalog.keys import checked
from opensea_metrics.sql.language.catalog.sources import Source, Window
from opensea_metrics.sql.language.functions import library
from opensea_metrics.sql.language.queries.analysis import Analysis, JoinKey, is_aggregate
from opensea_metrics.sql.language.queries.clauses import check_clauses, check_table
from opensea_metrics.sql.language.queries.conditions import expect_boolean
from opensea_metrics.sql.language.queries.inference import infer
from opensea_metrics.sql.language.queries.joins import Joins
from opensea_metrics.sql.language.queries.projections import Projections
from opensea_metrics.sql.language.queries.scope import Scope
from opensea_metrics.sql.language.queries.windowed_sources import (
    check_bounds,
    check_key,
    check_persistent,
)
from opensea_metrics.sql.language.statements.parser import where
from opensea_metrics.sql.language.statements.statements import Kind, Statement


def analyse(statement: Statement, query: exp.Expression, sources: dict[str, Source]) -> Analysis:
    """Resolve a SELECT against the given sources. Raises SqlError.

    The statement keeps the result. A check, a plan and the execution resolve the same statement against equal sources.
    """
    items = [query.args["source"], *(join.this for join in query.args["joins"])]
    # The result depends only on these. Python compares objects by identity first, so this is fast.
    given = id(query), tuple(sources.get(name_of(item.this)) for item in items), library.current()
    kept: tuple[object, Analysis] | None = statement.memo.get("analysis")
    if kept is None or kept[0] != given:
        kept = statement.memo["analysis"] = given, _resolved(statement, query, sources)
    return kept[1]


def _resolved(statement: Statement, query: exp.Expression, sources: dict[str, Source]) -> Analysis:
    first, *rest = [query.args["source"], *(join.this for join in query.args["joins"])]
    source = _find(statement, first, sources)
    joined = tuple(_find(statement, item, sources) for item in rest)
    aliases = [_alias(item) for item in (first, *rest)]
    _check_joined(statement, [source, *joined], aliases)
    named = dict(zip(aliases, (source, *joined), strict=True))
    columns = {alias: known.readable() for alias, known in named.items()}
    window = _window(statement, query.args.get("window"), is_final=query.args.get("emit") == "FINAL")
    if window:
        columns[aliases[0]] |= {"WINDOWSTART": BIGINT, "WINDOWEND": BIGINT}
    scope = Scope(statement, columns)
    joins = Joins(scope, named)
    key = joins.key(query.args["joins"])
    if key and key.synthetic:
        columns[""] = dict([key.synthetic])
    is_pull = statement.kind is Kind.SELECT and not query.args.get("emit")  # the server has its own messages for these
    check_clauses(query, scope)
    if not is_pull:
        check_persistent(statement, named.values())
        check_bounds(query, statement, source)
    if not is_pull and all(known.is_table for known in named.values()):
        check_table(query, scope)
    for clause in ("group", "partition"):
        for expression in query.args.get(clause) or ():
            infer(expression, replace(scope, clause=f"{clause.upper()} BY"))
    for clause in ("where", "having"):
        if (condition := query.args.get(clause)) is not None:
            expect_boolean(condition, replace(scope, clause=clause.upper()), infer)
    partition = tuple(query.args.get("partition") or ())
    resolved = Projections(scope, named, partition, key.synthetic if key else None)
    projections = resolved.of(query.expressions)

    def normalised(clause: str) -> exp.Expression | None:
        expression = query.args.get(clause)
        return None if expression is None else resolved.normalised(expression)

    group = tuple(resolved.normalised(expression) for expression in query.args.get("group") or ())
    analysis = Analysis(
        statement=statement,
        source=source,
        joined=joined,
        aliases=tuple(aliases),
        joins=tuple(
            replace(step, left=resolved.normalised(step.left), right=resolved.normalised(step.right))
            for step in joins.steps
        ),
        synthetic=key.synthetic if key else None,
        projections=projections,
        window=window or (source.window if not group else None),
        where=normalised("where"),
        group=group,
        partition=tuple(resolved.normalised(expression) for expression in partition),
        having=normalised("having"),
        # A persistent query emits changes, with or without EMIT CHANGES.
        emit=query.args.get("emit") or (None if statement.kind is Kind.SELECT else "CHANGES"),
        limit=_limit(query, scope),
        is_aggregation=bool(group) or any(is_aggregate(p.expression) for p in projections),
    )
    if analysis.emit == "FINAL" and not (window and analysis.is_aggregation):
        message = "EMIT FINAL is only supported for windowed aggregations."
        raise SqlError(message, statement.place, "write EMIT CHANGES", stage=Stage.QUERY)
    if window and not analysis.is_aggregation and not is_pull:
        raise SqlError("WINDOW clause requires a GROUP BY clause.", statement.place, stage=Stage.QUERY)
    keyed = checked(analysis, key)
    if not is_pull:
        check_key(keyed, _keys_read(keyed, key), joins.rekeyed)
    return keyed


def _check_joined(statement: Statement, sources: Sequence[Source], aliases: Sequence[str]) -> None:
    """Raises SqlError for a source that is joined twice, and for two sources with the same alias."""
    names = [source.name for source in sources]
    for values in (names, aliases):
        twice = next((value for value in values if values.count(value) > 1), None)
        if twice is None:
            continue
        message = f"N-way joins do not support multiple occurrences of the same source. Source: '{twice}'."
        if len(names) == 2:
            message = f"Can not join '{names[0]}' to '{names[1]}': self joins are not yet supported."
        raise SqlError(message, statement.place, "give each source another alias", stage=Stage.QUERY)


def _keys_read(analysis: Analysis, join: JoinKey | None) -> list[exp.Expression]:
    """The key of the records that a SELECT reads, after all joins.

    If several columns have its value: a selected one.
    """
    if join is None:
        names = [column.name for column in analysis.source.columns if column.is_key]
        return [exp.Column(this=exp.Identifier(this=name, quoted=True)) for name in names]
    selected = {projection.expression for projection in analysis.projections}
    return [column for column in join.columns if column in selected][:1] or join.columns[:1]


def _limit(query: exp.Expression, scope: Scope) -> int | None:
    """The number of rows after LIMIT. Raises SqlError for a negative one in a pull query."""
    if (limit := query.args.get("limit")) is None:
        return None
    number = int(limit.name) if isinstance(limit, exp.Literal) else -int(limit.this.name)
    if number < 0 and not query.args.get("emit"):
        message = "Pull queries don't support negative integers in the LIMIT clause."
        raise scope.error(limit, message, "write a number that is not negative")
    return number


def _find(statement: Statement, item: exp.Expression, sources: dict[str, Source]) -> Source:
    name = name_of(item.this)
    if name not in sources:
        near = nearest(name, list(sources))
        hint = f"did you mean {near}?" if near else "create it in an earlier migration or statement"
        raise SqlError(
            f"{name} does not exist.", where(statement, item.this), hint, stage=Stage.SOURCES
        )
    return sources[name]


def _alias(item: exp.Expression) -> str:
    return name_of(item.args.get("alias") or item.this)


def _window(statement: Statement, window: exp.Expression | None, is_final: bool) -> Window | None:
    """The window of a SELECT. Without GRACE PERIOD, EMIT FINAL has no grace period (observed on 7.9.1)."""
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
        grace = 0 if is_final else max(0, 86_400_000 - size)
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
    return Window(kind, size, duration("advance") or size, grace, retention=retention)
