"""Delivery of statements: what is sent again, what the log says, and how names are written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
import structlog

from opensea_metrics.deploy.client import (
    ClientError,
    GuardFailed,
    KsqlClient,
    OutcomeUnknown,
    ServerUnreachable,
)
from opensea_metrics.deploy.client.delivery import (
    SEARCHES,
    Delivered,
    StatementRefused,
    deliver,
)
from opensea_metrics.deploy.client.errors import KsqlError
from opensea_metrics.deploy.replies import CommandResult
from opensea_metrics.sql.language.statements.parser import parse_statement
from opensea_metrics.sql.language.statements.statements import Kind, terminating

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


EXISTS = KsqlError(400, 40001, "Cannot add stream 'S': A stream with the same name already exists")
BUSY = KsqlError(500, 50000, "Could not write the statement 'x' into the command topic.")
FENCED = KsqlError(500, 50000, "Producer with transactionalId 'x' has been fenced by another producer with the same")
NO_ALTER_SYSTEM = KsqlError(
    500, 50000, "Could not write the statement 'x' into the command topic.\nCaused by: Cannot alter system configs when"
)
INTERNAL = KsqlError(500, 50000, "the retention period must be no smaller than the grace period")
UNKNOWN = OutcomeUnknown("CREATE STREAM s;", "it is cut off", "http://x")
DOWN = ServerUnreachable("http://x", "connection refused")


@dataclass
class Scripted(KsqlClient):
    """A server that fails as told, and then executes the statement."""

    failures: list[ClientError] = field(default_factory=list)
    attempts: int = 0

    def execute(
        self, text: str, properties: Mapping[str, str] | None = None
    ) -> tuple[CommandResult, ...]:
        self.attempts += 1
        if self.failures:
            raise self.failures.pop(0)
        return (CommandResult(text, "SUCCESS", "", query_id="Q"),)


SENT, SEEN = Delivered("Q", "CREATE STREAM s;", True), Delivered("SEEN")


@pytest.mark.parametrize(
    ("failures", "effects", "expected", "attempts"),
    [
        ([], [], Delivered("Q", "CREATE STREAM s;"), 1),
        ([EXISTS], [SEEN], StatementRefused, 1),  # a first refusal is certain: nothing is searched for
        ([BUSY], [None], SENT, 2),
        ([FENCED], [None], SENT, 2),
        ([BUSY], [SEEN], SEEN, 1),  # executed, whatever the server says
        ([NO_ALTER_SYSTEM], [None], StatementRefused, 1),
        ([INTERNAL], [None], StatementRefused, 1),
        ([INTERNAL], [SEEN], SEEN, 1),
        ([UNKNOWN], [None] * SEARCHES, SENT, 2),
        ([UNKNOWN], [None, None, SEEN], SEEN, 1),  # the effect comes late
        ([UNKNOWN], [DOWN, SEEN], SEEN, 1),  # the server restarts meanwhile
        ([UNKNOWN, EXISTS], [*[None] * SEARCHES, SEEN], SEEN, 2),  # the first attempt was executed late
        ([UNKNOWN, EXISTS], [None] * (SEARCHES + 1), StatementRefused, 2),
        ([DOWN, DOWN], [None, None], SENT, 3),
        ([GuardFailed("LOCK")], [SEEN], GuardFailed, 1),
    ],
)
def test_a_statement_is_sent_until_its_outcome_is_known(
    failures: list[ClientError],
    effects: list[Delivered | ClientError | None],
    expected: Delivered | type[ClientError],
    attempts: int,
) -> None:
    client = Scripted("http://127.0.0.1:1", wait=0.0001, failures=list(failures))
    left = list(effects)

    def search() -> Delivered | None:
        effect = left.pop(0)
        if isinstance(effect, ClientError):
            raise effect
        return effect

    if isinstance(expected, Delivered):
        assert deliver(client, "CREATE STREAM s;", {}, search) == expected
        assert left == []
    else:
        with pytest.raises(expected):
            deliver(client, "CREATE STREAM s;", {}, search)
    assert client.attempts == attempts


@pytest.mark.parametrize("failure", [BUSY, INTERNAL, UNKNOWN, DOWN])
def test_a_statement_that_may_be_repeated_is_sent_again_at_once(failure: ClientError) -> None:
    client = Scripted("http://127.0.0.1:1", wait=0.0001, failures=[failure, failure])
    assert deliver(client, "CREATE STREAM s;").again
    assert client.attempts == 3
    client = Scripted("http://127.0.0.1:1", wait=0.0001, failures=[failure, EXISTS])
    with pytest.raises(StatementRefused):
        deliver(client, "CREATE STREAM s;")


def test_delivery_ends_when_the_clients_patience_does() -> None:
    client = Scripted("http://127.0.0.1:1", patience=0.0, wait=0.0001, failures=[BUSY] * 9)
    with pytest.raises(KsqlError, match="Could not write"):
        deliver(client, "CREATE STREAM s;", {}, lambda: None)
    assert client.attempts == 1


@pytest.mark.parametrize("query_id", ["CSAS_X_1", "CSAS_x_1", "a`; DROP STREAM b; --"])
def test_the_id_of_a_query_is_quoted(query_id: str) -> None:
    """ksqlDB upper-cases an id without quotes."""
    statement = parse_statement(terminating(query_id).text)
    assert (statement.kind, statement.name) == (Kind.TERMINATE, query_id)


def test_an_outcome_that_is_not_known_does_not_show_the_statement() -> None:
    assert "s3cret" not in str(OutcomeUnknown(SECRET, "it is cut off", "http://x"))
