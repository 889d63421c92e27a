"""Python callables that do nothing, to be called through Jep: what the crossing alone costs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_CALLABLES: dict[str, Callable[..., Any]] = {
    "scalar": lambda text, number: 1.5,
    "update": lambda state, place, key, value, detail: None,
    "change": lambda state, key, value, detail: state,
}


def bind(name: str) -> Callable[..., Any]:
    """One of them, as the runtime in Java asks for it."""
    return _CALLABLES[name]
