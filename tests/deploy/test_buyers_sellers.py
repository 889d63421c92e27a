"""The family buyers_sellers: docs/buyers-and-sellers.md runs, and its tables equal a count in plain Python."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pytest

from opensea_metrics.deploy import cli, commands
from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.demo import wait_until_read
from opensea_metrics.deploy.embedded import server
from opensea_metrics.deploy.migrations.errors import MigrationError
from opensea_metrics.deploy.sqltests import cases, runner
from opensea_metrics.deploy.sqltests.embedded import EmbeddedTarget
from opensea_metrics.deploy.sqltests.evaluator import Evaluator
from opensea_metrics.producer.replay import replay
from opensea_metrics.producer.sinks import ArchiveSink
from opensea_metrics.spark_batch.recompute import recompute
from opensea_metrics.sql.language.project.project import load_project, packaged_root
from tests import metrics, oracle
from tests.spark_batch import archives

PAGE = Path("docs/buyers-and-sellers.md").resolve()
CASES = Path(__file__).with_name("buyers_sellers.sql")
BLOCKS = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
MINUTE = 60_000
HOUR = 3_600_000


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the streams of events, and no families in use."""
    root = tmp_path_factory.mktemp("project") / "sql"
    for name in ("macros", "migrations"):
        shutil.copytree(packaged_root() / name, root / name)
    for path in (root / "migrations").glob("V00[2-5]*"):
        path.unlink()
    settings = (packaged_root() / "settings.yml").read_text()
    (root / "settings.yml").write_text(re.sub(r"windows:\n(  .*\n)+", "windows:\n  - size: 1 MINUTE\n", settings))
    return root


@pytest.fixture(scope="module")
def live(root: Path) -> Iterator[KsqlClient]:
    """A server after the commands of the page, with the sample's events."""
    data = root.parent / "data"
    first, _ = BLOCKS
    with pytest.MonkeyPatch.context() as patch, server.running(data) as url:
        patch.chdir(root.parent)
        patch.setenv("KSQLDB_URL", url)
        client = KsqlClient(url)
        sink = ArchiveSink(data)
        replay(events(), sink)
        sink.close()
        for line in first.splitlines():
            patch.setattr(sys, "argv", shlex.split(line))
            with pytest.raises(SystemExit) as ended:
                cli.main()
            assert not ended.value.code, line
        wait_until_read(client, 60)
        yield client


def events() -> Iterator[bytes]:
    """The sample with its odd sales and transfers. Some transfers are lost."""
    for number, frame in enumerate(metrics.frames()):
        if number % 11 or b'"item_transferred"' not in frame:
            yield frame


@dataclass
class Parties:
    """The accounts and the trades of a window."""

    buyers: set[str] = field(default_factory=set)
    sellers: set[str] = field(default_factory=set)
    trades: set[object] = field(default_factory=set)
    matched: set[object] = field(default_factory=set)


def counted(records: Sequence[oracle.Record]) -> dict[tuple[int, str, str], tuple[int, int, int, int]]:
    """Buyers, sellers, trades and unmatched trades by window, scope and name."""
    transfers: dict[Any, list[tuple[int, str, str]]] = defaultdict(list)
    for event, time, record in records:
        seller, buyer = (oracle.account({"address": record[name]}) for name in ("from", "to"))
        if event == "item_transferred" and seller and buyer and record["transaction"] and record["nft_id"]:
            transfers[record["transaction"], record["nft_id"], frozenset((seller, buyer))].append((time, seller, buyer))
    windows: dict[tuple[int, str, str], Parties] = defaultdict(Parties)
    for event, time, record in records:
        if event != "item_sold":
            continue
        parts = (record["transaction"], record["nft_id"], record["maker"], record["taker"])
        trade: object = (*parts[:2], frozenset(parts[2:])) if None not in parts else (time, *parts)
        near = [(seller, buyer) for at, seller, buyer in transfers.get(trade, ()) if abs(at - time) <= HOUR]
        for scope, name in (("market", "all"), ("chain", record["chain"]), ("collection", record["slug"])):
            if name is not None:
                window = windows[time - time % MINUTE, scope, name]
                window.trades.add(trade)
                if near:
                    window.matched.add(trade)
                    window.sellers.update(seller for seller, _ in near)
                    window.buyers.update(buyer for _, buyer in near)
    return {
        key: (len(w.buyers), len(w.sellers), len(w.trades), len(w.trades - w.matched)) for key, w in windows.items()
    }


