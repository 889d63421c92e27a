"""Rows in the migration record that neither this tool nor ksql-migrations wrote."""

from __future__ import annotations

from typing import Any

import pytest

from opensea_metrics.deploy import commands
from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.migrations.errors import MigrationError
from opensea_metrics.deploy.migrations.record.store import RecordStore
from opensea_metrics.deploy.replies import ServerSource
from tests.deploy.stub import Write

VERSION = {
    "VERSION_KEY": "7", "VERSION": "7", "NAME": "x", "STATE": "MIGRATED", "CHECKSUM": "c", "STARTED_ON": "1",
    "COMPLETED_ON": "2", "PREVIOUS": "<none>", "ERROR_REASON": "N/A",
}  # fmt: skip
STATEMENT = {
    "STATEMENT_KEY": "7/1", "VERSION": "7", "STATEMENT_NUMBER": "1", "STATEMENT_KIND": "CREATE_STREAM",
    "STATEMENT_TEXT": "CREATE STREAM s;", "STATEMENT_PROPERTIES": "", "TARGET_NAME": "S", "TOPIC_NAME": "s",
    "STATE": "DONE", "TARGET_EXISTED": "false", "TOPIC_EXISTED": "false", "WRITERS": "", "PREVIOUS_TEXT": "",
    "DEFINED_TEXT": "", "QUERY_ID": "", "LOGICAL_NAME": "", "AWAITS": "", "CALLED_FUNCTIONS": "",
    "APPLIED_BY": "", "STARTED_ON": "1", "COMPLETED_ON": "2", "ERROR_REASON": "N/A",
}  # fmt: skip


class Recording(KsqlClient):
    """A server whose record has these rows."""

    versions: list[dict[str, Any]]
    statements: list[dict[str, Any]]

    def tables(self) -> tuple[ServerSource, ...]:
        names = ("MIGRATION_SCHEMA_VERSIONS", "MIGRATION_STATEMENTS")
        return tuple(ServerSource(name, "TABLE", name, "JSON", False) for name in names)

    def pull(self, text: str) -> list[dict[str, Any]]:
        return self.versions if "SCHEMA_VERSIONS" in text else self.statements


def store(version: dict[str, Any], statement: dict[str, Any]) -> RecordStore:
    client = Recording("http://127.0.0.1:1")
    object.__setattr__(client, "versions", [{**VERSION, **version}])
    object.__setattr__(client, "statements", [{**STATEMENT, **statement}])
    return RecordStore(client)


def test_right_rows_are_read() -> None:
    recorded = store({}, {"STATEMENT_PROPERTIES": '{"a": "b"}', "AWAITS": '["S"]'}).read()
    assert [each.version for each in recorded.versions] == [7]
    assert (recorded.statements[0].properties, recorded.statements[0].awaits) == ((("a", "b"),), ("S",))


WRONG: list[tuple[str, Any]] = [
    ("VERSION_KEY", "abc"), ("STATE", "WAT"), ("STATE", None), ("NAME", 7), ("CHECKSUM", []), ("STARTED_ON", "x"),
    ("STARTED_ON", "9" * 5_000), ("PREVIOUS", "y"), ("ERROR_REASON", {}), ("COMPLETED_ON", True),
    ("STATEMENT_NUMBER", "x"), ("STATEMENT_KIND", "NOPE"), ("STATEMENT_TEXT", None), ("WRITERS", None),
    ("AWAITS", "[1]"), ("AWAITS", "{"), ("AWAITS", "7"), ("CALLED_FUNCTIONS", "[]"), ("CALLED_FUNCTIONS", '{"F": 1}'),
    ("STATEMENT_PROPERTIES", "[" * 100_000),
]  # fmt: skip


@pytest.mark.parametrize(("column", "value"), WRONG)
def test_a_wrong_value_is_an_error_that_names_the_row(column: str, value: Any) -> None:
    is_version = column in VERSION and column not in ("STATEMENT_NUMBER",)
    wrong = {column: value}
    named = r"http://127\.0\.0\.1:1: MIGRATION_\w+ has a row that cannot be read"
    with pytest.raises(MigrationError, match=named) as caught:
        store(wrong if is_version else {}, {} if is_version else wrong).read()
    assert len(str(caught.value)) < 800
    assert "INSERT a correct row" in str(caught.value)


def test_status_names_the_row(server_url: str, write_project: Write) -> None:
    client = KsqlClient(server_url)
    root = write_project({"V001__s.sql": "CREATE STREAM omx (a INT) WITH (KAFKA_TOPIC='omx', PARTITIONS=1);"})
    made = RecordStore(client)
    made.create()
    client.execute("INSERT INTO migration_events (version_key, version, name, state) VALUES ('7', '7', 'x', 'WAT');")
    made.settle()
    try:
        with pytest.raises(MigrationError, match="version_key = '7': ValueError: 'WAT' is not a valid VersionState"):
            commands.status(client, root)
    finally:
        client.execute(
            "INSERT INTO migration_events (version_key, version, name, state, previous)"
            " VALUES ('7', '7', 'x', 'PENDING', '<none>');"
        )
        made.settle()
