"""Apply and rollback on a server: the real one at KSQLDB_URL if that is set, else an embedded one.

A real server must not be managed by this tool or by ksql-migrations otherwise.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from opensea_metrics.core.errors import SqlError
from opensea_metrics.deploy import commands
from opensea_metrics.deploy.client import KsqlClient, KsqlError, OutcomeUnknown
from opensea_metrics.deploy.client.snapshot import look
from opensea_metrics.deploy.client.topics import deleting
from opensea_metrics.deploy.migrations.errors import MigrationError, StepFailed
from opensea_metrics.deploy.migrations.plan.steps import RollbackPlan
from opensea_metrics.deploy.migrations.record.lock import is_lock
from opensea_metrics.deploy.migrations.record.records import VersionState
from opensea_metrics.deploy.migrations.record.store import RECORD_NAMES
from opensea_metrics.deploy.migrations.run.progress import CatchUpProgress, StepProgress
from opensea_metrics.deploy.replies import CommandResult
from opensea_metrics.sql.language.project import project
from tests.deploy.projects import REFUSED, THREE
from tests.deploy.stub import Write

# Seconds before a second attempt. An embedded server is ready at once.
WAIT = 0.5 if "KSQLDB_URL" in os.environ else 0.02


def agreed(_: RollbackPlan) -> bool:
    return True


def seen(client: KsqlClient) -> tuple[list[str], list[str], list[str]]:
    """Streams and tables, sinks of queries, and topics, without those of the record."""
    server = look(client)
    return (
        sorted(each for each in set(server.sources) - RECORD_NAMES if not is_lock(each)),
        sorted(sink for q in server.queries.values() for sink in q.sinks if sink not in RECORD_NAMES),
        sorted(topic for topic in server.topics if not topic.endswith(tuple(RECORD_NAMES))),
    )


@pytest.fixture
def client(server_url: str, write_project: Write) -> Iterator[KsqlClient]:
    """A client of a server on which nothing is applied, neither before nor after the test."""
    made = KsqlClient(server_url, wait=WAIT)
    before = seen(made)
    yield made
    commands.rollback(made, agreed, root=write_project({}), target=0)
    assert seen(made) == before


def new_names(now: list[str], then: list[str]) -> set[str]:
    return set(now) - set(then)


def states(client: KsqlClient, root: Path) -> list[tuple[int, str, int]]:
    return [(each.record.version, str(each.record.state), each.done) for each in commands.status(client, root)]


def current(client: KsqlClient) -> dict[str, str]:
    (row,) = client.pull("SELECT * FROM MIGRATION_SCHEMA_VERSIONS WHERE version_key = 'CURRENT';")
    return row


def test_apply_and_roll_back(client: KsqlClient, write_project: Write) -> None:
    root = write_project(THREE)
    before = seen(client)
    assert len(commands.plan(client, root).steps) == 6
    assert seen(client) == before  # a plan changes nothing

    news: list[StepProgress | CatchUpProgress] = []
    made = commands.apply(client, root, report=news.append)
    assert [each.version for each in made.versions] == [1, 2, 3]
    finished = [each for each in news if isinstance(each, StepProgress) and each.seconds is not None]
    assert finished[-1].label == "create stream OMT_CHANGES"
    sources, sinks, topics = map(new_names, seen(client), before)
    assert sources == {"OMT_RAW", "OMT_SALES", "OMT_BY_COLL", "OMT_CHANGES"}
    assert sinks == {"OMT_SALES", "OMT_BY_COLL"}
    assert topics == {"omt.raw", "omt_sales", "omt_by_coll"}
    assert seen(client)[1].count("OMT_SALES") == 2
    assert states(client, root) == [(1, "MIGRATED", 2), (2, "MIGRATED", 2), (3, "MIGRATED", 2)]
    assert (current(client)["VERSION"], current(client)["PREVIOUS"]) == ("3", "2")

    assert commands.plan(client, root).versions == ()
    assert commands.apply(client, root).versions == ()

    undone = commands.rollback(client, agreed, root)
    assert [each.version for each in undone.versions] == [3]
    assert (current(client)["VERSION"], current(client)["STATE"]) == ("2", "MIGRATED")
    assert states(client, root) == [(1, "MIGRATED", 2), (2, "MIGRATED", 2), (3, "PENDING", 0)]

    assert [step.record.number for step in commands.apply(client, root).steps] == [1, 2]
    commands.rollback(client, agreed, root, target=0)
    assert seen(client) == before
    assert (current(client)["VERSION"], current(client)["STATE"]) == ("<none>", "PENDING")
    assert commands.rollback(client, agreed, root, target=0).versions == ()


def test_up_to_a_version_and_topics_kept(client: KsqlClient, write_project: Write) -> None:
    root = write_project(THREE)
    before = seen(client)
    commands.apply(client, root, target=2)
    commands.rollback(client, agreed, root, target=0, keep_topics=True)
    assert set(seen(client)[2]) - set(before[2]) == {"omt.raw", "omt_sales"}
    # Applied over topics that exist, nothing is deleted either.
    commands.apply(client, root, target=2)
    made = commands.rollback(client, agreed, root, target=0)
    assert made.deleted_topics == ()
    for topic in ("omt.raw", "omt_sales"):
        for text in deleting(topic):
            client.execute(text)


def test_without_consent_nothing_is_done(client: KsqlClient, write_project: Write) -> None:
    root = write_project(THREE)
    commands.apply(client, root, target=1)
    before = seen(client)
    with pytest.raises(MigrationError, match="no consent"):
        commands.rollback(client, lambda made: made.deleted_topics != ("omt.raw",), root)
    assert seen(client) == before
    assert states(client, root)[0] == (1, "MIGRATED", 2)


def test_a_refusal_midway_and_on_from_there(client: KsqlClient, write_project: Write) -> None:
    root = write_project(REFUSED)
    with pytest.raises(StepFailed) as caught:
        commands.apply(client, root)
    message = str(caught.value)
    assert "V002__sales.sql:3:1: statement 2 of 3 of version 2 (create stream OMT_OTHER) failed:" in message
    assert "omt.nowhere" in message
    assert "1 of 3 statements" in message
    _, failed = commands.status(client, root)
    assert (failed.record.state, failed.done, failed.total) == (VersionState.ERROR, 1, 3)
    assert "omt.nowhere" in (failed.record.error_reason or "")
    (query,) = look(client).writers("OMT_SALES")

    mended = REFUSED["V002__sales.sql"].replace("omt.nowhere", "omt.raw")
    write_project({"V002__sales.sql": mended})
    assert [step.record.number for step in commands.apply(client, root).steps] == [2, 3]
    assert look(client).writers("OMT_SALES") == (query,)  # not made again
    assert states(client, root)[1] == (2, "MIGRATED", 3)


def test_a_begun_version_is_rolled_back(client: KsqlClient, write_project: Write) -> None:
    root = write_project(REFUSED)
    with pytest.raises(StepFailed):
        commands.apply(client, root)
    commands.rollback(client, agreed, root)
    assert states(client, root) == [(1, "MIGRATED", 2), (2, "PENDING", 0)]


def test_files_that_contradict_the_record(client: KsqlClient, write_project: Write) -> None:
    root = write_project({"V001__raw.sql": THREE["V001__raw.sql"]})
    commands.apply(client, root)
    write_project({"V001__raw.sql": THREE["V001__raw.sql"].replace("PARTITIONS=1", "PARTITIONS=2")})
    with pytest.raises(MigrationError, match=r"V001__raw\.sql was changed after it was applied"):
        commands.apply(client, root)
    write_project({"V001__raw.sql": THREE["V001__raw.sql"]})
    (root / "migrations/V001__raw.sql").rename(root / "migrations/V002__raw.sql")
    with pytest.raises(MigrationError, match=r"version 1 .* file is missing"):
        commands.apply(client, root)


def test_out_of_order(client: KsqlClient, write_project: Write) -> None:
    root = write_project({"V002__raw.sql": THREE["V001__raw.sql"]})
    commands.apply(client, root)
    write_project({"V001__late.sql": THREE["V001__raw.sql"].replace("omt", "omt_late")})
    with pytest.raises(MigrationError, match=r"V001__late\.sql is pending, and version 2 above"):
        commands.apply(client, root)


def test_a_foreign_reader_stops_a_rollback(client: KsqlClient, write_project: Write) -> None:
    root = write_project(THREE)
    commands.apply(client, root, target=1)
    client.execute("CREATE STREAM omt_foreign AS SELECT * FROM omt_raw EMIT CHANGES;")
    before = seen(client)
    try:
        with pytest.raises(MigrationError, match=r"OMT_RAW cannot be dropped, .*OMT_FOREIGN"):
            commands.rollback(client, agreed, root)
        assert seen(client) == before
    finally:
        client.execute("DROP STREAM omt_foreign;")
        for text in deleting("OMT_FOREIGN"):
            client.execute(text)


def test_a_down_file(client: KsqlClient, write_project: Write) -> None:
    down = "DROP STREAM omt_raw;"
    root = write_project({"V001__raw.sql": THREE["V001__raw.sql"], "V001__raw.down.sql": down})
    commands.apply(client, root)
    commands.rollback(client, agreed, root)
    assert "OMT_RAW" not in look(client).sources
    assert "omt.raw" in look(client).topics  # the down file says nothing of it
    for text in deleting("omt.raw"):
        client.execute(text)


class Interrupted(BaseException):
    """The process is killed."""


@dataclass
class Luck:
    """What will go wrong once: at the first statement that begins with ``at``."""

    at: str
    after: bool
    error: Callable[[], BaseException]
    sent: list[str] = field(default_factory=list)


@dataclass
class Unlucky(KsqlClient):
    """Fails once at the first statement that begins with ``at``: before it is sent, or after."""

    wait: float = WAIT
    at: str = ""
    after: bool = False
    error: Callable[[], BaseException] = Interrupted
    anycase: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self.luck = Luck(self.at, self.after, self.error)  # shared with copies under a guard
        self.sent = self.luck.sent

    def execute(
        self, text: str, properties: Mapping[str, str] | None = None
    ) -> tuple[CommandResult, ...]:
        luck = self.luck
        said = text.upper() if self.anycase else text
        due = bool(luck.at) and said.startswith(luck.at.upper() if self.anycase else luck.at)
        luck.at = "" if due else luck.at
        if due and not luck.after:
            raise luck.error()
        result = super().execute(text, properties)
        luck.sent.append(text)
        if due:
            raise luck.error()
        return result


STATEMENTS = [
    "CREATE STREAM omt_raw",
    "CREATE STREAM omt_sales",
    "INSERT INTO omt_sales",
    "CREATE TABLE omt_by_coll",
    "CREATE STREAM omt_changes",
]
UNDOING = ["DROP STREAM `OMT_CHANGES`", "TERMINATE", "DROP STREAM `OPENSEA", "DROP STREAM `OMT_RAW"]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", [*STATEMENTS, "INSERT INTO MIGRATION_STATEMENT_EVENTS"])
def test_killed_while_applying(
    client: KsqlClient, write_project: Write, at: str, after: bool
) -> None:
    root = write_project(THREE)
    unlucky = Unlucky(client.url, at=at, after=after)
    with pytest.raises(Interrupted):
        commands.apply(unlucky, root)
    commands.apply(unlucky, root)
    for statement in STATEMENTS:
        assert len([text for text in unlucky.sent if text.startswith(statement)]) == 1
    assert states(client, root) == [(1, "MIGRATED", 2), (2, "MIGRATED", 2), (3, "MIGRATED", 2)]
    assert len(look(client).writers("OMT_SALES")) == 2


def lost() -> Exception:
    return OutcomeUnknown("", "connection lost")


def busy() -> Exception:
    return KsqlError(500, 50000, "Could not write the statement 'x' into the command topic.")


@pytest.mark.parametrize("error", [lost, busy])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", STATEMENTS)
def test_an_unknown_outcome_is_looked_up(
    client: KsqlClient,
    write_project: Write,
    at: str,
    after: bool,
    error: Callable[[], BaseException],
) -> None:
    root = write_project(THREE)
    unlucky = Unlucky(client.url, at=at, after=after, error=error)
    commands.apply(unlucky, root)
    for statement in STATEMENTS:
        assert len([text for text in unlucky.sent if text.startswith(statement)]) == 1
    assert len(look(client).writers("OMT_SALES")) == 2


def test_a_statement_without_an_answer_may_still_be_under_way(
    client: KsqlClient, write_project: Write
) -> None:
    """Sent again too soon there would be two of it, of which ksqlDB may delete the topic."""
    late: list[threading.Timer] = []

    class Slow(Unlucky):
        def execute(
            self, text: str, properties: Mapping[str, str] | None = None
        ) -> tuple[CommandResult, ...]:
            if not text.startswith("CREATE STREAM omt_sales"):
                return super().execute(text, properties)
            self.luck.sent.append(text)
            late.append(threading.Timer(2 * self.wait, client.execute, (text, properties)))
            late[-1].start()
            raise lost()

    slow = Slow(client.url)
    commands.apply(slow, write_project(THREE))
    late[0].join()
    assert len([text for text in slow.sent if text.startswith("CREATE STREAM omt_sales")]) == 1
    assert len(look(client).writers("OMT_SALES")) == 2


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", UNDOING)
@pytest.mark.parametrize("error", [Interrupted, lost])
def test_trouble_while_rolling_back(
    client: KsqlClient,
    write_project: Write,
    at: str,
    after: bool,
    error: Callable[[], BaseException],
) -> None:
    root = write_project(THREE)
    before = seen(client)
    commands.apply(client, root)
    unlucky = Unlucky(client.url, at=at, after=after, error=error)
    try:
        commands.rollback(unlucky, agreed, root, target=0)
    except Interrupted:
        commands.rollback(unlucky, agreed, root, target=0)
    assert seen(client) == before
    assert states(client, root) == [(1, "PENDING", 0), (2, "PENDING", 0), (3, "PENDING", 0)]


def test_an_internal_error_is_a_refusal_if_nothing_was_done(
    client: KsqlClient, write_project: Write
) -> None:
    def internal() -> Exception:
        return KsqlError(500, 50000, "the retention period must be no smaller than …")

    root = write_project(THREE)
    with pytest.raises(StepFailed, match="no smaller"):
        commands.apply(Unlucky(client.url, at="CREATE TABLE omt", error=internal), root)
    unlucky = Unlucky(client.url, at="CREATE TABLE omt", after=True, error=internal)
    assert [step.record.number for step in commands.apply(unlucky, root).steps] == [1, 2]


def test_apply_goes_on_after_a_rollback_that_was_killed(
    client: KsqlClient, write_project: Write
) -> None:
    root = write_project(THREE)
    commands.apply(client, root)
    with pytest.raises(Interrupted):
        commands.rollback(Unlucky(client.url, at="DROP STREAM `OMT_SALES`"), agreed, root, target=0)
    assert states(client, root) == [(1, "MIGRATED", 2), (2, "RUNNING", 1), (3, "PENDING", 0)]
    made = commands.apply(client, root)
    assert [(step.record.version, step.record.number) for step in made.steps] == [(2, 2), (3, 1), (3, 2)]
    assert len(look(client).writers("OMT_SALES")) == 2


def test_a_topic_that_could_not_be_deleted_yet(client: KsqlClient, write_project: Write) -> None:
    """The DROP before it was carried out, and is not sent again."""

    def internal() -> Exception:
        return KsqlError(500, 50000, "something has gone wrong")

    text = THREE["V001__raw.sql"] + "DROP STREAM omt_raw DELETE TOPIC;"
    root = write_project({"V001__raw.sql": text})
    unlucky = Unlucky(client.url, at="CREATE STREAM IF NOT EXISTS `OPENSEA", error=internal)
    with pytest.raises(StepFailed, match=r"OMT_RAW is dropped, and its topic omt\.raw could not be"):
        commands.apply(unlucky, root)
    assert [step.record.number for step in commands.apply(unlucky, root).steps] == [3]
    assert len([each for each in unlucky.sent if each.startswith("DROP STREAM omt_raw")]) == 1
    assert "omt.raw" not in look(client).topics
    assert states(client, root) == [(1, "MIGRATED", 3)]


def test_a_statement_goes_with_its_record_and_that_of_the_statement_before(
    client: KsqlClient, write_project: Write
) -> None:
    """One request less for each record: requests take most of the time of an apply."""
    first: dict[str, str] = {}

    class Watched(Unlucky):
        def execute(
            self, text: str, properties: Mapping[str, str] | None = None
        ) -> tuple[CommandResult, ...]:
            first[text] = self.first
            return super().execute(text, properties)

    commands.apply(Watched(client.url), write_project(THREE))
    (records,) = (before for text, before in first.items() if text.startswith("CREATE TABLE omt_by_coll"))
    assert "'3/1'" in records
    assert "'RUNNING'" in records
    (records,) = (before for text, before in first.items() if text.startswith("CREATE STREAM omt_changes"))
    by_key = {key: row for row in records.split("INSERT INTO ") for key in ("'3/1'", "'3/2'") if key in row}
    assert "'DONE'" in by_key["'3/1'"]
    assert "'RUNNING'" in by_key["'3/2'"]


def test_the_status_parses_only_files_that_are_not_as_recorded(
    client: KsqlClient, write_project: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_project(THREE)
    commands.apply(client, root)
    with monkeypatch.context() as patched:
        patched.setattr(project, "read_script", None)
        assert states(client, root) == [(1, "MIGRATED", 2), (2, "MIGRATED", 2), (3, "MIGRATED", 2)]
    (root / "migrations/V004__wrong.sql").write_text("CREATE STREM x;")
    with pytest.raises(SqlError, match=r"V004__wrong\.sql:1:8"):
        commands.status(client, root)
    (root / "migrations/V004__wrong.sql").unlink()
