"""Python callables that do nothing. Calling them through Jep shows the cost of the bridge alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_CALLABLES: dict[str, Callable[..., Any]] = {
    "scalar": lambda text, number: 1.5,
    "update": lambda state, place, key, value, detail: None,
    "change": lambda state, key, value, detail: state,
}


def bind(name: str) -> Callable[..., Any]:
    """Returns one of them. The Java runtime calls this."""
    return _CALLABLES[name]
