"""CREATE TYPE and DROP TYPE from the files to a server: planned, applied, listed, and known after a restart."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from opensea_metrics.deploy import commands
from opensea_metrics.deploy.client import KsqlClient, KsqlError, OutcomeUnknown
from opensea_metrics.deploy.embedded import server
from opensea_metrics.deploy.migrations.effects import TYPES
from opensea_metrics.deploy.migrations.plan.impact import Verdict
from opensea_metrics.deploy.migrations.plan.steps import Reversibility
from opensea_metrics.deploy.output.upkeep import drift_sentence
from tests.deploy.stub import Write

FILES = {
    "V001__types.sql": """\
CREATE TYPE ct_money AS STRUCT<amount DOUBLE, unit VARCHAR>;
CREATE TYPE IF NOT EXISTS ct_prices AS ARRAY<ct_money>;
CREATE TYPE IF NOT EXISTS ct_money AS INT;
""",
    "V002__stream.sql": """\
CREATE STREAM ct_sales (id VARCHAR KEY, price CT_MONEY, old ct_prices)
  WITH (KAFKA_TOPIC='ct.sales', VALUE_FORMAT='JSON', PARTITIONS=1);
SET 'auto.offset.reset' = 'earliest';
CREATE STREAM ct_prices_seen WITH (RETENTION_MS=-1) AS
  SELECT id, price->amount AS amount, CAST(old AS ct_prices) AS old FROM ct_sales EMIT CHANGES;
INSERT INTO ct_sales (id, price) VALUES ('a', STRUCT(amount := 1.5E0, unit := 'ETH'));
""",
    "V003__dropped.sql": "DROP TYPE ct_prices;\nDROP TYPE IF EXISTS ct_nothing;\n",
}
MONEY = "STRUCT<`AMOUNT` DOUBLE, `UNIT` STRING>"


def listed(client: KsqlClient) -> set[str]:
    return set(client.ask("SHOW TYPES;")[0]["types"])


def test_types_are_planned_applied_and_kept(tmp_path: Path, write_project: Write) -> None:
    root = write_project(FILES)
    data = tmp_path / "data"
    with server.running(data) as url:
        client = KsqlClient(url)
        plan = commands.plan(client, root)
        assert Verdict.REFUSED not in {step.impact.verdict for step in plan.steps}
        assert plan.versions[0].reversible is Reversibility.REVERSIBLE
        verdicts = [step.impact.verdict for step in plan.steps if step.statement.kind in TYPES]
        assert verdicts == [Verdict.NEW, Verdict.NEW, Verdict.UNCHANGED, Verdict.DROPPED, Verdict.UNCHANGED]
        commands.apply(client, root)
        assert listed(client) == {"CT_MONEY"}
        assert commands.plan(client, root).steps == ()
        assert commands.diff(client, root) == ()
    with server.running(data) as url:
        client = KsqlClient(url)
        assert listed(client) == {"CT_MONEY"}
        assert commands.plan(client, root).steps == ()
        with pytest.raises(KsqlError, match="already registered with type: STRUCT<`AMOUNT` DOUBLE, `UNIT` STRING>"):
            client.execute("CREATE TYPE ct_money AS INT;")
        with pytest.raises(KsqlError, match="Type CT_PRICES does not exist"):
            client.execute("DROP TYPE ct_prices;")
        more = "CREATE STREAM ct_more (m ct_money) WITH (KAFKA_TOPIC='ct.sales', VALUE_FORMAT='JSON');"
        root = write_project({**FILES, "V004__more.sql": more})
        commands.apply(client, root)
        columns = client.describe("CT_MORE").columns
        assert {column.name: str(column.type) for column in columns} == {"M": MONEY}


@pytest.mark.parametrize("is_killed", [False, True])
def test_a_type_whose_reply_is_lost_is_not_created_again(
    tmp_path: Path, write_project: Write, monkeypatch: pytest.MonkeyPatch, is_killed: bool
) -> None:
    execute, lost = KsqlClient.execute, set[str]()

    def without_reply(client: KsqlClient, text: str, properties: Any = None) -> Any:
        results = execute(client, text, properties)
        if text.startswith(("CREATE TYPE", "DROP TYPE")) and text not in lost:
            lost.add(text)
            raise KeyboardInterrupt if is_killed else OutcomeUnknown(text, "the reply was lost", client.url)
        return results

    root = write_project(FILES)
    with server.running(tmp_path / "data") as url:
        monkeypatch.setattr(KsqlClient, "execute", without_reply)
        client = KsqlClient(url, wait=0.01)
        for _ in range(10 if is_killed else 1):
            with suppress(KeyboardInterrupt):
                commands.apply(client, root)
        assert len(lost) == 5
        assert listed(client) == {"CT_MONEY"}
        assert commands.plan(client, root).steps == ()


def test_a_rollback_undoes_types_and_they_can_be_applied_again(tmp_path: Path, write_project: Write) -> None:
    root = write_project(FILES)
    with server.running(tmp_path / "data") as url:
        client = KsqlClient(url)
        for _ in range(2):
            commands.apply(client, root)
            assert listed(client) == {"CT_MONEY"}
            commands.rollback(client, lambda _: True, root, target=2)
            assert listed(client) == {"CT_MONEY", "CT_PRICES"}  # V003 dropped it
            plan = commands.rollback(client, lambda _: True, root, target=0)
            assert listed(client) == set()
        labels = [step.label for step in plan.steps if step.label]
        assert labels[-2:] == ["drop type CT_PRICES", "drop type CT_MONEY"]


def test_diff_finds_types_that_are_missing_or_that_no_migration_created(tmp_path: Path, write_project: Write) -> None:
    root = write_project(FILES)
    with server.running(tmp_path / "data") as url:
        client = KsqlClient(url)
        commands.apply(client, root)
        client.execute("DROP TYPE ct_money;")
        client.execute("CREATE TYPE ct_other AS INT;")
        drift = commands.diff(client, root)
    assert [(str(one.kind), one.name, drift_sentence(one)) for one in drift] == [
        ("missing", "CT_MONEY", "statement 1 of version 1 created it"),
        ("extra", "CT_OTHER", "a type that no migration created"),
    ]
