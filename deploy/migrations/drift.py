"""Where a server has come away from what was applied: a pure function of the record and of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from opensea_metrics.core.errors import SqlError
from opensea_metrics.deploy.migrations.actions import PRIVATE_PREFIX
from opensea_metrics.deploy.migrations.chain import is_lock
from opensea_metrics.deploy.migrations.files import statements_to_send
from opensea_metrics.deploy.migrations.ledger import METADATA
from opensea_metrics.deploy.migrations.live import catalog_of, parsed
from opensea_metrics.deploy.migrations.server import Server
from opensea_metrics.deploy.migrations.state import (
    MAKES_SOURCE,
    Recorded,
    StatementRecord,
    StatementState,
)
from opensea_metrics.sql.language.catalog.catalog import Catalog
from opensea_metrics.sql.language.catalog.changes import applied
from opensea_metrics.sql.language.catalog.sources import Column, Source
from opensea_metrics.sql.language.catalog.upgrade import Difference, changes
from opensea_metrics.sql.language.project.project import Migration
from opensea_metrics.sql.language.statements.statements import Kind

# What ksqlDB makes by itself.
OWN = ("KSQL_PROCESSING_LOG",)
DROPS = (Kind.DROP_STREAM, Kind.DROP_TABLE)


@dataclass(frozen=True)
class Drift:
    """One difference. ``kind``: missing, extra, altered, failed or paused."""

    kind: str
    name: str
    detail: str


@dataclass(frozen=True)
class Expected:
    """What should be on the server: definitions by name, queries by id with what they write into."""

    sources: Mapping[str, StatementRecord] = field(default_factory=dict)
    queries: Mapping[str, StatementRecord] = field(default_factory=dict)
    altered: frozenset[str] = frozenset()


def expected(recorded: Recorded, migrations: Sequence[Migration] = ()) -> Expected:
    """What follows from the recorded statements, and from the files of versions without any."""
    sources: dict[str, StatementRecord] = {}
    queries: dict[str, StatementRecord] = {}
    altered: set[str] = set()
    for record in _in_order(recorded, migrations):
        name = record.target or ""
        if record.kind in MAKES_SOURCE:
            statement = parsed(record.text)
            if name in sources and statement is not None and statement.keeps_existing:
                continue
            sources[name] = record
            queries = {k: v for k, v in queries.items() if v.target != name or _inserts(v)}
        elif record.kind in DROPS:
            sources.pop(name, None)
            queries = {key: value for key, value in queries.items() if value.target != name}
        elif record.kind is Kind.TERMINATE:
            queries.pop(name, None)
        elif record.kind is Kind.ALTER:
            altered.add(name)
        if record.query_id is not None:
            queries[record.query_id] = record
    return Expected(sources, queries, frozenset(altered))


def find_drift(
    wanted: Expected,
    server: Server,
    errors: Mapping[str, Sequence[str]] | None = None,
    functions: Mapping[str, str] | None = None,
) -> tuple[Drift, ...]:
    """All differences; ``errors``: what the server says of failed queries, by id; ``functions``:
    user-defined functions by name, with the checksums of their sources now."""
    return (
        *_outdated(wanted, functions or {}),
        *_missing(wanted, server),
        *_extra(wanted, server),
        *_altered(wanted, server),
        *_stopped(wanted, server, errors or {}),
    )


def _in_order(recorded: Recorded, migrations: Sequence[Migration]) -> Iterator[StatementRecord]:
    files = {each.version: each for each in migrations}
    for version in recorded.versions:
        statements = recorded.applied_of(version.version)
        file = files.get(version.version)
        if not statements and file is not None and version.state == "MIGRATED":
            for step in statements_to_send(file):
                yield StatementRecord(
                    version.version,
                    step.number,
                    step.statement.kind,
                    step.statement.text,
                    step.statement.name,
                    step.statement.topic,
                    StatementState.DONE,
                )
        yield from (each for each in statements if each.state is StatementState.DONE)


def _inserts(record: StatementRecord) -> bool:
    return record.kind is Kind.INSERT_SELECT


def _outdated(wanted: Expected, functions: Mapping[str, str]) -> Iterator[Drift]:
    records = (*wanted.sources.values(), *wanted.queries.values())
    for record in {(each.version, each.number): each for each in records}.values():
        for name, checksum in record.functions:
            if name in functions and functions[name] != checksum:
                detail = f"its function {name} was changed since {_where(record)}: rebuild it"
                yield Drift("altered", record.target or "", detail)


def _missing(wanted: Expected, server: Server) -> Iterator[Drift]:
    for name, record in wanted.sources.items():
        source = server.sources.get(name)
        if source is None:
            yield Drift("missing", name, f"made by {_where(record)}")
        elif source.topic not in server.topics and not record.topic_existed:
            detail = f"the topic of {name}, which neither gives nor takes rows now: roll back and apply"
            yield Drift("missing", source.topic, f"{detail} version {record.version}")
    for query_id, record in wanted.queries.items():
        if query_id not in server.queries and record.target in server.sources:
            yield Drift("missing", query_id, f"the query of {_where(record)}, into {record.target}")


def _extra(wanted: Expected, server: Server) -> Iterator[Drift]:
    for name, source in sorted(server.sources.items()):
        own = name in METADATA or name in OWN or is_lock(name) or name.startswith(PRIVATE_PREFIX)
        if name not in wanted.sources and not own:
            yield Drift("extra", name, f"a {source.kind.lower()} that no migration made")
    for query in server.queries.values():
        into = [each for each in query.sinks if each in wanted.sources]
        unknown = [each for each in into if wanted.sources[each].query_id is not None]
        inserting = query.id.startswith("INSERTQUERY")
        if query.id not in wanted.queries and (unknown or (into and inserting)):
            yield Drift("extra", query.id, f"writes into {', '.join(into)}, by no migration")


def _altered(wanted: Expected, server: Server) -> Iterator[Drift]:
    live = catalog_of(server, with_queries=True)
    made = Catalog()
    for number, (name, record) in enumerate(wanted.sources.items()):
        statement = parsed(record.text)
        known = server.described.get(name)
        if statement is None or known is None:
            continue
        try:
            made = applied(made, statement, number, any_replacement=True)
        except SqlError:
            continue
        same_text = record.defined is not None and _squeezed(known.statement) == _squeezed(
            record.defined
        )
        if name in wanted.altered:
            continue
        old, new = made.definition(name), live.definition(name)
        if old is None or new is None:
            continue
        if (old.analysis is None) != (new.analysis is None):
            continue  # its query is missing, or could not be read
        found = changes(
            replace(old, source=_comparable(old.source)), replace(new, source=_comparable(new.source))
        )
        # That a windowed aggregation cannot be replaced is no difference between the two.
        real = [each for each in found if each.difference is not Difference.REPLACED_AGGREGATION]
        if same_text:  # the server's text does not tell columns that ALTER has added
            real = [each for each in real if each.clause == "columns"]
        if real:
            detail = "; ".join(f"{each.clause}: {each.what}" for each in real)
            yield Drift("altered", name, f"{detail} (from {_where(record)} to what is live)")


def _comparable(source: Source) -> Source:
    """Without what only one side tells: formats that follow from the source, a window's grace."""
    columns = tuple(Column(each.name, each.type, "KEY" if each.is_key else None) for each in source.columns)
    return replace(source, columns=columns, key_format="", value_format="")


def _stopped(
    wanted: Expected, server: Server, errors: Mapping[str, Sequence[str]]
) -> Iterator[Drift]:
    for query_id in wanted.queries:
        query = server.queries.get(query_id)
        if query is None:
            continue
        if query.state == "ERROR":
            said = (errors.get(query_id) or ["no reason given"])[-1]
            yield Drift("failed", query_id, said.splitlines()[0])
        elif query.paused:
            yield Drift("paused", query_id, f"into {', '.join(query.sinks)}")


def _where(record: StatementRecord) -> str:
    return f"statement {record.number} of version {record.version}"


def _squeezed(text: str) -> str:
    return " ".join(text.split())
