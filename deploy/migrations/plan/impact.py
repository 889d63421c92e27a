"""The impact of a statement on data, and whether a server accepts it: pure, from the catalog before it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from opensea_metrics.core.errors import SqlError
from opensea_metrics.deploy.migrations.record.records import CREATES, DROPS
from opensea_metrics.sql.language.catalog.catalog import Catalog
from opensea_metrics.sql.language.catalog.changes import applied
from opensea_metrics.sql.language.catalog.upgrade import Change, Difference, changes
from opensea_metrics.sql.language.lowering.refusals import Unsupported
from opensea_metrics.sql.language.statements.statements import Kind, Statement


class Verdict(StrEnum):
    """What happens to the object that a statement names."""

    NEW = "new"
    UNCHANGED = "unchanged"
    IN_PLACE = "in place"
    REBUILD = "rebuild"
    SIDE_BY_SIDE = "side by side"
    DROPPED = "dropped"
    REFUSED = "refused"


class DataEffect(StrEnum):
    """What a step does to data. ``output`` says it in sentences."""

    NONE = "none"
    ALREADY_EXECUTED = "already executed"
    ABSENT = "absent"
    EXISTS = "exists"
    EXISTS_AS_DEFINED = "exists as defined"
    EXISTS_DIFFERENTLY = "exists differently"
    SAME_DEFINITION = "same definition"
    REPLACED = "replaced"
    COLUMNS_ADDED = "columns added"
    UNTOUCHED = "untouched"
    TOPIC_CREATED = "topic created"
    TOPIC_DECLARED = "topic declared"
    SINK_WRITTEN = "sink written"
    ROWS_INSERTED = "rows inserted"
    ROW_INSERTED = "row inserted"
    TOPIC_KEPT = "topic kept"
    TOPIC_DELETED = "topic deleted"
    QUERY_ENDED = "query ended"
    BUILT_BESIDE = "built beside"
    WRITER_BESIDE = "writer beside"
    SINK_SWITCHED = "sink switched"
    OLD_QUERY_ENDED = "old query ended"
    OLD_VERSION_DROPPED = "old version dropped"
    OLD_VERSION_DELETED = "old version deleted"


@dataclass(frozen=True)
class Impact:
    """The verdict on a step, and its effect on data.

    ``clause``: the clause of the statement that led to the verdict. ``reason``: the server's (expected) reason for a
    refusal. ``topic``: the topic that the effect concerns, which has rows if ``topic_existed``. ``subject``: the old
    object that a step side by side replaces. ``changes``: the differences from the definition on the server.
    """

    verdict: Verdict
    effect: DataEffect
    clause: str | None = None
    reason: str | None = None
    topic: str | None = None
    topic_existed: bool = False
    subject: str | None = None
    changes: tuple[Change, ...] = ()

    @property
    def adds_columns(self) -> bool:
        """True if columns are added in place, which no later statement can undo."""
        return self.effect is DataEffect.COLUMNS_ADDED or any(
            change.difference is Difference.COLUMNS_ADDED for change in self.changes
        )


@dataclass(frozen=True)
class World:
    """The server before a statement, after all earlier statements of the plan.

    ``dropped``: the names that the plan itself has dropped. ``is_embedded``: see Server.
    """

    catalog: Catalog
    topics: frozenset[str]
    dropped: frozenset[str] = frozenset()
    is_embedded: bool = False


def assess(statement: Statement, world: World, number: int) -> tuple[Impact, World]:
    """The impact of a statement, and the world after it. ``number`` makes the ids of new queries unique.

    If ksqlDB refuses the statement, the world stays as it is. If only the embedded server cannot run the statement,
    the world is the one after it. So later statements are judged by themselves.
    """
    before = world.catalog
    name = statement.name or ""
    try:
        changed = applied(before, statement, number, any_replacement=True)
    except SqlError as error:
        return Impact(Verdict.REFUSED, DataEffect.NONE, reason=error.message), world
    if world.is_embedded and (refused := _refused_by_embedded(before, statement, changed)):
        return refused, replace(world, catalog=changed)
    try:
        after = applied(before, statement, number) if statement.replaces else changed
    except SqlError as error:
        old, new = before.definition(name), changed.definition(name)
        differences = changes(old, new) if old and new else ()
        clauses = _clauses(change for change in differences if change.refusal is not None)
        return Impact(Verdict.REFUSED, DataEffect.NONE, clauses, error.message), world
    if world.is_embedded and (refused := _refused_by_embedded(before, statement, after, in_place=True)):
        return replace(refused, clause="SELECT"), world
    impact = _impact(statement, world, after)
    topics, dropped = world.topics, world.dropped
    if statement.kind in CREATES and name in after.sources:
        topics |= {after.sources[name].topic}
    if statement.kind in DROPS and name in before.sources:
        dropped |= {name}
        if statement.deletes_topic:
            topics -= {before.sources[name].topic}
    return impact, replace(world, catalog=after, topics=topics, dropped=dropped)


def _refused_by_embedded(
    before: Catalog, statement: Statement, after: Catalog, in_place: bool = False
) -> Impact | None:
    """The impact of a statement that only ksqlDB runs, or only ksqlDB ``in_place``; None for any other statement."""
    # Imported here, because it takes long, and a plan for ksqlDB does not need it.
    from opensea_metrics.sql.language.lowering import support

    try:
        if in_place:
            support.check_replacement(before, statement, after)
        else:
            support.check_statement(before, statement, after)
            support.check_registry(before, statement, after)
    except Unsupported as error:
        place = f"{error.place}: " if error.place != statement.place else ""
        reason = f"{place}{error.message}\n  hint: {error.hint}"
        return Impact(Verdict.REFUSED, DataEffect.NONE, reason=reason)
    return None


_ALWAYS = {
    Kind.INSERT_SELECT: Impact(Verdict.NEW, DataEffect.ROWS_INSERTED),
    Kind.INSERT_VALUES: Impact(Verdict.NEW, DataEffect.ROW_INSERTED),
    Kind.TERMINATE: Impact(Verdict.DROPPED, DataEffect.QUERY_ENDED),
    Kind.CREATE_TYPE: Impact(Verdict.NEW, DataEffect.UNTOUCHED),
    Kind.DROP_TYPE: Impact(Verdict.DROPPED, DataEffect.UNTOUCHED),
    Kind.ALTER: Impact(Verdict.IN_PLACE, DataEffect.COLUMNS_ADDED, "columns"),
}
"""The impacts of accepted statements that do not depend on the server."""


def _impact(statement: Statement, world: World, after: Catalog) -> Impact:
    kind, known = statement.kind, world.catalog.sources.get(statement.name or "")
    if kind in CREATES and known is None:
        return _creation(statement, world, after)
    if kind in CREATES:
        replaces = statement.replaces
        return _replacement(statement, world.catalog, after) if replaces else _existing(statement, world.catalog)
    if kind in DROPS and known is not None:
        effect = DataEffect.TOPIC_DELETED if statement.deletes_topic else DataEffect.TOPIC_KEPT
        return Impact(Verdict.DROPPED, effect, topic=known.topic)
    if kind in DROPS or (kind is Kind.DROP_TYPE and after.types == world.catalog.types):
        return Impact(Verdict.UNCHANGED, DataEffect.ABSENT)
    if kind is Kind.CREATE_TYPE and after.types == world.catalog.types:
        return Impact(Verdict.UNCHANGED, DataEffect.EXISTS)
    return _ALWAYS.get(kind, Impact(Verdict.IN_PLACE, DataEffect.UNTOUCHED))


def _creation(statement: Statement, world: World, after: Catalog) -> Impact:
    source = after.sources[statement.name or ""]
    existed = source.topic in world.topics
    is_again = source.name in world.dropped
    effect = DataEffect.TOPIC_DECLARED if existed else DataEffect.TOPIC_CREATED
    return Impact(
        Verdict.REBUILD if is_again else Verdict.NEW,
        DataEffect.SINK_WRITTEN if statement.starts_query else effect,
        "DROP" if is_again else None,
        topic=source.topic,
        topic_existed=existed,
    )


def _existing(statement: Statement, before: Catalog) -> Impact:
    """The impact of CREATE … IF NOT EXISTS on an object that exists."""
    name = statement.name or ""
    old = before.definition(name)
    others = {key: value for key, value in before.sources.items() if key != name}
    try:
        new = applied(replace(before, sources=others), statement, -1).definition(name)
    except SqlError:
        new = None
    if old is None or new is None:
        return Impact(Verdict.UNCHANGED, DataEffect.EXISTS)
    differences = changes(old, new)
    effect = DataEffect.EXISTS_DIFFERENTLY if differences else DataEffect.EXISTS_AS_DEFINED
    return Impact(Verdict.UNCHANGED, effect, _clauses(differences))


def _replacement(statement: Statement, before: Catalog, after: Catalog) -> Impact:
    """The impact of CREATE OR REPLACE on an object that exists, where ksqlDB accepts it."""
    name = statement.name or ""
    old, new = before.definition(name), after.definition(name)
    differences = changes(old, new) if old and new else ()
    if not differences:
        return Impact(Verdict.UNCHANGED, DataEffect.SAME_DEFINITION)
    return Impact(Verdict.IN_PLACE, DataEffect.REPLACED, _clauses(differences), changes=differences)


def _clauses(differences: Iterable[Change]) -> str | None:
    """The clauses that differ, each once; None if there are none."""
    return ", ".join(dict.fromkeys(change.clause for change in differences)) or None
