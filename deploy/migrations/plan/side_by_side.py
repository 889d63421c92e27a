"""Changes that ksqlDB does not make in place: the new version is built beside the old one.

NAME_V2 is built from the start of its sources, and so is everything that depends on NAME. All of that catches up.
Then the queries that write into other streams start over the new objects, and those over the old objects end. Only
then are the old objects dropped. They serve until then.

In templates ``{{ ref('name') }}`` is the version that serves now.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from opensea_metrics.deploy.client.snapshot import Server, sendable
from opensea_metrics.deploy.migrations.errors import MigrationError
from opensea_metrics.deploy.migrations.plan.impact import DataEffect, Impact, Verdict
from opensea_metrics.deploy.migrations.plan.steps import ApplyStep
from opensea_metrics.deploy.migrations.record.records import Recorded, StatementRecord
from opensea_metrics.deploy.migrations.run.topics import PRIVATE_PREFIX
from opensea_metrics.deploy.replies import ServerQuery
from opensea_metrics.sql.language.statements.parser import parse_statement
from opensea_metrics.sql.language.statements.properties import RESET
from opensea_metrics.sql.language.statements.statements import Statement, dropping, terminating

_VERSION = re.compile(r"(.*)_V(\d+)", re.DOTALL)


@dataclass(frozen=True)
class Replacement:
    """``old`` and all objects that depend on it (``affected``), and their new names and topics.

    ``created``: the records of the statements that created objects, by name. ``logical``: the names in the files of
    objects that were built side by side.
    """

    old: str
    affected: tuple[str, ...]
    created: Mapping[str | None, StatementRecord]
    logical: Mapping[str, str]
    names: Mapping[str, str]
    topics: Mapping[str, str]


def expand(step: ApplyStep, recorded: Recorded, server: Server) -> tuple[ApplyStep, ...]:
    """The steps that execute ``step``, a CREATE OR REPLACE, side by side; the first has the number of ``step``.

    Raises MigrationError if an object that no migration created depends on the old version.
    """
    replacement = _replacement(step.statement, recorded, server)
    properties = tuple(sorted({**dict(step.properties), RESET: "earliest"}.items()))
    parts = enumerate(_steps(step, replacement, server), step.number)
    return tuple(replace(part, number=number, properties=properties) for number, part in parts)


def rewritten(text: str, names: Mapping[str, str], topics: Mapping[str, str]) -> Statement:
    """A CREATE or INSERT INTO … SELECT with new names for its target, its sources and its topic."""
    return sendable(parse_statement(text)).creating().renamed(names, topics)


def _replacement(statement: Statement, recorded: Recorded, server: Server) -> Replacement:
    old = statement.name or ""
    affected = _affected(old, server)
    created = {record.target: record for record in recorded.statements if record.in_effect and record.created_source}
    for name in affected:
        if name not in created:
            raise MigrationError(
                f"{statement.place}: {old} cannot be built side by side, because {name} depends on it and no"
                f" migration created {name}\n  hint: drop {name} first"
            )
    logical = {physical: name for name, physical in recorded.physical_names.items()}
    names = {name: _next_name(logical.get(name, name), name, server) for name in affected}
    topics = {
        created[name].topic or "": _next_topic(created[name].topic or "", name, names[name])
        for name in affected
        if server.described[name].write_queries
    }
    if (created[old].topic or "") in topics and statement.topic:
        topics[statement.topic] = topics[created[old].topic or ""]  # as the file has it
    return Replacement(old, tuple(affected), created, logical, names, topics)


def _steps(step: ApplyStep, change: Replacement, server: Server) -> Iterator[ApplyStep]:
    """The steps in order, without their numbers: build, write, switch, end, drop."""
    names, topics, described = change.names, change.topics, server.described
    place = step.statement.place
    built = tuple(names[name] for name in change.affected if described[name].write_queries)

    def beside(text: str, effect: DataEffect, subject: str, logical: str | None = None) -> ApplyStep:
        statement = replace(rewritten(text, names, topics), place=place)
        impact = Impact(Verdict.SIDE_BY_SIDE, effect, subject=subject)
        return ApplyStep(step.version, 0, statement, impact=impact, logical=logical)

    for name in change.affected:
        text = step.statement.text if name == change.old else described[name].statement
        yield beside(text, DataEffect.BUILT_BESIDE, name, change.logical.get(name, name))
    inserts = _inserts(change.affected, server)
    into_old = [query for query in inserts if query.sinks[0] in names]
    out_of_old = [query for query in inserts if query.sinks[0] not in names]
    for query in into_old:
        yield beside(query.text, DataEffect.WRITER_BESIDE, query.id)
    switching = [beside(query.text, DataEffect.SINK_SWITCHED, query.id) for query in out_of_old]
    for query in (*out_of_old, *into_old):
        impact = Impact(Verdict.DROPPED, DataEffect.OLD_QUERY_ENDED)
        switching.append(ApplyStep(step.version, 0, terminating(query.id, place), impact=impact))
    for name in reversed(change.affected):
        topic = change.created[name].topic
        own = bool(described[name].write_queries) and change.created[name].created_topic
        dropped = dropping(server.sources[name].kind, name, place, delete_topic=own)
        effect = DataEffect.OLD_VERSION_DELETED if own else DataEffect.OLD_VERSION_DROPPED
        switching.append(ApplyStep(step.version, 0, dropped, impact=Impact(Verdict.DROPPED, effect, topic=topic)))
    # There is at least one: the old version is dropped.
    yield replace(switching[0], awaits=built)
    yield from switching[1:]


def _affected(old: str, server: Server) -> list[str]:
    """``old`` and all objects that depend on it, each before the objects that read it."""
    affected: list[str] = []
    waiting = [old]
    while waiting:
        name = waiting.pop(0)
        if name in affected:  # reached on two ways: the object comes after both
            affected.remove(name)
        affected.append(name)
        known = server.described[name]
        created = [query for query in known.read_queries if not query.id.startswith("INSERTQUERY")]
        readers = [sink for query in created for sink in query.sinks]
        over = [
            description.name
            for description in server.described.values()
            if known.write_queries and description.topic == known.topic and not description.write_queries
        ]
        waiting += [
            query
            for query in (*over, *readers)
            if query in server.described and query != name and not query.startswith(PRIVATE_PREFIX)
        ]
    return affected


def _inserts(affected: tuple[str, ...], server: Server) -> list[ServerQuery]:
    """The INSERT INTO queries that read from or write into the affected objects."""
    known = [server.described[name] for name in affected]
    queries = {query.id: query for source in known for query in (*source.read_queries, *source.write_queries)}
    return [queries[query] for query in sorted(queries) if query.startswith("INSERTQUERY")]


def _next_name(logical: str, now: str, server: Server) -> str:
    match = _VERSION.fullmatch(now) if now != logical else None
    number = int(match[2]) + 1 if match else 2
    while f"{logical}_V{number}" in server.sources:
        number += 1
    return f"{logical}_V{number}"


def _next_topic(topic: str, old: str, new: str) -> str:
    if topic == old:
        return new
    match = _VERSION.fullmatch(topic)
    suffix = new.rpartition("_V")[2]
    return f"{match[1] if match else topic}_V{suffix}"
