"""An embedded server without its web server and its thread: runs statements and returns rows in one thread."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opensea_metrics.deploy.embedded.engine import Engine
from opensea_metrics.deploy.embedded.queries.client_queries import TransientQuery
from opensea_metrics.deploy.embedded.statements.statement_runner import (
    Statements,
    StatementsRequest,
)
from opensea_metrics.deploy.embedded.storage import Storage
from opensea_metrics.sql.language.statements.parser import parse_script


@dataclass(frozen=True)
class Inside:
    """``data`` is the data directory."""

    engine: Engine
    statements: Statements
    data: Path

    def run(
        self, text: str, properties: dict[str, str] | None = None, variables: dict[str, str] | None = None
    ) -> tuple[Any, int]:
        """The reply to statements, and its HTTP status."""
        return self.statements.run(StatementsRequest(text, dict(properties or {}), dict(variables or {})))

    def done(self, text: str) -> None:
        """Carry out statements that must succeed."""
        reply, status = self.run(text)
        assert status == 200, reply

    def ask(self, query: str) -> list[dict[str, Any]]:
        """The rows that a query returns now. Raises SqlError if it is refused."""
        (statement,) = parse_script(query, "statement")
        with closing(TransientQuery(self.engine, statement, {})) as asked:
            names = [column.name for column in asked.columns]
            return [dict(zip(names, row, strict=True)) for row in asked.rows()]

    def settle(self) -> None:
        """Read all existing files, and move all data through the queries."""
        while self.engine.work():
            pass


@contextmanager
def inside(data: Path) -> Iterator[Inside]:
    """A server in a data directory."""
    engine = Engine(Storage(data))
    try:
        yield Inside(engine, Statements(engine), data)
    finally:
        engine.stop()
