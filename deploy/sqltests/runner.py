"""Runs test cases on an engine."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from opensea_metrics.core.errors import OpenSeaMetricsError, Place, SqlError, Stage
from opensea_metrics.deploy.client import KsqlError
from opensea_metrics.deploy.client.delivery import StatementRefused
from opensea_metrics.deploy.sqltests.assertions import (
    Assertion,
    assertion_of,
    definition_difference,
    expected_row,
    names_of_rows,
    statement_of,
)
from opensea_metrics.deploy.sqltests.cases import Case, Step
from opensea_metrics.deploy.sqltests.comparison import (
    ExpectedRow,
    RowMismatch,
    stream_difference,
    table_difference,
)
from opensea_metrics.deploy.sqltests.dependencies import are_needed, names_in
from opensea_metrics.deploy.sqltests.evaluator import Evaluator
from opensea_metrics.deploy.sqltests.targets import Target
from opensea_metrics.sql.language.catalog.sources import Source
from opensea_metrics.sql.language.lowering.refusals import Unsupported
from opensea_metrics.sql.language.project.project import Project

_PAUSE = 0.25
"""Seconds between two polls of a server."""
_SYNTAX_ERRORS = ("ParseFailedException", "ParsingException")
"""ksqlDB's classes of syntax errors."""


class AssertionFailed(OpenSeaMetricsError):
    """An assertion fails. ``difference`` has the rows, if the assertion is about rows."""

    def __init__(self, message: str, place: Place, difference: RowMismatch | None = None) -> None:
        super().__init__(message)
        self.place = place
        self.difference = difference


_EXPECTABLE = (SqlError, KsqlError, StatementRefused, AssertionFailed)
"""The errors that a case can expect. Others are problems of the server."""


@dataclass(frozen=True)
class Failure:
    """Why a case failed: a message, its place, the text of the statement, a hint, and rows to compare.

    ``feature`` is the feature that ksqlDB supports and the engine does not, if that is the reason.
    """

    message: str
    place: Place
    statement: str = ""
    hint: str | None = None
    difference: RowMismatch | None = None
    feature: str | None = None


@dataclass(frozen=True)
class CaseResult:
    """The result of a case. It passed if there is no ``failure``, and if the engine was not ``skipped``."""

    case: Case
    failure: Failure | None = None
    skipped: bool = False

    @property
    def outcome(self) -> str:
        return "skipped" if self.skipped else "failed" if self.failure else "passed"


def run(case: Case, target: Target, project: Callable[[], Project], evaluator: Evaluator) -> CaseResult:
    """Run a case. ``project`` returns the project whose migrations the case may apply."""
    if target.engine not in case.engines:
        return CaseResult(case, skipped=True)
    try:
        target.begin(names_of_rows(case.steps))
        if case.migrations is not None:
            _migrate(project(), case, target)
        failure = _failure(case, target, evaluator)
    except OpenSeaMetricsError as error:
        failure = failure_of(error, case.place)
    try:
        target.end()
    except OpenSeaMetricsError as error:
        failure = failure or failure_of(error, case.place)
    return CaseResult(case, failure)


def _migrate(project: Project, case: Case, target: Target) -> None:
    """Apply the migrations of a case, as far as the case depends on them. Each file begins without properties."""
    files = [file for file in project.migrations if file.version <= (case.migrations or 0)]
    statements = [(file.version, statement) for file in files for statement in file.statements]
    kept = are_needed([statement for _, statement in statements], names_in(case.steps))
    for _, group in groupby((pair for pair, is_kept in zip(statements, kept, strict=True) if is_kept), itemgetter(0)):
        target.reset_properties()
        for _, statement in group:
            target.execute(statement)
    target.reset_properties()


def _failure(case: Case, target: Target, evaluator: Evaluator) -> Failure | None:
    """The failure of a case's steps, or None if the case passes."""
    groups = _grouped(case.steps)
    streams: dict[str, int] = {}
    for group in groups:
        try:
            _carry_out(group, target, evaluator, streams)
        except OpenSeaMetricsError as error:
            if case.must_fail and isinstance(error, _EXPECTABLE) and not isinstance(error, Unsupported):
                return _unexpected(case, error, group[0])
            return failure_of(error, group[0].place, group[0].text)
    if case.must_fail:
        expected = case.message or case.error
        return Failure(f"no statement failed, but an error was expected: {expected}", case.place)
    return None


