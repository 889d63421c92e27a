"""The base of all errors that a user can meet, and errors in SQL files with their place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """A position in a source file; line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class OpenSeaMetricsError(Exception):
    """Something that a user can mend; the message says how. The command prints it and exits with 1."""


class SqlError(OpenSeaMetricsError):
    """Something is wrong in a SQL file or statement.

    ``message`` says what, ``place`` where (None if the text came from no file and no position is
    known), ``hint`` what to do about it.
    """

    def __init__(self, message: str, place: Place | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.place = place
        self.hint = hint

    def __str__(self) -> str:
        where = f"{self.place}: " if self.place else ""
        hint = f"\n  hint: {self.hint}" if self.hint else ""
        return f"{where}{self.message}{hint}"


class SqlErrors(SqlError):
    """Several errors found in one pass, so that a user mends them in one go."""

    def __init__(self, errors: Sequence[SqlError]) -> None:
        super().__init__("\n".join(str(error) for error in errors))
        self.errors = tuple(errors)
