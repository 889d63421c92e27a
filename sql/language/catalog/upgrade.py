"""The changes that CREATE OR REPLACE may make: ksqlDB's upgrade rules, clause by clause.

Source: observed on ksqlDB 7.9.1 (docs/ksqldb-facts.md, CREATE OR REPLACE). A stream keeps its topic and its
offsets, so new columns may only be at the end. A windowed aggregation cannot be replaced at all, not
even by an equal one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

from sqlglot import exp

from opensea_metrics.sql.language.catalog.sources import Column, Source
from opensea_metrics.sql.language.queries.analysis import Analysis


@dataclass(frozen=True)
class SourceDefinition:
    """A stream or table, and the SELECT that fills it (None for a plain CREATE)."""

    source: Source
    analysis: Analysis | None = None


class Difference(Enum):
    """The kinds of differences that decide how a change is applied."""

    COLUMNS_ADDED = "columns are added at the end"
    REPLACED_AGGREGATION = "a windowed aggregation is replaced, even by an equal one"
    OTHER = "any other difference"


@dataclass(frozen=True)
class Change:
    """One difference between two definitions.

    ``description`` describes the difference for people. ``refusal`` is ksqlDB's reason to refuse the change, or
    None if ksqlDB makes the change in place.
    """

    clause: str
    description: str
    refusal: str | None = None
    difference: Difference = Difference.OTHER


def changes(old: SourceDefinition, new: SourceDefinition) -> tuple[Change, ...]:
    """All differences between two definitions of one name. Refused changes come first."""
    differences = [*_source_changes(old.source, new.source), *_query_changes(old, new)]
    return tuple(sorted(differences, key=lambda change: change.refusal is None))


def refusals(differences: Iterable[Change]) -> tuple[str, ...]:
    """The reasons why ksqlDB refuses the replacement. Empty if it can be made in place."""
    return tuple(change.refusal for change in differences if change.refusal is not None)


_SOURCE_RULES: tuple[tuple[str, str, Callable[[Source], object]], ...] = (
    ("KAFKA_TOPIC", "topic", lambda source: source.topic),
    ("KEY_FORMAT", "topic", lambda source: source.key_format),
    ("VALUE_FORMAT", "topic", lambda source: source.value_format),
    ("WINDOW", "topic", lambda source: _window(source)),
    ("TIMESTAMP", "timestampColumn", lambda source: source.timestamp),
)
"""The properties that must stay equal: the clause, ksqlDB's word for it in a refusal, and the property's value."""


def _source_changes(old: Source, new: Source) -> Iterator[Change]:
    if old.kind != new.kind:
        yield _refused(old, "CREATE", "type", f"K{old.kind}", f"K{new.kind}")
    if old.columns != new.columns:
        yield _column_change(old, new)
    for clause, word, value in _SOURCE_RULES:
        if value(old) != value(new):
            yield _refused(old, clause, word, value(old), value(new))
    # A server does not report the format of its sources.
    formats = old.timestamp_format, new.timestamp_format
    if None not in formats and old.timestamp_format != new.timestamp_format:
        yield _refused(old, "TIMESTAMP_FORMAT", "timestampColumn", *formats)


def _column_change(old: Source, new: Source) -> Change:
    clause = "SELECT" if new.statement.ast.args.get("query") is not None else "columns"
    kept, added = new.columns[: len(old.columns)], new.columns[len(old.columns) :]
    keys = [column for column in added if column.is_key]
    if kept == old.columns and not keys:
        names = ", ".join(column.name for column in added)
        return Change(clause, f"{names} added at the end", difference=Difference.COLUMNS_ADDED)
    moved = [column for at, column in enumerate(old.columns) if at >= len(kept) or kept[at] != column]
    refusal = (
        f"Cannot upgrade data source: DataSource '`{old.name}`' has schema = "
        f"{_schema(old.columns)} which is not upgradeable to {_schema(new.columns)}. (The following"
        f" columns are changed, missing or reordered: [{_schema(moved)}])"
    )
    names = ", ".join(column.name for column in moved or keys)
    return Change(clause, f"{names}: changed, missing or moved", refusal)


def _query_changes(old: SourceDefinition, new: SourceDefinition) -> Iterator[Change]:
    was, now = old.analysis, new.analysis
    if was is None and now is None:
        return
    if was is None or now is None:
        reason = "a query cannot replace a plain definition, and a plain definition cannot replace a query"
        yield Change("AS SELECT", "only one definition has a query", reason)
        return
    if was.is_aggregation and was.window is not None:
        # ksqlDB refuses this even if nothing else has changed (observed).
        reason = "Upgrades not yet supported for StreamWindowedAggregate"
        description = "a windowed aggregation cannot be replaced"
        yield Change("WINDOW", description, reason, Difference.REPLACED_AGGREGATION)
        return
    for rule in _QUERY_RULES:
        yield from rule(was, now)


_Rule = Callable[[Analysis, Analysis], Iterator[Change]]


def _clause(clause: str, value: Callable[[Analysis], object], description: str, refusal: str | None = None) -> _Rule:
    """The rule for a clause: how to describe a change of its value, and ksqlDB's refusal, if it refuses the change.

    ``{0}`` and ``{1}`` in ``description`` are the old and the new value.
    """

    def rule(was: Analysis, now: Analysis) -> Iterator[Change]:
        if value(was) != value(now):
            yield Change(clause, description.format(value(was), value(now)), refusal)

    return rule


def _joins(was: Analysis, now: Analysis) -> Iterator[Change]:
    if was.joined and _sources(was) == _sources(now):
        yield Change("JOIN", "a join cannot be replaced", f"Upgrades not yet supported for {_join_step(was)}")


def _join_step(analysis: Analysis) -> str:
    """ksqlDB's name for the last join of a query (observed for streams with tables)."""
    if analysis.joins[-1].window is not None:
        return "StreamStreamJoin"
    if not analysis.source.is_table:
        return "StreamTableJoin"
    return "ForeignKeyTableTableJoin" if analysis.joins[-1].is_foreign else "TableTableJoin"


