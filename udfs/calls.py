"""The rules of a call, which are the same on all engines: NULL, errors, and the state of aggregates as JSON.

If a plain parameter is NULL, the result is NULL and the function is not called. An aggregate omits the row. If the
function raises an exception, the result is NULL, or an aggregate omits the row. The traceback's last line is
logged under ``udfs.<NAME>``.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from opensea_metrics.core.definition import Definition
from opensea_metrics.udfs.types import is_immutable
from opensea_metrics.udfs.values import Converter, reader, unfinite, writer

if TYPE_CHECKING:
    import msgspec


def log_error(name: str, error: BaseException) -> None:
    """Log one line: the traceback's last line, and the place where the exception was raised."""
    logger = logging.getLogger(f"opensea_metrics.udfs.{name}")
    if not logger.isEnabledFor(logging.ERROR):
        return
    last = traceback.format_exception_only(error)[-1].strip()
    where = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        where = f" ({frame.f_code.co_filename}:{line})"
    logger.error("%s%s", last, where)


FAILURES = (Exception, SystemExit)
"""What a function may raise. ``sys.exit()`` in a function must not end the program that calls it."""


def guarded(definition: Definition) -> Callable[..., Any]:
    """A scalar or table function over plain values. It never raises."""
    call, write = definition.call, writer(definition.result)
    strict = [index for index, p in enumerate(definition.parameters) if not p.nullable]
    readers = [reader(p.hint) for p in definition.parameters]
    convert = any(readers)

    def guard(*arguments: Any) -> Any:
        for index in strict:
            if arguments[index] is None:
                return None
        try:
            if convert:
                arguments = tuple(map(_read, readers, arguments))
            return write(call(*arguments))
        except FAILURES as error:
            log_error(definition.name, error)
            return None

    return guard


def _read(read: Converter | None, value: Any) -> Any:
    return value if read is None or value is None else read(value)


class StateError(ValueError):
    """JSON cannot hold a state."""


class Aggregation:
    """An aggregate with given constants. Its state is JSON text between calls."""

    def __init__(self, definition: Definition, constants: Sequence[Any]) -> None:
        """Raises any exception that the class's constructor raises for the constants."""
        import msgspec  # most commands call no such aggregate

        self.definition = definition
        self._aggregator = definition.call(*constants)
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(definition.state)
        self._encode = msgspec.json.Encoder().encode
        self._strict = [i for i, p in enumerate(definition.parameters) if not p.nullable]
        self._readers = [reader(p.hint) for p in definition.parameters]
        self._convert = any(self._readers)
        self._unfinite = unfinite(definition.state)
        self.immutable = is_immutable(definition.state)
        # Looked up once, because ksqlDB calls these for every record.
        self.decode = self._decoder.decode
        self.add = self._aggregator.accumulate
        self.conclude = self._aggregator.finish

    # These methods raise, for callers that report errors in their own way.

    def initialize(self) -> str:
        """The state of no rows."""
        return self.text(self._aggregator.initialize())

    def accumulate(self, state: str, *columns: Any) -> str:
        """The state after one more row."""
        return self.text(self.add(self.decode(state), *columns))

    def merge(self, older: str, newer: str) -> str:
        """The state of the rows of both states."""
        return self.text(self._aggregator.merge(self.decode(older), self.decode(newer)))

    def result(self, state: str) -> Any:
        """The result as the class returns it."""
        return self.conclude(self.decode(state))

    # These methods never raise. They take many values, for engines that pass whole groups.

    def partial(self, rows: Sequence[Sequence[Any] | None]) -> str:
        """The state of rows of plain values. Bad rows are omitted."""
        kept = [
            [*map(_read, self._readers, row)] if self._convert else row
            for row in rows
            if row is not None and not any(row[index] is None for index in self._strict)
        ]
        try:
            state = self._aggregator.initialize()
            for row in kept:
                state = self.add(state, *row)
            return self.text(state)
        except FAILURES:
            return self._row_by_row(kept)

    def _row_by_row(self, rows: Iterable[Sequence[Any]]) -> str:
        """The state, computed row by row as in ksqlDB. A bad row's partial changes are discarded."""
        text = self.initialize()
        for row in rows:
            try:
                text = self.accumulate(text, *row)
            except FAILURES as error:
                log_error(self.definition.name, error)
        return text

    def merged(self, states: Iterable[str | None]) -> str:
        """The merged state of several states, older ones first. A state that cannot be merged is omitted."""
        merged = None
        for state in states:
            if state is None:
                continue
            try:
                merged = state if merged is None else self.merge(merged, state)
            except FAILURES as error:
                log_error(self.definition.name, error)
        return merged if merged is not None else self.initialize()

    def finish(self, state: str | None) -> Any:
        """The result as a plain value, or NULL if it cannot be computed."""
        try:
            return self._write(self.result(self.initialize() if state is None else state))
        except FAILURES as error:
            log_error(self.definition.name, error)
            return None

    def finished(self, state: Any) -> Any:
        """The result of a state that is not text, as :meth:`finish` returns it."""
        try:
            return self._write(self.conclude(state))
        except FAILURES as error:
            log_error(self.definition.name, error)
            return None

    @cached_property
    def _write(self) -> Converter:
        return writer(self.definition.result)

    def text(self, state: Any) -> str:
        """A state as text. Raises StateError if JSON cannot hold it."""
        text = self._encode(state)
        # The encoder writes NaN and infinity as null, and null would be read back as another value.
        if self._unfinite is not None and b"null" in text and self._unfinite(state):
            raise StateError("the state holds NaN or infinity, which JSON cannot hold")
        return text.decode()