def test_the_tables_equal_the_count(live: KsqlClient, root: Path) -> None:
    records, _ = oracle.read(root.parent / "data/topics/OpenSeaRawEvents")
    expected = counted(records)
    rows = live.pull("SELECT * FROM buyers_sellers_1_minute;")
    assert {
        (row["WS"], row["SCOPE"], row["NAME"]): (row["BUYERS"], row["SELLERS"], row["TRADES"], row["UNMATCHED_TRADES"])
        for row in rows
    } == expected
    market = [counts for (_, scope, _), counts in expected.items() if scope == "market"]
    buyers, sellers, trades, unmatched = (sum(column) for column in zip(*market, strict=True))
    assert min(buyers, sellers) > 500
    assert trades > unmatched > 50
    assert buyers != sellers


def test_recompute_gives_the_same(live: KsqlClient, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, second = BLOCKS
    monkeypatch.chdir(root.parent)
    source = ["--source", "data/topics/OpenSeaRawEvents", "--engine", "duckdb"]
    monkeypatch.setattr(sys, "argv", [*shlex.split(second), *source])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    records, _ = oracle.read(root.parent / "data/topics/OpenSeaRawEvents")
    columns = "epoch_ms(ws), scope, name, buyers, sellers, trades, unmatched_trades"
    rows = duckdb.execute(f"SELECT {columns} FROM 'results/buyers_sellers_1_minute.parquet'").fetchall()
    assert {row[:3]: row[3:] for row in rows} == counted(records)


@pytest.mark.slow
@pytest.mark.usefixtures("live")
def test_recompute_on_spark_equals_the_count(root: Path) -> None:
    archives.needs("spark")
    topic = root.parent / "data/topics/OpenSeaRawEvents"
    records, _ = oracle.read(topic)
    table = recompute(topic, wanted="buyers_sellers_1_minute", engine="spark", root=root)["BUYERS_SELLERS_1_MINUTE"]
    assert {
        (row["WS"], row["SCOPE"], row["NAME"]): (row["BUYERS"], row["SELLERS"], row["TRADES"], row["UNMATCHED_TRADES"])
        for row in table.to_pylist()
    } == counted(records)


def test_a_family_is_added_once(live: KsqlClient, root: Path) -> None:
    reason = r"already has the tables of buyers_sellers\n  hint: .*--change buyers_sellers\. .*: asset, "
    with pytest.raises(MigrationError, match=reason):
        commands.new_family("Buyers_Sellers", root=root)
    with pytest.raises(MigrationError, match=r"no macros/families/buyers\.sql\n  hint: .*: asset, collection, global"):
        commands.new_family("buyers", root=root)


def test_windows_of_migrations_and_later_ones(root: Path, tmp_path: Path) -> None:
    copy = tmp_path / "sql"
    shutil.copytree(root, copy)
    for path in (copy / "migrations").glob("V002*"):
        path.unlink()
    commands.new_family("global", root=copy)
    commands.new_window("7 days", root=copy)
    commands.new_family("buyers_sellers", "who trades", root=copy)
    commands.new_window("1 day", root=copy)

    def tables(version: int, variables: dict[str, str]) -> list[str]:
        migrations = {each.version: each for each in load_project(copy, variables).migrations}
        names = [str(each.name) for each in migrations[version].statements if "CREATE TABLE" in each.text]
        return [name for name in names if name.startswith("BUYERS_SELLERS")]

    assert (copy / "migrations/V004__who_trades.sql").exists()
    assert tables(4, {}) == ["BUYERS_SELLERS_1_MINUTE", "BUYERS_SELLERS_7_DAYS"]
    assert tables(4, {"windows": "[{size: 7 DAYS}]"}) == ["BUYERS_SELLERS_7_DAYS"]
    assert tables(5, {}) == ["BUYERS_SELLERS_1_DAY"]
    assert commands.validate(copy).migrations == 5


def all_cases(tmp_path: Path) -> list[cases.Case]:
    (block,) = re.findall(r"```sql\n(.*?)```", PAGE.read_text(), re.DOTALL)
    page = tmp_path / "page.sql"
    page.write_text(block)
    return [case for path in (page, CASES) for case in cases.load(path, path.parent, {})]


def test_the_cases(live: KsqlClient, root: Path, tmp_path: Path) -> None:
    project = load_project(root)
    with closing(Evaluator()) as evaluator, closing(EmbeddedTarget()) as target:
        for case in all_cases(tmp_path):
            assert runner.run(case, target, lambda: project, evaluator).failure is None
