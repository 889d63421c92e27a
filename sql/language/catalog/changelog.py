"""Streams declared over a table's topic. They repeat a key each time its row changes."""

from __future__ import annotations

from sqlglot import exp

from opensea_metrics.core.errors import SqlError
from opensea_metrics.sql.language.catalog.catalog import Catalog
from opensea_metrics.sql.language.catalog.sources import Source
from opensea_metrics.sql.language.functions.library import BUILT_IN, known
from opensea_metrics.sql.language.queries.analysis import Analysis, aggregates
from opensea_metrics.sql.language.statements.parser import where
from opensea_metrics.sql.language.statements.statements import Statement


def check_changelog(catalog: Catalog, statement: Statement, analysis: Analysis) -> None:
    """Raise SqlError for an aggregate whose result repeated keys would falsify, such as SUM."""
    if not analysis.is_aggregation or not _over_table_topic(catalog, analysis.source):
        return
    for projection in analysis.projections:
        for call in aggregates(projection.expression):
            function = known()[str(call.this)]
            several = " of several values" if _keeps_several(call) else ""
            if not function.changelog_safe or several:
                safe = ", ".join(sorted(f.name for f in known().values() if f.changelog_safe))
                raise SqlError(
                    f"{function.name}{several} over {analysis.source.name} would count a key again each time"
                    " its row changes, because that stream is declared over a table's topic",
                    where(statement, call),
                    f"aggregates that allow repeated keys: {safe}",
                )


def _keeps_several(call: exp.Anonymous) -> bool:
    """True for calls such as ``LATEST_BY_OFFSET(x, 3)``, which would keep several values of one key."""
    is_built_in = str(call.this).upper() in BUILT_IN
    return is_built_in and any(isinstance(argument, exp.Literal) for argument in call.expressions[1:])


def _over_table_topic(catalog: Catalog, source: Source) -> bool:
    if source.is_table:
        return False
    topics = {other.topic for other in catalog.sources.values() if other.is_table}
    if source.topic in topics:
        return True
    return any(
        _over_table_topic(catalog, catalog.sources[name])
        for query in catalog.writers(source.name)
        for name in query.reads
        if name in catalog.sources
    )
