"""Checks of the entities in ksqlDB's replies to statements: their number and their members.

Sources: the replies of ksqlDB 7.9.1 to each statement, and the names in its KsqlEntity.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from opensea_metrics.deploy.replies import (
    CommandResult,
    Description,
    ServerQuery,
    ServerSource,
    ServerTopic,
)
from opensea_metrics.deploy.reply_columns import type_text
from opensea_metrics.deploy.shapes import Json, WrongShape, member, members, members_or_none, text
from opensea_metrics.sql.language.dialect.lexical import COMMENT, QUOTED_OR_COMMENT

_COMMENT = re.compile(COMMENT, re.DOTALL)
_SKIPPED = re.compile(QUOTED_OR_COMMENT, re.DOTALL)
_WORD = re.compile(r"\w+")


def check_number(statements: str, reply: Sequence[Json]) -> None:
    """Raises WrongShape if the number of entities does not fit the statements.

    Most statements get one entity. INSERT INTO … VALUES, SET, UNSET and DEFINE get none. UNDEFINE gets
    one if there is no variable of that name.
    """
    written = _SKIPPED.sub(_without_quoted, statements).split(";")
    numbers = [_entities_of(words) for statement in written if (words := _WORD.findall(statement.upper()))]
    least, most = sum(low for low, _ in numbers), sum(high for _, high in numbers)
    if not least <= len(reply) <= most:
        raise WrongShape(f"it has {len(reply)} entities where ksqlDB has {most}")


def check_shape(entity: Json) -> None:
    """Raises WrongShape if ksqlDB has no such type of entity, or if members that we read are missing."""
    kind = text(entity, "@type")
    if kind not in _READERS:
        raise WrongShape(f"its '@type' is {kind[:40]!r}, which ksqlDB does not have")
    _READERS[kind](entity)


def _without_quoted(part: re.Match[str]) -> str:
    return " " if _COMMENT.match(part[0]) else " x "


def _entities_of(words: Sequence[str]) -> tuple[int, int]:
    """The least and the greatest number of entities that a statement gets."""
    if words[0] in ("SET", "UNSET", "DEFINE"):
        return 0, 0
    if words[0] == "UNDEFINE":
        return 0, 1
    if words[0] == "INSERT" and "SELECT" not in words:
        return 0, 0
    return 1, 1


def _nothing(entity: Json) -> None:
    """For entities whose type is the only part that is read."""


def _all(name: str, read: Callable[[Json], object]) -> Callable[[Json], None]:
    def check(entity: Json) -> None:
        for item in members(entity, name):
            read(item)

    return check


def _one(name: str, read: Callable[[Json], object]) -> Callable[[Json], None]:
    def check(entity: Json) -> None:
        read(member(entity, name))

    return check


def _named(reply: Json) -> None:
    text(reply, "name")


def _query_description(reply: Json) -> None:
    text(reply, "id")
    for column in members_or_none(reply, "fields"):
        text(column, "name")
        type_text(member(column, "schema"))


def _function(entity: Json) -> None:
    _named(entity)
    members(entity, "functions")


_READERS: dict[str, Callable[[Json], object]] = {
    "currentStatus": CommandResult.of,
    "warning_entity": CommandResult.of,
    "streams": _all("streams", ServerSource.of),
    "tables": _all("tables", ServerSource.of),
    "queries": _all("queries", ServerQuery.of),
    "kafka_topics": _all("topics", ServerTopic.of),
    "kafka_topics_extended": _all("topics", ServerTopic.of),
    "sourceDescription": _one("sourceDescription", Description.of),
    "source_descriptions": _all("sourceDescriptions", Description.of),
    "queryDescription": _one("queryDescription", _query_description),
    "query_descriptions": _all("queryDescriptions", _query_description),
    "function_names": _all("functions", _named),
    "describe_function": _function,
    "properties": _all("properties", _named),
    "variables": _all("variables", _named),
    "type_list": _one("types", _nothing),
    **dict.fromkeys(
        (
            "topicDescription", "executionPlan", "connector_info", "drop_connector", "connector_list",
            "connector_plugins_list", "connector_description", "terminate_query", "assert_topic",
            "assert_schema",
        ),
        _nothing,
    ),
}  # fmt: skip
