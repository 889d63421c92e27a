"""The base class of all errors that a user can see, and errors in SQL files with their place."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

TYPED = "query"
"""The file in the place of a text that a user typed."""


@dataclass(frozen=True)
class Place:
    """A position in a source file; line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class OpenSeaMetricsError(Exception):
    """An error that a user can fix. The message says how. The command prints the message and exits with 1."""


def os_reason(error: OSError) -> str:
    """The system's message for an error, such as ``No such file or directory``."""
    return error.strerror or str(error).partition("\n")[0] or type(error).__name__


def os_error_text(error: OSError) -> str:
    """A system error in words: the file, if the error names one, and the reason."""
    names = [os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, str | bytes)]
    return f"{' and '.join(names)}: {os_reason(error)}" if names else os_reason(error)


class Stage(Enum):
    """The stage in which ksqlDB notices an error. It decides how ksqlDB's reply begins (tests/embedded/replies)."""

    SYNTAX = "Syntax Error"
    PREPARE = "Failed to prepare statement: "
    SOURCES = "Exception while preparing statement: "
    QUERY = "Could not determine output schema for query due to error: "
    EXECUTE = ""


class SqlError(OpenSeaMetricsError):
    """Something is wrong in a SQL file or statement.

    ``message`` says what is wrong, in ksqlDB's words if ksqlDB has a fixed sentence for it. ``place`` says
    where. It is None if the text came from no file and no position is known. ``hint`` says what to do.
    ``code`` is ksqlDB's error code (an HTTP status and two digits). ``located`` is true if ksqlDB's own
    message has the place.
    """

    def __init__(
        self,
        message: str,
        place: Place | None = None,
        hint: str | None = None,
        *,
        stage: Stage = Stage.EXECUTE,
        code: int = 40001,
        located: bool = False,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.place = place
        self.hint = hint
        self.stage = stage
        self.code = code
        self.located = located

    def __str__(self) -> str:
        where = f"{self.place}: " if self.place else ""
        where += "syntax error: " if self.stage is Stage.SYNTAX else ""
        hint = f"\n  hint: {self.hint}" if self.hint else ""
        return f"{where}{self.message}{hint}"


class SqlErrors(SqlError):
    """Several errors from one pass, so that a user can fix them all at once."""

    def __init__(self, errors: Sequence[SqlError]) -> None:
        super().__init__("\n".join(str(error) for error in errors))
        self.errors = tuple(errors)


def together(errors: Sequence[SqlError]) -> SqlError:
    """One error that stands for several, in the order of their places."""
    single: list[SqlError] = []
    for error in errors:
        single += error.errors if isinstance(error, SqlErrors) else [error]
    return single[0] if len(single) == 1 else SqlErrors(sorted(single, key=_order))


def _order(error: SqlError) -> tuple[str, int, int]:
    place = error.place
    return ("", 0, 0) if place is None else (place.file, place.line, place.column)
