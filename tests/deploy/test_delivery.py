"""Delivery of statements: what is sent again, what the log says, and how names are written."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import structlog

from opensea_metrics.deploy.client import KsqlClient, OutcomeUnknown
from opensea_metrics.deploy.client.errors import KsqlError
from opensea_metrics.deploy.migrations.run.delivery import Delivered, deliver
from opensea_metrics.deploy.replies import CommandResult
from opensea_metrics.sql.parser import parse_statement
from opensea_metrics.sql.statements import Kind, terminating

SECRET = "CREATE SOURCE CONNECTOR c WITH ('connection.password'='s3cret');"


class Busy(KsqlClient):
    """A server that takes a statement at the second attempt."""

    attempts = 0

    def execute(
        self, text: str, properties: Mapping[str, str] | None = None
    ) -> tuple[CommandResult, ...]:
        self.attempts += 1
        if self.attempts == 1:
            raise KsqlError(500, 50000, "Could not write the statement")
        return (CommandResult(text, "SUCCESS", ""),)


def test_the_log_names_a_statement_and_does_not_show_it() -> None:
    client = Busy("http://127.0.0.1:1", wait=0.001)
    with structlog.testing.capture_logs() as logged:
        assert deliver(client, SECRET, {}, lambda: None) == Delivered(None, SECRET, True)
    (entry,) = logged
    assert (entry["event"], entry["statement"]) == ("sending again", "CREATE SOURCE CONNECTOR c WITH")
    assert "s3cret" not in str(logged)


@pytest.mark.parametrize("query_id", ["CSAS_X_1", "CSAS_x_1", "a`; DROP STREAM b; --"])
def test_the_id_of_a_query_is_quoted(query_id: str) -> None:
    """ksqlDB upper-cases an id without quotes."""
    statement = parse_statement(terminating(query_id).text)
    assert (statement.kind, statement.name) == (Kind.TERMINATE, query_id)


def test_an_outcome_that_is_not_known_does_not_show_the_statement() -> None:
    assert "s3cret" not in str(OutcomeUnknown(SECRET, "it is cut off", "http://x"))
