"""Calls that a statement repeats are read once. Their syntax trees are those of calls that are read again."""

from __future__ import annotations

from typing import Any

import pytest
from sqlglot import exp

from opensea_metrics.core.errors import SqlError
from opensea_metrics.sql.language.dialect import repetitions, rewriting
from opensea_metrics.sql.language.project.project import load_project
from opensea_metrics.sql.language.statements.parser import parse_statement

CALL = "CONCAT(a, `b`, 'c', TRANSFORM(d, x => x + 1.5), CASE WHEN e THEN -f END, +g, CAST(h AS DECIMAL(3, 1)))"
TEXTS = [
    f"SELECT {CALL} AS a,\n  UCASE({CALL}) AS b, {CALL}->c[1]->d FROM s WHERE {CALL} = 'x' EMIT CHANGES;",
    f"SELECT {CALL}, COALESCE({CALL}, {CALL.lower()}, {CALL.replace(' ', '  ')}) FROM s EMIT CHANGES;",
    f"SELECT {CALL}, {CALL} OVER (a) FROM s;",
    f"SELECT {CALL}, {CALL}({CALL}) FROM s;",
    f"SELECT {CALL}, x.{CALL}, 'a' LIKE {CALL} FROM s;",
    f"SELECT {CALL}, {CALL[:-1]} FROM s;",
    f"SELECT {CALL}, {CALL[:-1]}, ) FROM s;",
    f"SELECT {CALL}, f({CALL}, MAP(), MAP(a := {CALL})) FROM s;",
    f"SELECT +{CALL}, {CALL}, f(+{CALL}, {CALL}) FROM s;",
    f"SELECT MAP({CALL[:-1]},) := {CALL[:-1]},)) FROM s;",
]


MARKS = ("start", "end", "is_signed", "is_written", "is_field_access")


@pytest.fixture
def texts() -> list[str]:
    project = load_project(None, None)
    return TEXTS + [statement.text for file in project.migrations for statement in file.statements]


def reading(text: str) -> Any:
    """All nodes of a statement with their values, parents, places and marks, or its error with the place."""
    try:
        tree = parse_statement(text).ast
    except SqlError as error:
        return str(error)
    nodes = rewriting.nodes(tree)
    numbers = {id(node): number for number, node in enumerate(nodes)}
    return [
        (
            type(node), {name: _shape(value) for name, value in node.args.items()}, numbers.get(id(node.parent)),
            node.arg_key, node.index, [node.meta.get(name) for name in MARKS],
        )
        for node in nodes
    ]  # fmt: skip


def _shape(value: object) -> object:
    """A value of a node. Nodes in it are in the list of all nodes."""
    if isinstance(value, list):
        return [_shape(item) for item in value]
    return type(value) if isinstance(value, exp.Expr) else value


def test_copies_are_what_a_second_reading_gives(texts: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes = []
    for lengths in (repetitions._LENGTHS, range(10**9), range(0)):
        monkeypatch.setattr(repetitions, "_LENGTHS", lengths)
        outcomes.append([reading(text) for text in texts])
    assert outcomes[0] == outcomes[1] == outcomes[2]


def test_a_repetition_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    copies: list[object] = []

    def noted(*given: Any) -> Any:
        copies.append(given)
        return rewriting.rewritten(*given)

    monkeypatch.setattr(repetitions, "rewritten", noted)
    parse_statement(f"SELECT {CALL} AS a, LCASE({CALL}) AS b, UCASE({CALL}) AS c FROM s EMIT CHANGES;")
    assert len(copies) == 2
