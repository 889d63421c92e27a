"""Removes columns, and fields of the archive's records, that no query reads. Pure.

The same records remain readable, and the rows remain the same. So at least one field of a struct stays, and so do
all scalars that are not text, and all table functions.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlglot import exp

from opensea_metrics.core.types import STRING, KsqlType, StructType, name_of
from opensea_metrics.sql.language.catalog.catalog import Catalog, Query
from opensea_metrics.sql.language.catalog.sources import Source
from opensea_metrics.sql.language.queries.analysis import Analysis, makes_rows


def narrowed(catalog: Catalog, raw_topic: str, targets: Sequence[Source]) -> Catalog:
    """A catalog that computes the same targets from fewer columns.

    Selections over the topic have only the columns that other queries or the targets read. The topic's streams
    declare only the fields that these queries read.
    """
    queries = {
        id_: _with_used_columns(catalog, query, targets)
        if query.analysis.source.topic == raw_topic and not query.analysis.is_aggregation and not query.analysis.joined
        else query
        for id_, query in catalog.queries.items()
    }
    read: dict[str, set[str]] = {}
    for query in queries.values():
        for source in query.analysis.sources:
            if source.topic == raw_topic:
                read.setdefault(source.name, set()).update(paths_read(query.analysis, source))
    sources = {
        name: replace(source, columns=tuple(
            replace(column, type=_pruned(column.type, column.name.lower(), read[name]))
            for column in source.columns
            if column.is_key or column.type != STRING or column.name.lower() in read[name]
        ))
        for name, source in catalog.sources.items()
        if name in read
    }  # fmt: skip
    return Catalog(
        {**catalog.sources, **sources},
        {
            id_: replace(query, analysis=_over(query.analysis, sources)) if sources.keys() & set(query.reads) else query
            for id_, query in queries.items()
        },
    )


@dataclass(frozen=True)
class Guard:
    """A condition of a reader: it reads no other rows. It is the first of those that its WHERE connects with AND."""

    reader: Analysis
    condition: exp.Expression


def guards(stream: Source, readers: Iterable[Analysis]) -> dict[str, list[Guard]]:
    """The columns of a stream that are only needed in some rows: those for which one of the column's guards is true.

    Guards do not read such columns. So if these are NULL in all other rows, the readers still read the same rows.
    RANDOM() and other calls without arguments give no guard, because the reader gets another value than the guard.
    """
    of_columns: dict[str, list[Guard | None]] = {}
    for reader in readers:
        guard = None
        if reader.where is not None and reader.sources == (stream,) and stream.timestamp is None:
            first: exp.Expression = reader.where
            while isinstance(first, exp.And | exp.Paren):
                first = first.this
            if all(call.expressions for call in first.find_all(exp.Anonymous)):
                guard = Guard(reader, first)
            for column in first.find_all(exp.Column):
                of_columns.setdefault(name_of(column.this), []).append(None)
        for name in columns_read(reader):
            of_columns.setdefault(name, []).append(guard)
    return {
        name: [guard for guard in needed if guard is not None]
        for name, needed in of_columns.items()
        if None not in needed
    }


def columns_read(analysis: Analysis) -> set[str]:
    """The columns that a SELECT names, and its sources' timestamps."""
    names = {name_of(column.this) for column in _columns(analysis)}
    return names | {source.timestamp for source in analysis.sources if source.timestamp}


def paths_read(analysis: Analysis, source: Source) -> set[str]:
    """The fields that a SELECT reads from a stream of JSON, as lower-case paths, and the stream's timestamp.

    If a join's sources have columns of the same name, all of them count.
    """
    value = {column.name: column.name.lower() for column in source.columns}
    paths = {source.timestamp.lower()} if source.timestamp else set()
    for node in _columns(analysis):
        if name_of(node.this) not in value:
            continue  # ROWTIME
        path = [name_of(node.this)]
        owner: exp.Expression = node
        while isinstance(owner.parent, exp.Dot) and owner.parent.this is owner:
            owner = owner.parent
            path.append(name_of(owner.expression))
        paths.add(".".join(path).lower())
    return paths


def _columns(analysis: Analysis) -> Iterator[exp.Column]:
    parts: list[exp.Expression] = [projection.expression for projection in analysis.projections]
    parts += [*analysis.group, *analysis.partition]
    parts += [part for part in (analysis.where, analysis.having) if part is not None]
    parts += [side for step in analysis.joins for side in (step.left, step.right)]
    for part in parts:
        yield from part.find_all(exp.Column)


def _over(analysis: Analysis, sources: Mapping[str, Source]) -> Analysis:
    """A SELECT over other definitions of its sources."""
    first, *joined = (sources.get(source.name, source) for source in analysis.sources)
    return replace(analysis, source=first, joined=tuple(joined))


def _with_used_columns(catalog: Catalog, query: Query, targets: Sequence[Source]) -> Query:
    topic = catalog.sources[query.sink].topic
    used = {column.name for target in targets if target.topic == topic for column in target.columns}
    for reader in catalog.queries.values():
        if any(source.topic == topic for source in reader.analysis.sources):
            used |= columns_read(reader.analysis)
    projections = tuple(
        projection
        for projection in query.analysis.projections
        if projection.column.name in used or makes_rows(projection.expression)
    )
    return replace(query, analysis=replace(query.analysis, projections=projections))


def _pruned(kind: KsqlType, path: str, read: Collection[str]) -> KsqlType:
    """A type. A struct that is not read as a whole loses the fields that are not read."""
    if not isinstance(kind, StructType) or path in read:
        return kind
    fields = [(name, f"{path}.{name.lower()}", inner) for name, inner in kind.fields]
    kept = [
        (name, _pruned(inner, inside, read))
        for name, inside, inner in fields
        if inner != STRING or inside in read
    ]
    return replace(kind, fields=tuple(kept or kind.fields[:1]))
