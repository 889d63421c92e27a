"""What a statement will do to data, and whether a server takes it: pure, from the catalog before."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from opensea_metrics.core.errors import SqlError
from opensea_metrics.sql.language.catalog.catalog import Catalog
from opensea_metrics.sql.language.catalog.changes import applied
from opensea_metrics.sql.language.catalog.upgrade import Change, Difference, changes
from opensea_metrics.sql.language.lowering import support
from opensea_metrics.sql.language.lowering.refusals import Unsupported
from opensea_metrics.sql.language.statements.properties import RESET
from opensea_metrics.sql.language.statements.statements import Kind, Statement

CREATES = (Kind.CREATE_STREAM, Kind.CREATE_TABLE, Kind.CREATE_STREAM_AS, Kind.CREATE_TABLE_AS)


class Verdict(StrEnum):
    """What becomes of what a statement names."""

    NEW = "new"
    UNCHANGED = "unchanged"
    IN_PLACE = "in place"
    REBUILD = "rebuild"
    SIDE_BY_SIDE = "side by side"
    DROPPED = "dropped"
    REFUSED = "refused"


@dataclass(frozen=True)
class Impact:
    """``data`` says in words what happens to data; ``clause`` which clause made the verdict.

    ``reason`` is the server's (expected) reason for a refusal; ``adds_columns``: columns are added in
    place, which no later statement can undo.
    """

    verdict: Verdict
    data: str
    clause: str | None = None
    reason: str | None = None
    adds_columns: bool = False


@dataclass(frozen=True)
class World:
    """Things as they are before a statement: the server's, and what the plan did up to there.

    ``dropped``: names that the plan itself has dropped; ``is_embedded`` as of :class:`Server`.
    """

    catalog: Catalog
    topics: frozenset[str]
    dropped: frozenset[str] = frozenset()
    is_embedded: bool = False


def assess(
    statement: Statement, properties: dict[str, str], world: World, number: int
) -> tuple[Impact, World]:
    """The impact of a statement, and the world after it.

    If ksqlDB refuses the statement, the world is as before. If only the embedded server cannot run it,
    the world is as after it, so that later statements are judged by themselves.
    """
    before = world.catalog
    name = statement.name or ""
    if world.is_embedded and (refused := _refused_by_embedded(statement, before, number)):
        return refused[0], replace(world, catalog=refused[1])
    try:
        after = applied(before, statement, number)
    except SqlError as error:
        return _refusal(statement, before, number, error), world
    if world.is_embedded:
        try:
            support.check_replacement(before, statement, after)
        except Unsupported as error:
            return replace(_unsupported(statement, error), clause="SELECT"), world
    impact = _impact(statement, properties, world, after)
    topics, dropped = world.topics, world.dropped
    if statement.kind in CREATES and name in after.sources:
        topics |= {after.sources[name].topic}
    if statement.kind in (Kind.DROP_STREAM, Kind.DROP_TABLE) and name in before.sources:
        dropped |= {name}
        if statement.deletes_topic:
            topics -= {before.sources[name].topic}
    return impact, replace(world, catalog=after, topics=topics, dropped=dropped)


def _refused_by_embedded(
    statement: Statement, before: Catalog, number: int
) -> tuple[Impact, Catalog] | None:
    """The impact of what the embedded server cannot run, in place or side by side, and the catalog after it."""
    try:
        after = applied(before, statement, number, any_replacement=True)
    except SqlError:
        return None  # ksqlDB would refuse it, too
    try:
        support.check_statement(before, statement, after)
        support.check_registry(before, statement, after)
    except Unsupported as error:
        return _unsupported(statement, error), after
    return None


def _unsupported(statement: Statement, error: Unsupported) -> Impact:
    """The impact of what the embedded server does not have."""
    place = f"{error.place}: " if error.place != statement.place else ""
    return Impact(Verdict.REFUSED, "nothing", None, f"{place}{error.message}\n  hint: {error.hint}")


def _impact(
    statement: Statement, properties: dict[str, str], world: World, after: Catalog
) -> Impact:
    name = statement.name or ""
    before = world.catalog
    match statement.kind:
        case kind if kind in CREATES and name in before.sources:
            return _second_definition(statement, before, after)
        case kind if kind in CREATES:
            return _creation(statement, properties, world, after)
        case Kind.INSERT_SELECT:
            return Impact(
                Verdict.NEW, f"{_reading(statement, properties)}; rows are added to {name}"
            )
        case Kind.INSERT_VALUES:
            return Impact(Verdict.NEW, f"one row is added to {name}")
        case Kind.DROP_STREAM | Kind.DROP_TABLE if name not in before.sources:
            return Impact(Verdict.UNCHANGED, "nothing: it does not exist")
        case Kind.DROP_STREAM | Kind.DROP_TABLE:
            topic = before.sources[name].topic
            fate = "deleted with all its rows" if statement.deletes_topic else "kept"
            return Impact(Verdict.DROPPED, f"dropped, its query's state is lost; topic {topic} {fate}")
        case Kind.TERMINATE:
            return Impact(Verdict.DROPPED, "the query ends; what it has written stays")
        case Kind.ALTER:
            data = "columns added; rows written before have none"
            return Impact(Verdict.IN_PLACE, data, "columns", adds_columns=True)
        case _:
            return Impact(Verdict.IN_PLACE, "no data is touched")


def _creation(
    statement: Statement, properties: dict[str, str], world: World, after: Catalog
) -> Impact:
    source = after.sources[statement.name or ""]
    is_there = source.topic in world.topics
    if statement.starts_query:
        data = _reading(statement, properties)
        data += f"; writes topic {source.topic}" + (", to the rows in it" if is_there else "")
    elif is_there:
        data = f"declared over topic {source.topic}, which stays as it is"
    else:
        data = f"topic {source.topic} is made"
    if source.name not in world.dropped:
        return Impact(Verdict.NEW, data)
    lost = "state lost; " if statement.starts_query else ""
    return Impact(Verdict.REBUILD, f"{lost}{data}", "DROP")


def _second_definition(statement: Statement, before: Catalog, after: Catalog) -> Impact:
    name = statement.name or ""
    if not statement.replaces:  # IF NOT EXISTS
        differing = _differences(statement, before)
        if differing is None:
            return Impact(Verdict.UNCHANGED, "nothing: it exists")
        clauses = ", ".join(dict.fromkeys(each.clause for each in differing))
        if not differing:
            return Impact(Verdict.UNCHANGED, "nothing: it exists, as defined here")
        return Impact(
            Verdict.UNCHANGED, "nothing: it exists, with another definition, which stays", clauses
        )
    old, new = before.definition(name), after.definition(name)
    assert old is not None
    assert new is not None
    found = changes(old, new)
    if not found:
        return Impact(Verdict.UNCHANGED, "the same definition; state and offsets are kept")
    clauses = ", ".join(dict.fromkeys(each.clause for each in found))
    what = "; ".join(each.what for each in found)
    return Impact(
        Verdict.IN_PLACE,
        f"replaced in place ({what}): state and offsets are kept, rows already written stay",
        clauses,
        adds_columns=any(each.difference is Difference.COLUMNS_ADDED for each in found),
    )


def _differences(statement: Statement, before: Catalog) -> tuple[Change, ...] | None:
    """How a definition differs from the one there is; None if that cannot be told."""
    name = statement.name or ""
    old = before.definition(name)
    others = {key: value for key, value in before.sources.items() if key != name}
    try:
        new = applied(replace(before, sources=others), statement, -1).definition(name)
    except SqlError:
        return None
    return changes(old, new) if old is not None and new is not None else None


def _refusal(statement: Statement, before: Catalog, number: int, error: SqlError) -> Impact:
    clause = None
    if statement.replaces and (old := before.definition(statement.name or "")) is not None:
        try:
            after = applied(before, statement, number, any_replacement=True)
        except SqlError:
            return Impact(Verdict.REFUSED, "nothing", None, error.message)
        new = after.definition(statement.name or "")
        found = changes(old, new) if new is not None else ()
        refused = [each for each in found if each.refusal is not None]
        clause = ", ".join(dict.fromkeys(each.clause for each in refused)) or None
    return Impact(Verdict.REFUSED, "nothing", clause, error.message)


def _reading(statement: Statement, properties: dict[str, str]) -> str:
    start = properties.get(RESET) or properties.get(f"ksql.streams.{RESET}")
    where = f"the {start}" if start else "the server's default"
    return f"reads {', '.join(statement.reads)} from {where} offset on"
