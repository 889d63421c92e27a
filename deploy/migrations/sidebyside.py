"""Changing what ksqlDB does not replace: the new version is built beside the old one.

NAME_V2 is made from the start of its sources, and so is what depends on NAME; when all of that has
caught up, queries that write into other streams are started over the new ones and ended over the
old, and only then the old ones are dropped. Until then they go on serving.

In templates ``{{ ref('name') }}`` is the version that serves now.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from opensea_metrics.deploy.migrations.actions import PRIVATE_PREFIX
from opensea_metrics.deploy.migrations.errors import MigrationError
from opensea_metrics.deploy.migrations.live import sendable
from opensea_metrics.deploy.migrations.server import Server
from opensea_metrics.deploy.migrations.state import MAKES_SOURCE, Recorded, StatementRecord
from opensea_metrics.deploy.replies import ServerQuery
from opensea_metrics.sql.language.statements.parser import parse_statement
from opensea_metrics.sql.language.statements.statements import Statement, dropping, terminating

_VERSION = re.compile(r"(.*)_V(\d+)", re.DOTALL)


@dataclass(frozen=True)
class Part:
    """One statement of the change. ``data`` says what it does; ``logical`` names what it builds;
    ``awaits``: streams and tables whose queries must have caught up before it is sent."""

    statement: Statement
    data: str
    logical: str | None = None
    awaits: tuple[str, ...] = ()


def physical_names(recorded: Recorded) -> dict[str, str]:
    """The names in the files of what was built side by side, with its newest names."""
    return {
        each.logical: each.target
        for each in recorded.statements
        if each.in_effect and each.logical and each.target and each.kind in MAKES_SOURCE
    }


def expand(statement: Statement, recorded: Recorded, server: Server) -> tuple[Part, ...]:
    """The statements that put ``statement``, a CREATE OR REPLACE, into effect side by side.

    Raises MigrationError if something that no migration made depends on what is to be replaced.
    """
    old = statement.name or ""
    affected = _affected(old, server)
    made = {each.target: each for each in recorded.statements if each.in_effect and each.made_source}
    for name in affected:
        if name not in made:
            raise MigrationError(
                f"{statement.place}: {old} cannot be built anew beside the old one, as {name}, which"
                " no migration made, depends on it\n  hint: drop that first"
            )
    logical = {physical: name for name, physical in physical_names(recorded).items()}
    names = {each: _next_name(logical.get(each, each), each, server) for each in affected}
    topics = {
        made[each].topic or "": _next_topic(made[each].topic or "", each, names[each])
        for each in affected
        if server.described[each].write_queries
    }
    if (made[old].topic or "") in topics and statement.topic:
        topics[statement.topic] = topics[made[old].topic or ""]  # as the file has it
    return tuple(_parts(statement, affected, made, names, topics, logical, server))


def _parts(
    statement: Statement,
    affected: list[str],
    made: Mapping[str | None, StatementRecord],
    names: Mapping[str, str],
    topics: Mapping[str, str],
    logical: Mapping[str, str],
    server: Server,
) -> Iterator[Part]:
    old = statement.name or ""
    built = tuple(names[each] for each in affected if server.described[each].write_queries)
    for name in affected:
        text = statement.text if name == old else server.described[name].statement
        what = f"built beside {name} from the start of its sources; {name} goes on serving"
        new = rewritten(text, names, topics)
        yield Part(replace(new, place=statement.place), what, logical.get(name, name))
    inserts = _inserts(affected, server)
    into_old = [each for each in inserts if each.sinks[0] in names]
    out_of_old = [each for each in inserts if each.sinks[0] not in names]
    for query in into_old:
        new = rewritten(query.text, names, topics)
        yield Part(replace(new, place=statement.place), f"writes into {new.name} as {query.id} does")
    first = True
    for query in out_of_old:
        new = rewritten(query.text, names, topics)
        data = f"what {query.id} writes into {query.sinks[0]} comes from the new version from now on"
        yield Part(replace(new, place=statement.place), data, awaits=built if first else ())
        first = False
    for query in (*out_of_old, *into_old):
        ended = terminating(query.id, statement.place)
        yield Part(ended, "the query over the old version ends", awaits=built if first else ())
        first = False
    for name in reversed(affected):
        own = bool(server.described[name].write_queries) and made[name].made_topic
        kind = server.sources[name].kind
        dropped = dropping(kind, name, statement.place, delete_topic=own)
        fate = f"; topic {made[name].topic} deleted with all its rows" if own else ""
        data = f"the old version is dropped{fate}"
        yield Part(dropped, data, awaits=built if first else ())
        first = False


def rewritten(text: str, names: Mapping[str, str], topics: Mapping[str, str]) -> Statement:
    """A CREATE or INSERT INTO … SELECT under new names: what it creates, reads and stores in."""
    return sendable(parse_statement(text)).creating().renamed(names, topics)


def _affected(old: str, server: Server) -> list[str]:
    """``old`` and all that depends on it, what is read before what reads it."""
    found: list[str] = []
    waiting = [old]
    while waiting:
        name = waiting.pop(0)
        if name in found:  # reached by two ways: it comes after both
            found.remove(name)
        found.append(name)
        known = server.described[name]
        created = [each for each in known.read_queries if not each.id.startswith("INSERTQUERY")]
        readers = [sink for each in created for sink in each.sinks]
        over = [
            each.name
            for each in server.described.values()
            if known.write_queries and each.topic == known.topic and not each.write_queries
        ]
        waiting += [
            each
            for each in (*over, *readers)
            if each in server.described and each != name and not each.startswith(PRIVATE_PREFIX)
        ]
    return found


def _inserts(affected: list[str], server: Server) -> list[ServerQuery]:
    """INSERT INTO queries that read from or write into what is affected."""
    found: dict[str, ServerQuery] = {}
    for name in affected:
        known = server.described[name]
        for query in (*known.read_queries, *known.write_queries):
            if query.id.startswith("INSERTQUERY"):
                found[query.id] = query
    return [found[each] for each in sorted(found)]


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
