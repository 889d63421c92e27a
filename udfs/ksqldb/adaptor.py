"""The generated Java classes call this module. ``bind`` returns a callable over values as Java passes them.

:mod:`.java_values` defines how each type is passed. The callables raise exceptions; Java catches and logs them.

An aggregate's state is text in ksqlDB, but reading and writing the text would take most of the time. So this module
also keeps a thread's newest states, in numbered places. ``java/pyudf/States.java`` knows which text is in which place.
It passes the text only if the text is in no place.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cache
from typing import Any

from opensea_metrics.core.definition import Definition, Parameter, UdfError
from opensea_metrics.udfs import registry
from opensea_metrics.udfs.calls import Aggregation
from opensea_metrics.udfs.ksqldb.java_values import argument_converter, result_converter
from opensea_metrics.udfs.values import Converter

_PROTOCOL = 2
"""The version of the calls between Java and Python. Increase it with every change of the calls."""


def made_for(definition: Definition) -> str:
    """The function's signature and the protocol version, which a generated class must match."""
    return f"{definition.signature} [{_PROTOCOL}]"


def bind(name: str, method: str, fits: str, *constants: Any) -> Callable[..., Any]:
    """The ``call`` of a function, or ``initialize``, ``accumulate``, ``merge`` or ``finish`` of an aggregate with its
    constants.

    ``fits`` is the signature that the class was generated for. Raises UdfError if the function has another signature,
    and KeyError if it is not registered.
    """
    definition = registry.functions()[name]
    if fits != made_for(definition):
        raise UdfError(
            f"the jar was made for {fits}, but the function here is {made_for(definition)}: build it again"
            " (opensea-metrics udfs build)"
        )
    if definition.kind != "aggregate":
        return _converted(definition.call, definition.parameters, result_converter(definition))
    aggregation = _aggregation(name, constants)
    match method:
        case "initialize":
            return aggregation.initialize
        case "accumulate":
            # The first two arguments are the state and its place.
            accumulate = _accumulate(aggregation, _kept(name, constants))
            return _converted(accumulate, definition.parameters, None, shift=2)
        case "merge":
            return aggregation.merge
        case _:
            finish = _finish(aggregation, _kept(name, constants))
            return _converted(finish, (), result_converter(definition))


@cache
def _aggregation(name: str, constants: tuple[Any, ...]) -> Aggregation:
    return Aggregation(registry.functions()[name], constants)


Kept = dict[int, tuple[Any, str]]
"""By place: a state and its text."""


class _Thread(threading.local):
    """The states that a thread keeps, by aggregate and constants."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, tuple[Any, ...]], Kept] = {}


_THREAD = _Thread()


def _kept(name: str, constants: tuple[Any, ...]) -> Kept:
    """This thread's states of an aggregate."""
    return _THREAD.kept.setdefault((name, constants), {})


def _accumulate(aggregation: Aggregation, kept: Kept) -> Callable[..., str | None]:
    """A callable: (state, or None if it is kept, its place, columns …) → the new state, or None if it is unchanged.

    The new state is kept in the same place. Place -1 means that the state is not kept.
    """
    decode, add, write = aggregation.decode, aggregation.add, aggregation.text
    immutable = aggregation.immutable

    def accumulate(text: str | None, place: int, *columns: Any) -> str | None:
        before = kept[place][0] if text is None else decode(text)
        after = add(before, *columns)
        if immutable and after is before:
            if text is not None and place >= 0:
                kept[place] = before, text
            return None
        new = write(after)
        if place >= 0:
            kept[place] = after, new
        return new

    return accumulate


def _finish(aggregation: Aggregation, kept: Kept) -> Callable[[str | None, int], Any]:
    """A callable: (state, or None if it is kept, its place) → the result."""
    decode, conclude, immutable = aggregation.decode, aggregation.conclude, aggregation.immutable

    def finish(text: str | None, place: int) -> Any:
        if text is not None:
            return conclude(decode(text))
        state, text = kept[place]
        # finish may change its argument, so it must not get the state that is kept.
        return conclude(state if immutable else decode(text))

    return finish


def _converted(
    call: Callable[..., Any],
    parameters: tuple[Parameter, ...],
    out: Converter | None,
    shift: int = 0,
) -> Callable[..., Any]:
    """The callable, with its arguments and result converted if necessary."""
    incoming = [(index + shift, into) for index, p in enumerate(parameters) if (into := argument_converter(p))]
    if not incoming:
        return call if out is None else lambda *values: out(call(*values))

    def converted(*values: Any) -> Any:
        arguments = list(values)
        for index, into in incoming:
            if arguments[index] is not None:
                arguments[index] = into(arguments[index])
        result = call(*arguments)
        return result if out is None else out(result)

    return converted
