"""Reads the members of a reply by name, and checks their types.

The functions raise WrongShape for a member that is missing or has another type.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Json = Mapping[str, Any]

DEEPEST = 200
"""The greatest allowed number of nested objects and lists. ksqlDB's own replies have a few dozen at most."""


class WrongShape(ValueError):
    """A reply does not have the shape of ksqlDB's replies. The message begins with "it", which is the reply."""


def text(reply: Json, name: str) -> str:
    """A text. Raises WrongShape if it is missing."""
    value = reply.get(name)
    if not isinstance(value, str):
        raise _wrong(name, value, "text")
    return value


def text_or_none(reply: Json, name: str) -> str | None:
    """A text, or None if the member is null or missing."""
    return None if reply.get(name) is None else text(reply, name)


def number(reply: Json, name: str) -> int:
    """A whole number. Raises WrongShape if it is missing."""
    value = reply.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise _wrong(name, value, "a whole number")
    return value


def member(reply: Json, name: str) -> Json:
    """An object. Raises WrongShape if it is missing."""
    value = reply.get(name)
    if not isinstance(value, dict):
        raise _wrong(name, value, "an object")
    return value


def listed(reply: Json, name: str) -> list[Any]:
    """A list. Raises WrongShape if it is missing."""
    value = reply.get(name)
    if not isinstance(value, list):
        raise _wrong(name, value, "a list")
    return value


def members(reply: Json, name: str) -> list[Json]:
    """A list of objects. Raises WrongShape if it is missing."""
    values = listed(reply, name)
    for item in values:
        if not isinstance(item, dict):
            raise _wrong(f"a member of {name}", item, "an object")
    return values


def members_or_none(reply: Json, name: str) -> list[Json]:
    """A list of objects. Empty if the member is null or missing."""
    return [] if reply.get(name) is None else members(reply, name)


def texts_or_none(reply: Json, name: str) -> tuple[str, ...]:
    """A list of texts. Empty if the member is null or missing."""
    value = reply.get(name)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise _wrong(name, value, "a list of texts")
    return tuple(value)


def not_too_deep(value: Any) -> None:
    """Raises WrongShape if a value has too many levels. Does not recurse."""
    level: Sequence[Any] = [value]
    for _ in range(DEEPEST):
        level = [
            child
            for node in level
            if isinstance(node, dict | list)
            for child in (node.values() if isinstance(node, dict) else node)
        ]
        if not level:
            return
    raise WrongShape(f"it is nested more than {DEEPEST} levels deep")


def kind_of(value: Any) -> str:
    """The kind of a JSON value in words. Never shows the value."""
    names = {type(None): "null", bool: "true or false", str: "text", list: "a list", dict: "an object"}
    return names.get(type(value), "a number")


def _wrong(name: str, value: Any, expected: str) -> WrongShape:
    return WrongShape(f"its {name!r} is {kind_of(value)} where ksqlDB has {expected}")
