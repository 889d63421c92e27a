"""How one statement is undone, or why it cannot be: from its record and from the server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from opensea_metrics.deploy.migrations.actions import (
    PRIVATE_PREFIX,
    Action,
    DeleteTopic,
    Drop,
    KeepTopic,
    Restore,
    Terminate,
    private_name,
)
from opensea_metrics.deploy.migrations.impact import Verdict, World, assess
from opensea_metrics.deploy.migrations.live import catalog_of, parsed, sendable
from opensea_metrics.deploy.migrations.server import Server, effect_of
from opensea_metrics.deploy.migrations.state import (
    MAKES_SOURCE,
    MAKES_STREAM,
    Recorded,
    StatementRecord,
)
from opensea_metrics.deploy.replies import ServerSource
from opensea_metrics.sql.language.statements.statements import Kind

DROPS = (Kind.DROP_STREAM, Kind.DROP_TABLE)


@dataclass(frozen=True)
class Undo:
    """The actions that undo ``records``: one statement, or with a down file all of a version.

    ``owner`` is the statement that had made what is made again: its query gets a new id.
    """

    records: tuple[StatementRecord, ...]
    actions: tuple[Action, ...]
    owner: StatementRecord | None = None


def undos(
    own: Sequence[StatementRecord],
    records: Sequence[StatementRecord],
    recorded: Recorded,
    server: Server,
    dropped: frozenset[str],
    keep_topics: bool,
) -> tuple[tuple[Undo, ...], Server]:
    """How statements are undone, each on the server as those before it leave it."""
    planned = []
    for record in own:
        earlier = [r for r in records if (r.version, r.number) < (record.version, record.number)]
        goes = record.target in {each.target for each in earlier if each.made_source}
        if record.kind is Kind.TERMINATE:
            goes = record.target in {each.query_id for each in earlier}
        actions = _actions(record, server, dropped, keep_topics, goes)
        planned.append(Undo((record,), actions, _owner(record, recorded)))
        sources = dict(server.sources)
        for action in actions:
            match action:
                case Drop(_, name):
                    sources.pop(name, None)
                case Restore(name, statement) if record.kind is not Kind.TERMINATE:
                    kind = "STREAM" if statement.kind in MAKES_STREAM else "TABLE"
                    sources[name] = ServerSource(name, kind, record.topic or "", "", False)
        server = replace(server, sources=sources)
    return tuple(planned), server


def _owner(record: StatementRecord, recorded: Recorded) -> StatementRecord | None:
    if record.previous is None:
        return None
    for each in reversed(recorded.statements):
        if each.in_effect and (each.version, each.number) < (record.version, record.number):
            ended = record.kind is Kind.TERMINATE and each.query_id == record.target
            made = record.kind is not Kind.TERMINATE and each.target == record.target
            if ended or (made and each.kind in MAKES_SOURCE):
                return each
    return None


def _actions(
    record: StatementRecord,
    server: Server,
    dropped: frozenset[str],
    keep_topics: bool,
    goes: bool,
) -> tuple[Action, ...]:
    """``goes``: a statement before this one made the target, and is undone too."""
    if record.previous is not None and record.target is not None:
        if goes or record.kind is Kind.ALTER:
            return ()  # it goes altogether
        restored = _restored(record)
        return (restored,) if restored else ()
    if record.kind is Kind.INSERT_SELECT:
        query_id = query_of(record, server)
        return (Terminate(query_id),) if query_id in server.queries else ()
    if not record.made_source or record.target is None:
        return ()
    actions: list[Action] = []
    if record.target in server.sources:
        actions.append(Drop("STREAM" if record.kind in MAKES_STREAM else "TABLE", record.target))
    topic = record.topic or ""
    if record.made_topic and (topic in server.topics or private_name(topic) in server.sources):
        readers = sorted(
            each.name
            for each in server.sources.values()
            if each.topic == topic
            and each.name not in dropped
            and not each.name.startswith(PRIVATE_PREFIX)
        )
        if keep_topics:
            actions.append(KeepTopic(topic, "as asked"))
        elif readers:
            actions.append(KeepTopic(topic, f"{', '.join(readers)} is declared over it"))
        else:
            actions.append(DeleteTopic(topic))
    return tuple(actions)


def _restored(record: StatementRecord) -> Restore | None:
    """The definition before a DROP, a TERMINATE or a CREATE OR REPLACE; None if it cannot be read."""
    previous = parsed(record.previous or "")
    if previous is None:
        return None
    name = previous.name or record.target or ""
    if record.kind is Kind.TERMINATE:
        return Restore(name, previous, loses_state=True)
    if record.kind in DROPS:
        return Restore(name, sendable(previous).creating(), loses_state=True)
    return Restore(name, sendable(previous).replacing(), loses_state=False)


def query_of(record: StatementRecord, server: Server) -> str:
    effect = None if record.query_id else effect_of(record, server)
    return record.query_id or (effect.query_id if effect else None) or ""


def irreversible(
    record: StatementRecord, dropped: frozenset[str], server: Server
) -> str | None:
    sent = parsed(record.text)
    replaced = sent is not None and sent.replaces
    if record.kind in MAKES_SOURCE and record.target_existed and replaced:
        if record.previous is None:
            return "replaces a definition that is not recorded"
        return None if record.target in dropped else _not_replaceable(record, server)
    if record.kind in DROPS and record.target_existed:
        if record.previous is None:
            return "has dropped it, and its definition is not recorded"
        if record.target not in dropped and _restored(record) is None:
            return "has dropped it, and this tool cannot read its definition"
    if record.kind is Kind.TERMINATE and not _was_insert(record):
        return "has ended a query, which cannot be started again without its sink"
    if record.kind is Kind.ALTER and record.target not in dropped:
        return "has added columns, which cannot be taken away"
    if record.kind is Kind.INSERT_VALUES and record.target not in dropped:
        return "has written rows, which cannot be taken back"
    return None


def _was_insert(record: StatementRecord) -> bool:
    """Whether the query that a TERMINATE ended was an INSERT INTO … SELECT."""
    previous = parsed(record.previous or "")
    return previous is not None and previous.kind is Kind.INSERT_SELECT


def _not_replaceable(record: StatementRecord, server: Server) -> str | None:
    """Why the definition before cannot be put back in place, by ksqlDB's upgrade rules."""
    restored = _restored(record)
    if restored is None:
        return "replaces a definition that this tool cannot read"
    world = World(catalog_of(server, with_queries=True), server.topics)
    impact, _ = assess(restored.statement, {}, world, 0)
    if impact.verdict is not Verdict.REFUSED:
        return None
    clause = f" ({impact.clause})" if impact.clause else ""
    return f"cannot be replaced by what was before{clause}: {impact.reason}"
