"""Dry runs and saved plans on a server."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from opensea_metrics.deploy import commands
from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.commands import ApplyChoice, plan_file
from opensea_metrics.deploy.migrations.errors import MigrationError, PlanRefused
from opensea_metrics.deploy.migrations.plan.steps import Plan
from opensea_metrics.deploy.output.plans import data_sentence
from tests.deploy.projects import REFUSED, THREE
from tests.deploy.stub import Write
from tests.deploy.test_apply import agreed, client, seen, states

__all__ = ["client"]  # a fixture


def test_a_dry_run_lets_the_server_check_everything(
    client: KsqlClient, write_project: Write
) -> None:
    before = seen(client)
    made = commands.dry_run(client, write_project(THREE))
    assert len(made.steps) == 6
    assert seen(client) == before


def test_a_dry_run_finds_what_only_the_server_knows(
    client: KsqlClient, write_project: Write
) -> None:
    before = seen(client)
    with pytest.raises(PlanRefused, match=r"V002__sales\.sql:3:1: .* statement 2 of version 2") as caught:
        commands.dry_run(client, write_project(REFUSED))
    assert "omt.nowhere" in str(caught.value)
    assert seen(client) == before


def test_one_at_a_time(client: KsqlClient, write_project: Write) -> None:
    root = write_project(THREE)
    for version in (1, 2, 3):
        made = commands.apply(client, root, choice=ApplyChoice(one=True))
        assert [each.version for each in made.versions] == [version]
    assert commands.apply(client, root, choice=ApplyChoice(one=True)).versions == ()


def test_several_steps_back(client: KsqlClient, write_project: Write) -> None:
    root = write_project(THREE)
    commands.apply(client, root)
    made = commands.rollback(client, agreed, root, steps=2)
    assert [each.version for each in made.versions] == [3, 2]


def test_out_of_order_if_asked_for(client: KsqlClient, write_project: Write) -> None:
    root = write_project({"V002__raw.sql": THREE["V001__raw.sql"]})
    commands.apply(client, root)
    write_project({"V001__late.sql": THREE["V001__raw.sql"].replace("omt", "omt_late")})
    commands.apply(client, root, choice=ApplyChoice(out_of_order=True))
    assert states(client, root) == [(1, "MIGRATED", 2), (2, "MIGRATED", 2)]
    (row,) = client.pull("SELECT * FROM MIGRATION_SCHEMA_VERSIONS WHERE version_key = 'CURRENT';")
    assert row["VERSION"] == "2"
    assert commands.rollback(client, agreed, root).versions[0].version == 2


Save = Callable[[Plan], Plan]


@pytest.fixture
def saved(tmp_path: Path) -> Save:
    """Writes a plan into a file and reads it again."""

    def write(made: Plan) -> Plan:
        path = tmp_path / "plan.json"
        path.write_text(json.dumps(plan_file.to_json(made, data_sentence)), encoding="utf-8")
        return plan_file.read(path)

    return write


def test_the_very_plan_is_applied(client: KsqlClient, write_project: Write, saved: Save) -> None:
    root = write_project(THREE)
    made = saved(commands.plan(client, root, target=2))
    for path in (root / "migrations").iterdir():
        path.unlink()  # it holds all that is needed
    applied = commands.apply(client, root, saved=made)
    assert [each.version for each in applied.versions] == [1, 2]
    write_project(THREE)
    assert states(client, root) == [(1, "MIGRATED", 2), (2, "MIGRATED", 2), (3, "PENDING", 0)]
    assert len(commands.plan(client, root).steps) == 2


def test_a_plan_that_no_longer_fits_is_not_applied(
    client: KsqlClient, write_project: Write, saved: Save
) -> None:
    root = write_project(THREE)
    made = saved(commands.plan(client, root))
    commands.apply(client, root, target=1)
    before = seen(client)
    with pytest.raises(MigrationError, match="the plan no longer fits"):
        commands.apply(client, root, saved=made)
    assert seen(client) == before


def test_what_is_no_plan(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    with pytest.raises(MigrationError, match="cannot read"):
        plan_file.read(path)
    for text, why in (
        ("[]", "is not a plan"),
        ("{", "is not a plan"),
        (f'{{"format": {plan_file.FORMAT}}}', "is not a plan"),
        ('{"format": 0}', "another version of this tool"),
    ):
        path.write_text(text)
        with pytest.raises(MigrationError, match=why):
            plan_file.read(path)


def test_waiting_for_queries(client: KsqlClient, write_project: Write) -> None:
    root = write_project(THREE)
    news: list[object] = []
    commands.apply(client, root, report=news.append, wait=True, site=commands.Site(timeout=180))
    assert any("consumed" in vars(each) for each in news)
