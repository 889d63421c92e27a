"""Checks whether engines support a statement. The checks are pure, so files can be checked without a server."""

from __future__ import annotations

from sqlglot import exp

from opensea_metrics.core.errors import Place
from opensea_metrics.core.types import NoSuchType, duckdb, name_of, spark, struct
from opensea_metrics.sql.language.catalog.catalog import Catalog, Query
from opensea_metrics.sql.language.catalog.sources import Source
from opensea_metrics.sql.language.lowering.duckdb import groupings, ordered, selects
from opensea_metrics.sql.language.lowering.duckdb.expressions import Lowering
from opensea_metrics.sql.language.lowering.refusals import EMBEDDED, SPARK, Unsupported
from opensea_metrics.sql.language.lowering.selects import aggregate_calls
from opensea_metrics.sql.language.queries.analysis import Analysis
from opensea_metrics.sql.language.queries.analysis import aggregates as aggregates_of
from opensea_metrics.sql.language.queries.scope import Scope
from opensea_metrics.sql.language.statements.parser import where
from opensea_metrics.sql.language.statements.statements import Kind, Statement
from opensea_metrics.sql.language.values.timestamp_formats import UnknownFormat, timestamp_format

REGISTRY_FORMATS = frozenset(("AVRO", "JSON_SR", "PROTOBUF"))
"""Formats that ksqlDB accepts only with a Schema Registry."""
_OTHER_FORMATS = frozenset(("PROTOBUF_NOSR",))
"""Formats that the embedded server does not have, though they need no registry."""


def check_statement(before: Catalog, statement: Statement, after: Catalog) -> None:
    """Raise Unsupported if the embedded server does not support a statement that ksqlDB accepts.

    ``before`` and ``after`` are the catalogs before and after the statement.
    """
    if statement.kind is Kind.CONNECTOR:
        raise Unsupported("a connector", EMBEDDED, statement.place)
    if statement.kind is Kind.ALTER_SYSTEM:
        raise Unsupported(statement.kind.value.upper(), EMBEDDED, statement.place)
    if statement.kind is Kind.INSERT_VALUES:
        lowering = Lowering(Scope(statement, {}))
        for value in statement.ast.expressions:
            if not value.is_string:
                lowering.value(value)
    if after is before:
        return
    for name, source in after.sources.items():
        if source is not before.sources.get(name):
            check_types(source, EMBEDDED, statement.place)
    for query in _started(before, after):
        check_ordered(after, query, statement.place, EMBEDDED)
        sink = after.sources.get(query.sink)
        reached = after.reached_from(sink.topic) if sink is not None else set()
        if any(source.topic in reached for source in query.analysis.sources):
            feature = "a query that reads what it writes, by itself or through other queries,"
            raise Unsupported(feature, EMBEDDED, statement.place)
        check_query(query.analysis, EMBEDDED)


def check_selected(catalog: Catalog, query: Query, place: Place) -> None:
    """Raise Unsupported if the embedded server cannot run a client's SELECT."""
    if query.analysis.joined or query.analysis.is_aggregation:
        check_ordered(catalog, query, place, EMBEDDED)
    check_query(query.analysis, EMBEDDED)


def check_replaced_rows(catalog: Catalog, analysis: Analysis, engine: str) -> None:
    """Raise Unsupported for a SELECT from a stream over the topic of a session table.

    A merge of sessions replaces rows. The rows that a server had meanwhile do not follow from an archive.
    """
    if analysis.source.is_table:
        return
    for query in catalog.queries.values():
        window, sink = query.analysis.window, catalog.sources.get(query.sink)
        is_replacing = query.analysis.is_aggregation and query.analysis.emit != "FINAL" and window and window.is_session
        if is_replacing and sink is not None and sink.topic == analysis.source.topic:
            feature = f"a stream over the topic of {query.sink}, whose sessions are merged,"
            raise Unsupported(feature, engine, analysis.statement.place)


def check_recompute(catalog: Catalog, query: Query, engine: str) -> None:
    """Raise Unsupported if an engine of ``recompute`` cannot run a persistent query exactly."""
    check_replaced_rows(catalog, query.analysis, engine)
    check_ordered(catalog, query, query.analysis.statement.place, engine)
    check_query(query.analysis, engine)