def _grouped(steps: Sequence[Step]) -> list[list[Step]]:
    """The steps. Consecutive assertions about the rows of one stream or table are one group."""
    groups: list[list[Step]] = []
    last: str | None = None
    for step in steps:
        try:
            assertion = assertion_of(step)
        except SqlError:  # reported when it is its turn
            assertion = None
        name = assertion.name if assertion is not None and assertion.is_of_rows else None
        if name is not None and name == last:
            groups[-1].append(step)
        else:
            groups.append([step])
        last = name
    return groups


def _carry_out(group: Sequence[Step], target: Target, evaluator: Evaluator, streams: dict[str, int]) -> None:
    """Carry out a statement or check assertions. ``streams`` are the numbers of asserted rows of each stream."""
    assertion = assertion_of(group[0])
    if assertion is None:
        target.execute(statement_of(group[0]))
        return
    source = target.catalog.sources.get(assertion.name)
    if source is None:
        names = list(target.catalog.sources)
        hint = f"the case has {', '.join(names)}"
        raise SqlError(f"there is no stream or table {assertion.name}", group[0].place, hint)
    if not assertion.is_of_rows:
        if problem := definition_difference(assertion, source, target.catalog):
            raise AssertionFailed(problem, group[0].place)
        return
    assertions = [item for step in group if (item := assertion_of(step)) is not None]
    _compare(assertions, source, target, evaluator, streams)


def _compare(
    assertions: Sequence[Assertion], source: Source, target: Target, evaluator: Evaluator, streams: dict[str, int]
) -> None:
    """Compare rows until they fit, or until they had the time to appear. Raises AssertionFailed."""
    expected = [expected_row(assertion, source, evaluator.value) for assertion in assertions]
    deadline = time.monotonic() + target.patience
    begin = streams.get(source.name, 0)
    while (difference := _difference(expected, source, target, begin, deadline)) is not None:
        if time.monotonic() >= deadline:
            raise AssertionFailed(f"{source.name}: {difference.message}", difference.expected.place, difference)
        time.sleep(_PAUSE)
    if source.is_table:
        target.asserted(source)
    else:
        streams[source.name] = begin + len(expected)


def _difference(
    expected: Sequence[ExpectedRow], source: Source, target: Target, begin: int, deadline: float
) -> RowMismatch | None:
    """The difference at the moment. ``begin`` is the number of rows of a stream that were asserted before."""
    try:
        if source.is_table:
            return table_difference(expected, target.table(source))
        return stream_difference(expected, target.stream(source)[begin:], target.is_ordered)
    except KsqlError as error:
        # A server that has just created a table may answer with an internal error (observed on 7.9.1).
        if error.status < 500 or time.monotonic() >= deadline:
            raise
        return RowMismatch(str(error), expected[0])


def _unexpected(case: Case, error: OpenSeaMetricsError, step: Step) -> Failure | None:
    """The failure if an error is not the one that the case expects."""
    message = error.message if isinstance(error, SqlError) else str(error)
    is_syntax = isinstance(error, SqlError) and error.stage is Stage.SYNTAX
    expected_class = (case.error or "").rpartition(".")[2]
    if expected_class in _SYNTAX_ERRORS and not is_syntax:
        return Failure(f"a syntax error was expected, not: {message}", step.place, step.text)
    if case.message and case.message not in message and case.message not in str(error):
        return Failure(
            f"an error with another text was expected\n  expected  {case.message}\n  actual    {message}",
            step.place,
            step.text,
        )
    return None


def failure_of(error: OpenSeaMetricsError, place: Place, statement: str = "") -> Failure:
    """The failure for an error of a statement, or of a whole case or file.

    ``place`` is used if the error has no place.
    """
    match error:
        case Unsupported():
            hint = f"{error.hint}. In a test, name the engines that can run it: --@engines: ksqldb"
            return Failure(error.message, error.place or place, statement, hint, feature=error.feature)
        case SqlError():
            return Failure(error.message, error.place or place, statement, error.hint)
        case AssertionFailed():
            remedy = error.difference.hint if error.difference else None
            return Failure(str(error), error.place, statement, remedy, error.difference)
    return Failure(str(error), place, statement)