def _groups_of_tables(was: Analysis, now: Analysis) -> Iterator[Change]:
    if was.is_aggregation and all(source.is_table for source in was.sources) and _sources(was) == _sources(now):
        reason = "Upgrades not yet supported for TableAggregate"  # observed
        yield Change("GROUP BY", "an aggregation over a table cannot be replaced", reason)


def _having(was: Analysis, now: Analysis) -> Iterator[Change]:
    if not was.is_aggregation:
        return
    if (was.having is None) != (now.having is None):
        reason = "Query is not upgradeable. Plan step of type StreamAggregate must have matching class."
        yield Change("HAVING", "only one definition has the clause", reason)
    elif not _same(was.having, now.having):
        yield Change("HAVING", "a different condition")


def _columns(was: Analysis, now: Analysis) -> Iterator[Change]:
    """Compare the columns that the SELECTs read, because an aggregation's state holds these columns."""
    before, after = _columns_read(was), _columns_read(now)
    if was.is_aggregation and before != after:
        reason = (
            "Query is not upgradeable. Plan step of type StreamAggregate must have matching columns"
            f" not part of aggregate. Values differ: [{_names(before)}] vs. [{_names(after)}]"
        )
        clause = "WHERE" if not _same(was.where, now.where) else "SELECT"
        more = ", ".join(sorted(before ^ after))
        yield Change(clause, f"different columns are read: {more}", reason)


def _projections(was: Analysis, now: Analysis) -> Iterator[Change]:
    common = zip(was.projections, now.projections, strict=False)
    changed = [b.column.name for a, b in common if not _same(a.expression, b.expression)]
    if changed:
        yield Change("SELECT", f"a different expression for {', '.join(changed)}")


def _sources(analysis: Analysis) -> list[str]:
    return [source.name for source in (analysis.source, *analysis.joined)]


_QUERY_RULES: tuple[_Rule, ...] = (
    _clause("FROM", _sources, "a different source", "a query's sources cannot be changed in place"),
    _groups_of_tables,
    _joins,
    _clause("GROUP BY", lambda query: query.group, "different keys", "a query's grouping cannot be changed in place"),
    _having,
    _columns,
    _clause("WHERE", lambda query: plain(query.where), "a different condition"),
    _clause("PARTITION BY", lambda query: query.partition, "different keys"),
    _clause("EMIT", lambda query: query.emit, "{0} → {1}", "the EMIT clause cannot be changed"),
    _projections,
)


def _columns_read(analysis: Analysis) -> set[str]:
    parts = [*(projection.expression for projection in analysis.projections), *analysis.group]
    parts += [clause for clause in (analysis.where, analysis.having) if clause is not None]
    names = {column.name for part in parts for column in part.find_all(exp.Column)}
    return names - {"WINDOWSTART", "WINDOWEND"} | {"ROWTIME"}


def _names(columns: set[str]) -> str:
    return ", ".join(f"`{column}`" for column in sorted(columns))


def _refused(source: Source, clause: str, word: str, was: object, now: object) -> Change:
    refusal = (
        f"Cannot upgrade data source: DataSource '`{source.name}`' has {word} = {was} which is not"
        f" upgradeable to {now}"
    )
    return Change(clause, f"{was} → {now}", refusal)


def _schema(columns: Iterable[Column]) -> str:
    return ", ".join(
        f"`{column.name}` {column.type}{f' {column.role}' if column.role else ''}" for column in columns
    )


def _window(source: Source) -> str | None:
    window = source.window
    return f"{window.kind} of {window.size} ms" if window else None


def _same(one: exp.Expression | None, other: exp.Expression | None) -> bool:
    return plain(one) == plain(other)


def plain(expression: exp.Expression | None) -> exp.Expression | None:
    """A copy without parentheses, which a server adds when it writes an expression."""
    if expression is None:
        return None
    copy = expression.copy()
    while isinstance(copy, exp.Paren):
        copy = copy.this
    for part in list(copy.find_all(exp.Paren)):
        part.replace(part.this)
    return copy