def check_ordered(catalog: Catalog, query: Query, place: Place, engine: str) -> None:
    """Raise Unsupported for joins and for queries over tables that an engine cannot run exactly."""
    analysis = query.analysis
    if not analysis.is_ordered:
        return
    for source in analysis.sources:
        check_types(source, engine, place)
        if source.window and engine != EMBEDDED:
            raise Unsupported(f"a JOIN with {source.name}, whose keys have windows,", engine, place)
        others = [catalog.sources[other.sink] for other in catalog.queries.values() if other.sink != source.name]
        if source.is_table and any(other.is_table and other.topic == source.topic for other in others):
            feature = f"a query over {source.name}, which is declared over the topic of another table,"
            raise Unsupported(feature, engine, place)
        if engine != EMBEDDED:
            _check_order_of_records(catalog, source, place, engine)
    if not analysis.source.is_table and (table := _changes_once(catalog, query)):
        feature = f"a JOIN of a stream with {table}, which depends on a JOIN on a foreign key,"
        raise Unsupported(feature, engine, place)
    if analysis.is_aggregation and all(source.is_table for source in analysis.sources):
        read = [argument for projection in analysis.projections for argument in aggregates_of(projection.expression)]
        if any(name_of(c.this) == "ROWTIME" for call in read for c in call.find_all(exp.Column)):
            raise Unsupported("ROWTIME in an aggregate over a table", engine, place)
        if engine != EMBEDDED and any(str(call.this).upper() == "COLLECT_LIST" for call in read):
            raise Unsupported("COLLECT_LIST over a table", engine, place)


def check_late(catalog: Catalog, query: Query, engine: str) -> None:
    """Raise Unsupported for a windowed SELECT if the archive does not show which records a server drops as late."""
    analysis, place = query.analysis, query.analysis.statement.place
    if analysis.window is not None and analysis.window.is_session:
        raise Unsupported("WINDOW SESSION with --late as-streamed", engine, place)
    if analysis.emit == "FINAL":
        raise Unsupported("EMIT FINAL with --late as-streamed", engine, place)
    for source in analysis.sources:
        _check_order_of_records(catalog, source, place, engine)


def _check_order_of_records(catalog: Catalog, source: Source, place: Place, engine: str) -> None:
    """Raise Unsupported if an archive does not say in which order a server would read the records of a source."""
    writers = [query for query in catalog.queries.values() if catalog.sources[query.sink].topic == source.topic]
    if len(writers) > 1:
        raise Unsupported(f"the order of the rows of {source.name}, which several queries write,", engine, place)
    for query in writers:
        if query.analysis.gives_table and not source.is_table:
            feature = f"the order of the rows of {source.name}, a stream over the topic of a table,"
            raise Unsupported(feature, engine, place)
        for below in query.analysis.sources:
            _check_order_of_records(catalog, below, place, engine)


def _changes_once(catalog: Catalog, query: Query) -> str | None:
    """A source table whose rows change at most once per batch: the result of a JOIN on a foreign key."""
    for source in query.analysis.sources:
        for writer in catalog.writers(source.name) if source.is_table else ():
            if any(step.is_foreign for step in writer.analysis.joins) or _changes_once(catalog, writer):
                return source.name
    return None


def check_replacement(before: Catalog, statement: Statement, after: Catalog) -> None:
    """Raise Unsupported if the embedded server cannot replace a query in place although ksqlDB can."""
    sinks = {query.sink for id_, query in before.queries.items() if id_ not in after.queries}
    written = {before.sources[query.sink].topic for query in before.queries.values()}
    for query in _started(before, after):
        source = query.analysis.source
        if query.sink not in sinks:
            continue
        if query.analysis.is_ordered and after.readers(query.sink):
            raise Unsupported(f"CREATE OR REPLACE of {query.sink}, which queries read,", EMBEDDED, statement.place)
        if not (query.analysis.is_ordered or query.analysis.is_aggregation) and source.topic in written:
            feature = f"CREATE OR REPLACE of a stream over {source.name}, which a query makes,"
            raise Unsupported(feature, EMBEDDED, statement.place)


