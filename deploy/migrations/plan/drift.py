"""The drift of a server: its differences from the record. A pure function of both."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from opensea_metrics.core.errors import SqlError
from opensea_metrics.deploy.client.snapshot import Server, catalog_of, parsed
from opensea_metrics.deploy.client.topics import PRIVATE_PREFIX
from opensea_metrics.deploy.migrations.effects import TYPES
from opensea_metrics.deploy.migrations.plan.steps import steps_of
from opensea_metrics.deploy.migrations.record.lock import is_lock
from opensea_metrics.deploy.migrations.record.records import (
    CREATES,
    DROPS,
    Recorded,
    StatementRecord,
    StatementState,
    VersionState,
)
from opensea_metrics.deploy.migrations.record.store import RECORD_NAMES
from opensea_metrics.sql.language.catalog.catalog import Catalog
from opensea_metrics.sql.language.catalog.changes import applied
from opensea_metrics.sql.language.catalog.custom_types import name_of
from opensea_metrics.sql.language.catalog.sources import Column
from opensea_metrics.sql.language.catalog.upgrade import (
    Change,
    Difference,
    SourceDefinition,
    changes,
)
from opensea_metrics.sql.language.project.project import Migration
from opensea_metrics.sql.language.statements.statements import Kind

# Objects that ksqlDB creates itself.
OF_KSQLDB = ("KSQL_PROCESSING_LOG",)


class DriftKind(StrEnum):
    MISSING = "missing"
    EXTRA = "extra"
    ALTERED = "altered"
    FAILED = "failed"
    PAUSED = "paused"


class DriftObject(StrEnum):
    SOURCE = "source"
    TOPIC = "topic"
    QUERY = "query"
    FUNCTION = "function"
    TYPE = "type"


@dataclass(frozen=True)
class Drift:
    """One difference. ``name``: of the stream or table, of the topic, of the type, or the id of the query.

    ``record``: the statement that the object comes from. ``related``: the stream or table of a topic, the sinks of a
    query, the function that was changed, or the type of an extra object. ``changes``: from the applied definition to
    the one on the server. ``reason``: the server's text on a failed query.
    """

    kind: DriftKind
    object: DriftObject
    name: str
    record: StatementRecord | None = None
    related: tuple[str, ...] = ()
    changes: tuple[Change, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class Expected:
    """The objects that should be on the server, with their records: sources and types by name, queries by id."""

    sources: Mapping[str, StatementRecord] = field(default_factory=dict)
    queries: Mapping[str, StatementRecord] = field(default_factory=dict)
    altered: frozenset[str] = frozenset()
    types: Mapping[str, StatementRecord] = field(default_factory=dict)


def expected(recorded: Recorded, migrations: Sequence[Migration] = ()) -> Expected:
    """The objects that follow from the recorded statements, and from the files of versions without statements."""
    sources: dict[str, StatementRecord] = {}
    queries: dict[str, StatementRecord] = {}
    altered: set[str] = set()
    types: dict[str, StatementRecord] = {}
    for record in _in_order(recorded, migrations):
        name = record.target or ""
        if record.kind in CREATES:
            statement = parsed(record.text)
            if name in sources and statement is not None and statement.keeps_existing:
                continue
            sources[name] = record
            queries = {k: v for k, v in queries.items() if v.target != name or v.kind is Kind.INSERT_SELECT}
        elif record.kind in DROPS:
            sources.pop(name, None)
            queries = {key: value for key, value in queries.items() if value.target != name}
        elif record.kind is Kind.TERMINATE:
            queries.pop(name, None)
        elif record.kind is Kind.ALTER:
            altered.add(name)
        elif record.kind in TYPES and (statement := parsed(record.text)) is not None:
            if record.kind is Kind.CREATE_TYPE:
                types.setdefault(name_of(statement), record)
            else:
                types.pop(name_of(statement), None)
        if record.query_id is not None:
            queries[record.query_id] = record
    return Expected(sources, queries, frozenset(altered), types)


def find_drift(
    wanted: Expected,
    server: Server,
    errors: Mapping[str, Sequence[str]] | None = None,
    functions: Mapping[str, str] | None = None,
    types: Collection[str] | None = None,
) -> tuple[Drift, ...]:
    """All differences.

    ``errors``: the server's texts on failed queries, by id. ``functions``: user-defined functions by name, with the
    checksums of their current sources. ``types``: the names of the server's types; None if they are unknown.
    """
    return (
        *_changed_functions(wanted, functions or {}),
        *_missing(wanted, server),
        *_extra(wanted, server),
        *_altered(wanted, server),
        *_stopped(wanted, server, errors or {}),
        *(_types(wanted, types) if types is not None else ()),
    )


def _in_order(recorded: Recorded, migrations: Sequence[Migration]) -> Iterator[StatementRecord]:
    """The applied statements. The file says them if another tool applied the version."""
    files = {file.version: file for file in migrations}
    for version in recorded.versions:
        statements = recorded.in_effect_of(version.version)
        if not statements and version.version in files and version.state is VersionState.MIGRATED:
            yield from (step.record for step in steps_of(files[version.version]))
        yield from (record for record in statements if record.state is StatementState.DONE)


def _changed_functions(wanted: Expected, functions: Mapping[str, str]) -> Iterator[Drift]:
    records = (*wanted.sources.values(), *wanted.queries.values())
    for record in {(record.version, record.number): record for record in records}.values():
        for name, checksum in record.functions:
            if functions.get(name, checksum) != checksum:
                yield Drift(DriftKind.ALTERED, DriftObject.FUNCTION, record.target or "", record, (name,))


def _types(wanted: Expected, types: Collection[str]) -> Iterator[Drift]:
    for name, record in wanted.types.items():
        if name not in types:
            yield Drift(DriftKind.MISSING, DriftObject.TYPE, name, record)
    for name in sorted(set(types) - wanted.types.keys()):
        yield Drift(DriftKind.EXTRA, DriftObject.TYPE, name, related=("type",))


def _missing(wanted: Expected, server: Server) -> Iterator[Drift]:
    for name, record in wanted.sources.items():
        source = server.sources.get(name)
        if source is None:
            yield Drift(DriftKind.MISSING, DriftObject.SOURCE, name, record)
        elif source.topic not in server.topics and not record.topic_existed:
            yield Drift(DriftKind.MISSING, DriftObject.TOPIC, source.topic, record, (name,))
    for query_id, record in wanted.queries.items():
        if query_id not in server.queries and record.target in server.sources:
            yield Drift(DriftKind.MISSING, DriftObject.QUERY, query_id, record, (record.target or "",))


def _extra(wanted: Expected, server: Server) -> Iterator[Drift]:
    for name, source in sorted(server.sources.items()):
        is_own = name in RECORD_NAMES or is_lock(name) or name.startswith(PRIVATE_PREFIX)
        if name not in wanted.sources and name not in OF_KSQLDB and not is_own:
            yield Drift(DriftKind.EXTRA, DriftObject.SOURCE, name, related=(source.kind.lower(),))
    for query in server.queries.values():
        into = tuple(sink for sink in query.sinks if sink in wanted.sources)
        is_second = any(wanted.sources[sink].query_id is not None for sink in into)
        is_insert = bool(into) and query.id.startswith("INSERTQUERY")
        if query.id not in wanted.queries and (is_second or is_insert):
            yield Drift(DriftKind.EXTRA, DriftObject.QUERY, query.id, related=into)


def _altered(wanted: Expected, server: Server) -> Iterator[Drift]:
    live, applied_catalog = catalog_of(server, with_queries=True), Catalog()
    for number, (name, record) in enumerate(wanted.sources.items()):
        statement, known = parsed(record.text), server.described.get(name)
        if statement is None or known is None:
            continue
        try:
            applied_catalog = applied(applied_catalog, statement, number, any_replacement=True)
        except SqlError:
            continue
        old, new = applied_catalog.definition(name), live.definition(name)
        if name in wanted.altered or old is None or new is None:
            continue
        if (old.analysis is None) != (new.analysis is None):
            continue  # its query is missing, or could not be read
        # A windowed aggregation cannot be replaced, even by an equal one. That is no difference between the two.
        differences = tuple(
            change
            for change in changes(_comparable(old), _comparable(new))
            if change.difference is not Difference.REPLACED_AGGREGATION
        )
        if record.defined is not None and known.statement.split() == record.defined.split():
            # The server's text does not contain columns that ALTER added.
            differences = tuple(change for change in differences if change.clause == "columns")
        if differences:
            yield Drift(DriftKind.ALTERED, DriftObject.SOURCE, name, record, changes=differences)


def _comparable(definition: SourceDefinition) -> SourceDefinition:
    """Without the facts that only one side knows: formats that follow from the source, roles of keys."""
    source = definition.source
    columns = tuple(Column(column.name, column.type, "KEY" if column.is_key else None) for column in source.columns)
    return replace(definition, source=replace(source, columns=columns, key_format="", value_format=""))


def _stopped(wanted: Expected, server: Server, errors: Mapping[str, Sequence[str]]) -> Iterator[Drift]:
    for query_id, record in wanted.queries.items():
        query = server.queries.get(query_id)
        if query is not None and query.state == "ERROR":
            reason = (errors.get(query_id) or ["no reason given"])[-1].splitlines()[0]
            yield Drift(DriftKind.FAILED, DriftObject.QUERY, query_id, record, query.sinks, reason=reason)
        elif query is not None and query.paused:
            yield Drift(DriftKind.PAUSED, DriftObject.QUERY, query_id, record, query.sinks)
