"""The packaged migrations: applied and rolled back one by one, nothing is left of each."""

from __future__ import annotations

import pytest

from opensea_metrics.deploy import commands
from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.commands import ApplyChoice
from opensea_metrics.sql.language.project.project import find_root, load_project
from tests.deploy.test_apply import agreed, client, seen

__all__ = ["client"]  # a fixture

ONE_WINDOW = {"windows": "[{size: 1 MINUTE}]"}


@pytest.fixture(scope="module")
def functions() -> frozenset[str]:
    """The functions that the packaged migrations need beyond ksqlDB's own."""
    return frozenset(
        {
            "COUNT_DISTINCT_EITHER",
            "COUNT_DISTINCT_EXACT",
            "NORMALIZE_ADDRESS",
            "SKETCH_MEDIAN",
            "TOP_BY_KEY",
            "WASH_VOLUME",
        }
    )


@pytest.mark.timeout(1800)
def test_each_migration_there_and_back(client: KsqlClient, functions: frozenset[str]) -> None:
    known = {each["name"].upper() for each in client.ask("SHOW FUNCTIONS;")[0]["functions"]}
    root = find_root()
    packaged = [each.version for each in load_project(root).migrations]
    versions = packaged if functions <= known else [each for each in packaged if each < 3]
    for version in versions:
        before = seen(client)
        made = commands.apply(client, root, ONE_WINDOW, choice=ApplyChoice(one=True))
        assert [each.version for each in made.versions] == [version]
        assert seen(client) != before
        commands.rollback(client, agreed, root, ONE_WINDOW)
        assert seen(client) == before
        commands.apply(client, root, ONE_WINDOW, target=version)
    if len(versions) < len(packaged):
        pytest.skip("the server has no Python functions: V003 and above were not applied")