def check_registry(before: Catalog, statement: Statement, after: Catalog) -> None:
    """Raise Unsupported if a statement needs a Schema Registry, which the embedded server does not have."""
    if statement.kind is Kind.ASSERT and statement.ast.args["kind"] == "SCHEMA":
        raise Unsupported("ASSERT SCHEMA", EMBEDDED, statement.place)
    name = statement.name or ""
    if name in after.sources and name not in before.sources:
        source = after.sources[name]
        if needs := sorted({source.value_format, source.key_format} & (REGISTRY_FORMATS | _OTHER_FORMATS)):
            raise Unsupported(f"the format {needs[0]}", EMBEDDED, statement.place)


def check_query(analysis: Analysis, engine: str) -> None:
    """Raise Unsupported if an engine (a name in :mod:`sql.language.lowering.refusals`) does not support a SELECT."""
    for source in analysis.sources:
        check_types(source, engine, analysis.statement.place)
    if engine != EMBEDDED:
        _check_record_columns(analysis, engine)
        _check_lists_of_sessions(analysis, engine)
    try:
        if engine == SPARK:
            _check_for_spark(analysis)
        else:
            ordered.SYNTAX.key_sides(analysis)
            if analysis.is_aggregation:
                groupings.grouping(analysis)
            else:
                selects.rows(analysis, "")
    except Unsupported as error:
        raise Unsupported(error.feature, engine, error.place) from None


def _check_for_spark(analysis: Analysis) -> None:
    # Imported here, because a server does not need them.
    from opensea_metrics.sql.language.lowering.spark import ordered, selects

    ordered.SYNTAX.key_sides(analysis)
    (selects.grouped if analysis.is_aggregation else selects.rows)(analysis, "")


def _check_lists_of_sessions(analysis: Analysis, engine: str) -> None:
    """Raise Unsupported for a list over sessions, because its order depends on when the server merged the sessions."""
    if analysis.window is None or not analysis.window.is_session:
        return
    for call in aggregate_calls(analysis):
        if (name := str(call.this).upper()) in ("COLLECT_LIST", "COLLECT_SET"):
            raise Unsupported(f"{name} over a SESSION window", engine, where(analysis.statement, call))


def _check_record_columns(analysis: Analysis, engine: str) -> None:
    """Raises Unsupported if a SELECT reads columns that are not in an archive's values."""
    headers = {source.headers.name for source in analysis.sources if source.headers}
    unknown = {"ROWPARTITION", "ROWOFFSET", *headers}
    read = [projection.expression for projection in analysis.projections]
    read += [clause for clause in (*analysis.group, analysis.where, analysis.having) if clause is not None]
    read += [side for step in analysis.joins for side in (step.left, step.right)]
    for expression in read:
        for column in expression.find_all(exp.Column):
            if (name := name_of(column.this)) in unknown:
                feature = f"the HEADERS column {name}" if name in headers else name
                raise Unsupported(feature, engine, where(analysis.statement, column))


def check_types(source: Source, engine: str, place: Place) -> None:
    """Raise Unsupported if an engine cannot hold the values of a source's columns, or cannot read its times."""
    if source.timestamp_format:
        try:
            timestamp_format(source.timestamp_format)
        except UnknownFormat as error:
            raise Unsupported(f"TIMESTAMP_FORMAT with {error}", engine, place) from None
    if any((column.role or "").startswith("HEADER(") for column in source.columns):
        raise Unsupported("a HEADER('key') column", engine, place)
    columns = {f"the column {column.name} of {source.name}": column.type for column in source.columns}
    columns[source.name] = struct(*((column.name, column.type) for column in source.columns))
    for feature, kind in columns.items():
        try:
            (spark if engine == SPARK else duckdb)(kind)
        except NoSuchType as error:
            raise Unsupported(f"{feature} ({error.message})", engine, place) from None


def _started(before: Catalog, after: Catalog) -> list[Query]:
    return [query for id_, query in after.queries.items() if id_ not in before.queries]
