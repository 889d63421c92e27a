"""The statements of migrations that a case depends on. Pure.

The others could not change the rows of the case, and applying them would take most of the time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from opensea_metrics.core.errors import SqlError
from opensea_metrics.deploy.sqltests.assertions import assertion_of, statement_of
from opensea_metrics.deploy.sqltests.cases import Step
from opensea_metrics.sql.language.statements.statements import Kind, Statement

_DEFINING = (
    Kind.CREATE_STREAM, Kind.CREATE_TABLE, Kind.CREATE_STREAM_AS, Kind.CREATE_TABLE_AS, Kind.INSERT_SELECT,
    Kind.INSERT_VALUES,
)  # fmt: skip
_ALWAYS = (Kind.SET, Kind.UNSET, Kind.CREATE_TYPE)


def names_in(steps: Iterable[Step]) -> set[str]:
    """The streams and tables that the steps of a case name. Ignores steps with errors."""
    names: set[str] = set()
    for step in steps:
        try:
            assertion = assertion_of(step)
            statement = statement_of(step) if assertion is None else assertion.statement
        except SqlError:
            continue
        names.update(statement.reads, [statement.name] if statement.name else [])
    return names


def are_needed(statements: Sequence[Statement], names: Iterable[str]) -> list[bool]:
    """For each statement: True if it defines one of ``names``, or something upstream of them.

    All statements are needed if some of them drop, change or stop something.
    """
    if any(statement.kind not in (*_DEFINING, *_ALWAYS) for statement in statements):
        return [True] * len(statements)
    topic_of = {statement.name: statement.topic for statement in statements if statement.topic}
    wanted, topics = set(names), set[str | None]()
    kept: set[int] = set()
    while True:
        topics |= {topic_of[name] for name in wanted if name in topic_of}
        added = {
            number
            for number, statement in enumerate(statements)
            if number not in kept and (statement.name in wanted or topic_of.get(statement.name) in topics)
        }
        if not added:
            break
        kept |= added
        for number in added:
            wanted.update(statements[number].reads, [statements[number].name or ""])
    return [number in kept or statement.kind in _ALWAYS for number, statement in enumerate(statements)]
