"""Parts of a reply by name, with the types that ksqlDB gives them: nothing is taken on trust.

Raises WrongShape for whatever is missing or of another type.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Json = Mapping[str, Any]

DEEPEST = 200
"""Levels of objects and lists. ksqlDB's own replies have at most some dozens."""


class WrongShape(ValueError):
    """A reply is not what ksqlDB would say; the message continues "the reply …" with "it …"."""


def text(reply: Json, name: str) -> str:
    """A text that must be there."""
    value = reply.get(name)
    if not isinstance(value, str):
        raise _wrong(name, value, "text")
    return value


def text_or_none(reply: Json, name: str) -> str | None:
    """A text, or None if it is null or missing."""
    return None if reply.get(name) is None else text(reply, name)


def number(reply: Json, name: str) -> int:
    """A whole number that must be there."""
    value = reply.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise _wrong(name, value, "a whole number")
    return value


def member(reply: Json, name: str) -> Json:
    """An object that must be there."""
    value = reply.get(name)
    if not isinstance(value, dict):
        raise _wrong(name, value, "an object")
    return value


def listed(reply: Json, name: str) -> list[Any]:
    """A list that must be there."""
    value = reply.get(name)
    if not isinstance(value, list):
        raise _wrong(name, value, "a list")
    return value


def members(reply: Json, name: str) -> list[Json]:
    """A list of objects that must be there."""
    values = listed(reply, name)
    for each in values:
        if not isinstance(each, dict):
            raise _wrong(f"a member of {name}", each, "an object")
    return values


def members_or_none(reply: Json, name: str) -> list[Json]:
    """A list of objects, empty if it is null or missing."""
    return [] if reply.get(name) is None else members(reply, name)


def texts_or_none(reply: Json, name: str) -> tuple[str, ...]:
    """A list of texts, empty if it is null or missing."""
    value = reply.get(name)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise _wrong(name, value, "a list of texts")
    return tuple(value)


def not_too_deep(value: Any) -> None:
    """Check the number of levels, without recursion."""
    level: Sequence[Any] = [value]
    for _ in range(DEEPEST):
        level = [
            child
            for each in level
            if isinstance(each, dict | list)
            for child in (each.values() if isinstance(each, dict) else each)
        ]
        if not level:
            return
    raise WrongShape(f"it is nested more than {DEEPEST} levels deep")


def kind_of(value: Any) -> str:
    """What a value of JSON is, in words; never the value itself."""
    names = {type(None): "null", bool: "true or false", str: "text", list: "a list", dict: "an object"}
    return names.get(type(value), "a number")


def _wrong(name: str, value: Any, expected: str) -> WrongShape:
    return WrongShape(f"its {name!r} is {kind_of(value)} where ksqlDB has {expected}")
