"""Changes that ksqlDB does not make in place: the new version is built beside the old one.

NAME_V2 is built from the start of its sources, and so is everything that depends on NAME. All of that catches up.
Then the queries that write into other streams start over the new objects, and those over the old objects end. Only
then are the old objects dropped. They serve until then.

In templates ``{{ ref('name') }}`` is the version that serves now.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from itertools import count

from opensea_metrics.deploy.client.snapshot import Server, sendable
from opensea_metrics.deploy.client.topics import PRIVATE_PREFIX
from opensea_metrics.deploy.migrations.errors import MigrationError
from opensea_metrics.deploy.migrations.plan.impact import DataEffect, Impact, Verdict
from opensea_metrics.deploy.migrations.plan.steps import ApplyStep, planned
from opensea_metrics.deploy.migrations.record.records import Recorded
from opensea_metrics.deploy.replies import ServerQuery
from opensea_metrics.sql.language.statements.parser import parse_statement
from opensea_metrics.sql.language.statements.properties import RESET
from opensea_metrics.sql.language.statements.statements import Statement, dropping, terminating

_VERSION = re.compile(r"(.*)_V(\d+)", re.DOTALL)


def expand(step: ApplyStep, recorded: Recorded, server: Server) -> list[ApplyStep]:
    """The steps that execute ``step``, a CREATE OR REPLACE, side by side; the first has the number of ``step``.

    Raises MigrationError if an object that no migration created depends on the old version.
    """
    place, old, described = step.statement.place, step.statement.name or "", server.described
    affected = _affected(old, server)
    created = {record.target: record for record in recorded.statements if record.in_effect and record.created_source}
    for name in affected:
        if name not in created:
            raise MigrationError(
                f"{place}: {old} cannot be built side by side, because {name} depends on it and no"
                f" migration created {name}\n  hint: drop {name} first"
            )
    logical = {physical: name for name, physical in recorded.physical_names.items()}
    names = {name: _next_name(logical.get(name, name), name, server) for name in affected}
    topic_of = {name: created[name].topic or "" for name in affected}
    computed = [name for name in affected if described[name].write_queries]
    topics = {topic_of[name]: _next_topic(topic_of[name], name, names[name]) for name in computed}
    if topic_of[old] in topics and step.statement.topic:
        topics[step.statement.topic] = topics[topic_of[old]]  # as the file has it
    properties = tuple(sorted({**dict(step.record.properties), RESET: "earliest"}.items()))
    numbers = count(step.record.number)

    def new(statement: Statement, impact: Impact, logical_name: str | None = None) -> ApplyStep:
        record = planned(statement, step.record.version, next(numbers), properties)
        return ApplyStep(statement, replace(record, logical=logical_name), impact)

    def beside(text: str, effect: DataEffect, subject: str, logical_name: str | None = None) -> ApplyStep:
        statement = replace(rewritten(text, names, topics), place=place)
        return new(statement, Impact(Verdict.SIDE_BY_SIDE, effect, subject=subject), logical_name)

    built = []
    for name in affected:
        text = step.statement.text if name == old else described[name].statement
        built.append(beside(text, DataEffect.BUILT_BESIDE, name, logical.get(name, name)))
    inserts = _inserts(affected, server)
    into_old = [query for query in inserts if query.sinks[0] in names]
    out_of_old = [query for query in inserts if query.sinks[0] not in names]
    built += [beside(query.text, DataEffect.WRITER_BESIDE, query.id) for query in into_old]
    switching = [beside(query.text, DataEffect.SINK_SWITCHED, query.id) for query in out_of_old]
    for query in (*out_of_old, *into_old):
        switching.append(new(terminating(query.id, place), Impact(Verdict.DROPPED, DataEffect.OLD_QUERY_ENDED)))
    for name in reversed(affected):
        own = name in computed and created[name].created_topic
        dropped = dropping(server.sources[name].kind, name, place, delete_topic=own)
        effect = DataEffect.OLD_VERSION_DELETED if own else DataEffect.OLD_VERSION_DROPPED
        switching.append(new(dropped, Impact(Verdict.DROPPED, effect, topic=created[name].topic)))
    # There is at least one: the old version is dropped.
    awaited = tuple(names[name] for name in computed)
    switching[0] = replace(switching[0], record=replace(switching[0].record, awaits=awaited))
    return built + switching


def rewritten(text: str, names: Mapping[str, str], topics: Mapping[str, str]) -> Statement:
    """A CREATE or INSERT INTO … SELECT with new names for its target, its sources and its topic."""
    return sendable(parse_statement(text)).creating().renamed(names, topics)


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


def _inserts(affected: list[str], server: Server) -> list[ServerQuery]:
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
