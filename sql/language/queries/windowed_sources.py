"""Checks SELECTs from sources whose keys have windows: sources with WINDOW_TYPE, and windowed tables.

ksqlDB never writes the records of such a source into other partitions. So their key stays, and two sources are joined
only if their keys and windows are of one kind.

Source: observed on a 7.9.1 (docs/ksqldb-facts.md, Sources with windows; tests/sql/windowed_sources.yml).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlglot import exp

from opensea_metrics.core.errors import SqlError, Stage
from opensea_metrics.core.types import name_of
from opensea_metrics.sql.language.catalog.sources import Source, Window
from opensea_metrics.sql.language.queries.analysis import Analysis
from opensea_metrics.sql.language.statements.parser import where
from opensea_metrics.sql.language.statements.statements import Kind, Statement

_BOUNDS = ("WINDOWSTART", "WINDOWEND")
_REPARTITIONING = (
    "Implicit repartitioning of windowed sources is not supported."
    " See https://github.com/confluentinc/ksql/issues/4385."
)


def incompatibility(left: tuple[str, Source], right: tuple[str, Source]) -> str | None:
    """Why two sources, each with its alias, cannot be joined, or None if their windows allow it."""
    windows = [source.window for _, source in (left, right)]
    if (windows[0] is None) != (windows[1] is None):
        lines = (
            f"`{alias}` is {f'{source.window.kind} windowed' if source.window else 'not windowed'}"
            for alias, source in (left, right)
        )
        return "\n".join(["Can not join windowed source to non-windowed source.", *lines])
    if windows[0] and windows[1] and windows[0].is_session != windows[1].is_session:
        return (
            f"Incompatible windowed sources.\nLeft source: {windows[0].kind}\nRight source: {windows[1].kind}\n"
            "Session windowed sources can only be joined to other session windowed sources, and may still not result"
            " in expected behaviour as session bounds must be an exact match for the join to work\n"
            "Hopping and tumbling windowed sources can only be joined to other hopping and tumbling windowed sources"
        )
    return None


def is_same(window: Window | None, other: Window | None) -> bool:
    """Whether the keys of two sources have windows of one kind and size, or none at all."""
    if window is None or other is None:
        return window is other
    return window.kind == other.kind and (window.is_session or window.size == other.size)


def check_persistent(statement: Statement, sources: Iterable[Source]) -> None:
    """Raises SqlError for a persistent query over a table with windows."""
    if statement.kind is not Kind.SELECT and any(source.is_table and source.window for source in sources):
        raise SqlError(
            "KSQL does not support persistent queries on windowed tables.",
            statement.place,
            "declare the table's topic again as a stream and aggregate that stream",
            stage=Stage.QUERY,
        )


def check_bounds(query: exp.Expression, statement: Statement, source: Source) -> None:
    """Raises SqlError if a SELECT that groups a windowed source reads the bounds of the source's windows."""
    groups = query.args.get("group") or []
    if not source.window or not groups or query.args.get("window") is not None or query.args["joins"]:
        return
    having = query.args.get("having")
    for part in [*groups, *query.expressions, *([having] if having is not None else [])]:
        for column in part.find_all(exp.Column):
            if isinstance(column.this, exp.Identifier) and (name := name_of(column.this)) in _BOUNDS:
                hint = "select them AS other names in a stream first, and group that stream"
                raise SqlError(f"Unknown column {name}.", where(statement, column), hint, stage=Stage.QUERY)


def check_key(analysis: Analysis, keys: Sequence[exp.Expression], rekeyed: exp.Expression | None) -> None:
    """Raises SqlError if a SELECT changes the key of the records of a windowed source.

    ``keys`` are the columns of the records' key, after all joins. ``rekeyed`` is the ON of the first join that needs
    another key than its sources have.
    """
    statement, source = analysis.statement, analysis.source
    if not source.window:
        return
    if any(step.is_foreign for step in analysis.joins):
        message = "Foreign-key table-table joins are not supported on windowed tables."
        raise SqlError(message, statement.place, "join on the keys", stage=Stage.QUERY)
    if any(not is_same(source.window, other.window) for other in analysis.joined):
        hint = "join sources with the same WINDOW_TYPE and WINDOW_SIZE"
        raise SqlError(_REPARTITIONING, statement.place, hint, stage=Stage.QUERY)
    if rekeyed is not None or any(other.key_format != source.key_format for other in analysis.joined):
        place = statement.place if rekeyed is None else where(statement, rekeyed)
        raise SqlError(_REPARTITIONING, place, "join on the keys, of one KEY_FORMAT", stage=Stage.QUERY)
    if analysis.partition and not (len(keys) == 1 and analysis.partition == tuple(keys)):
        hint = "group the stream, or leave PARTITION BY out"
        raise SqlError(_REPARTITIONING, statement.place, hint, stage=Stage.QUERY)
    if analysis.group and len(keys) == 1 and analysis.group == tuple(keys) and not source.is_table:
        raise SqlError(
            "Group by on windowed should always require rekey",
            statement.place,
            "select the key as another column of a stream with AS_VALUE, and group by that column",
            stage=Stage.QUERY,
        )
