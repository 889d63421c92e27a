"""Plans of apply and status as data: no server, no files."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pytest

from opensea_metrics.core.errors import SqlError
from opensea_metrics.core.places import Lines, Located
from opensea_metrics.deploy.migrations.errors import MigrationError
from opensea_metrics.deploy.migrations.plan.files import make_status
from opensea_metrics.deploy.migrations.plan.pending import ApplyChoice, make_plan
from opensea_metrics.deploy.migrations.record.records import (
    Recorded,
    StatementRecord,
    StatementState,
    VersionRecord,
    VersionState,
)
from opensea_metrics.sql.language.project.project import Migration

RAW = "CREATE STREAM raw (a VARCHAR) WITH (KAFKA_TOPIC='raw', PARTITIONS=1, VALUE_FORMAT='JSON');"
COPY = "CREATE STREAM copy AS SELECT a FROM raw EMIT CHANGES;"
MORE = "INSERT INTO copy SELECT a FROM raw EMIT CHANGES;"


def migration(version: int, text: str) -> Migration:
    path = Path(f"V{version:03}__m{version}.sql")
    checksum = hashlib.sha256(text.encode()).hexdigest()
    return Migration(version, f"m{version}", path, Located(text, Lines(text, str(path)).place), checksum)


def record(of: Migration, state: VersionState) -> VersionRecord:
    return VersionRecord(of.version, of.name, state, of.file_md5, rendered=of.checksum)


def statements(of: Migration, states: Sequence[StatementState]) -> tuple[StatementRecord, ...]:
    return tuple(
        StatementRecord(of.version, number, each.kind, each.text, each.name, each.topic, state)
        for number, (each, state) in enumerate(zip(of.statements, states, strict=False), 1)
    )


FIRST, SECOND = migration(1, RAW), migration(2, COPY + MORE)
DONE, RUNNING = StatementState.DONE, StatementState.RUNNING
APPLIED_FIRST = Recorded(
    (record(FIRST, VersionState.MIGRATED),),
    statements(FIRST, [DONE]),
)


def names(plan_of: tuple[Migration, ...], recorded: Recorded, to: int | None = None) -> list[str]:
    plan = make_plan(plan_of, recorded, choice=ApplyChoice(to))
    return [f"{step.record.version}.{step.record.number} {step.statement.name}" for step in plan.steps]


def test_everything_is_pending_at_first() -> None:
    assert names((FIRST, SECOND), Recorded()) == ["1.1 RAW", "2.1 COPY", "2.2 COPY"]


def test_a_target_ends_the_plan() -> None:
    assert names((FIRST, SECOND), Recorded(), to=1) == ["1.1 RAW"]


def test_an_unknown_target() -> None:
    with pytest.raises(MigrationError, match="no migration has version 7"):
        make_plan((FIRST,), Recorded(), choice=ApplyChoice(target=7))


def test_nothing_to_do() -> None:
    assert make_plan((FIRST,), APPLIED_FIRST).versions == ()


def test_only_what_is_pending() -> None:
    assert names((FIRST, SECOND), APPLIED_FIRST) == ["2.1 COPY", "2.2 COPY"]


def test_an_applied_file_may_not_change() -> None:
    with pytest.raises(MigrationError, match=r"V001__m1\.sql was changed"):
        make_plan((migration(1, RAW + COPY),), APPLIED_FIRST)


def test_comments_of_an_applied_file_may_change() -> None:
    assert make_plan((migration(1, RAW + "-- more"),), APPLIED_FIRST).versions == ()


def test_an_applied_file_may_not_vanish() -> None:
    with pytest.raises(MigrationError, match=r"version 1 .* its file is missing"):
        make_plan((SECOND,), APPLIED_FIRST)


def test_a_pending_version_below_an_applied_one() -> None:
    applied = Recorded((record(SECOND, VersionState.MIGRATED),))
    with pytest.raises(MigrationError, match=r"V001__m1\.sql is pending, and version 2 above"):
        make_plan((FIRST, SECOND), applied)


def test_a_pending_version_below_a_begun_one() -> None:
    begun = Recorded((record(SECOND, VersionState.ERROR),), statements(SECOND, [DONE]))
    with pytest.raises(MigrationError, match="version 2 above it is already applied or begun"):
        make_plan((FIRST, SECOND), begun)


def after(*states: StatementState) -> Recorded:
    return Recorded(
        (*APPLIED_FIRST.versions, record(SECOND, VersionState.ERROR)),
        (*APPLIED_FIRST.statements, *statements(SECOND, states)),
    )


def test_an_interrupted_version_goes_on_after_its_last_done_statement() -> None:
    plan = make_plan((FIRST, SECOND), after(DONE, StatementState.ERROR))
    assert plan.versions[0].done == 1
    assert [step.record.number for step in plan.steps] == [2]
    assert plan.steps[0].record.state is StatementState.PLANNED


def test_a_statement_of_unknown_outcome_is_marked() -> None:
    plan = make_plan((FIRST, SECOND), after(DONE, RUNNING))
    assert plan.steps[0].record.state is StatementState.RUNNING
    assert plan.steps[0].record.number == 2


def test_a_rolled_back_statement_is_pending_again() -> None:
    plan = make_plan((FIRST, SECOND), after(DONE, StatementState.UNDONE))
    assert [step.record.number for step in plan.steps] == [2]


def test_the_failed_statement_may_be_changed() -> None:
    mended = migration(2, COPY + "INSERT INTO copy SELECT 'x' AS a FROM raw EMIT CHANGES;")
    assert names((FIRST, mended), after(DONE, StatementState.ERROR)) == ["2.2 COPY"]


@pytest.mark.parametrize("text", [MORE, COPY.replace("copy", "other") + MORE, "--"])
def test_what_is_applied_of_a_version_may_not_be_changed(text: str) -> None:
    with pytest.raises(MigrationError, match="was changed after it was applied"):
        make_plan((FIRST, migration(2, text)), after(DONE, StatementState.ERROR))


def test_a_statement_of_unknown_outcome_may_not_be_changed() -> None:
    changed = migration(2, COPY + "INSERT INTO copy SELECT 'x' AS a FROM raw EMIT CHANGES;")
    with pytest.raises(MigrationError, match="statement 2 of version 2 was changed after it was sent, and"):
        make_plan((FIRST, changed), after(DONE, RUNNING))


def test_set_becomes_a_property_of_what_follows() -> None:
    text = f"{RAW} SET 'a' = '1'; {COPY} UNSET 'a'; SET 'b' = '2'; {MORE}"
    plan = make_plan((migration(1, text),), Recorded())
    assert [(step.record.number, step.record.properties) for step in plan.steps] == [
        (1, ()),
        (2, (("a", "1"),)),
        (3, (("b", "2"),)),
    ]


def test_a_query_has_no_place_in_a_migration() -> None:
    with pytest.raises(SqlError, match=r"V001__m1\.sql:2:1: a migration cannot contain SHOW"):
        make_plan((migration(1, f"{RAW}\nSHOW TABLES;"),), Recorded())


def test_status() -> None:
    first, second, third = make_status(
        (FIRST, SECOND, migration(3, MORE)), after(DONE, StatementState.ERROR)
    )
    assert (first.record.state, first.done, first.total) == (VersionState.MIGRATED, 1, 1)
    assert (second.record.state, second.done, second.total) == (VersionState.ERROR, 1, 2)
    assert (third.record.state, third.done, third.total) == (VersionState.PENDING, 0, 1)


def test_status_of_changed_missing_and_foreign_versions() -> None:
    (changed,) = make_status((migration(1, RAW + COPY),), APPLIED_FIRST)
    assert changed.changed
    (missing,) = make_status((), APPLIED_FIRST)
    assert (missing.record.name, missing.total) == ("m1", None)
    (foreign,) = make_status((FIRST,), Recorded(APPLIED_FIRST.versions))
    assert (foreign.done, foreign.total) == (1, 1)
