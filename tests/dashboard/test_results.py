"""The results of a recompute on the same pages: history."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from opensea_metrics.deploy.cli import whole_app
from opensea_metrics.deploy.dashboard import server as web
from opensea_metrics.deploy.dashboard.options import DashboardOptions
from opensea_metrics.deploy.dashboard.results import ResultsError, ResultTables
from opensea_metrics.deploy.dashboard.tables import RowSelection
from tests.dashboard.conftest import OpenPage
from tests.dashboard.events import MINUTE, START, RawTopic, sold
from tests.dashboard.loop import in_loop

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
from playwright.sync_api import expect


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> ResultTables:
    folder = tmp_path_factory.mktemp("archive")
    topic = RawTopic(folder)
    topic.write([sold("otters", 100, START - MINUTE, 1), sold("otters", 300, START, 2)])
    topic.write([sold("tsuki", 9, START, 3, chain="base")])
    source, out = folder / "topics/OpenSeaRawEvents", folder / "results"
    arguments = ["recompute", "all", "--window", "1 minute", "--window", "5 minutes", "--sql", "sql"]
    result = CliRunner().invoke(whole_app(), [*arguments, "--source", str(source), "--to-parquet", str(out)])
    assert result.exit_code == 0, result.output
    return ResultTables(str(out))


def test_rows_are_those_of_the_files(results: ResultTables) -> None:
    assert {"GLOBAL_1_MINUTE", "COLLECTION_5_MINUTES", "TRADING_1_MINUTE"} <= in_loop(results.names())
    market = in_loop(results.rows(RowSelection("GLOBAL_1_MINUTE", ("WS", "SALES", "USD_VOLUME"))))
    assert sorted(map(list, market)) == [[START - MINUTE, 1, 100.0], [START, 2, 309.0]]
    newest = RowSelection("COLLECTION_1_MINUTE", ("USD_VOLUME",), (("COLLECTION", "otters"),), START, START + 1)
    assert in_loop(results.rows(newest)) == [[300.0]]
    keys = RowSelection("TOP_ASSETS_1_MINUTE", ("SLUG",), (), START, None, ("BY_USD_VOLUME",))
    assert sorted(map(list, in_loop(results.rows(keys)))) == [["otters", "ethereum/0x1/2"], ["tsuki", "base/0x1/3"]]


@pytest.mark.parametrize("kind", [pa.int64(), pa.timestamp("us", "UTC"), pa.timestamp("ms")])
def test_times_and_milliseconds_are_the_same(tmp_path: Path, kind: pa.DataType) -> None:
    starts = pa.array([START - MINUTE, START, START + MINUTE], pa.int64())
    times = starts if kind == pa.int64() else starts.cast(pa.timestamp("ms", kind.tz)).cast(kind)
    table = pa.table({"WS": times, "WINDOWSTART": times, "SALES": pa.array([1, 2, 3])})
    pq.write_table(table, tmp_path / "global_1_minute.parquet")
    selection = RowSelection("GLOBAL_1_MINUTE", ("WS", "SALES"), (), START, START + MINUTE)
    assert in_loop(ResultTables(str(tmp_path)).rows(selection)) == [[START, 2]]


def test_what_cannot_be_read_is_an_error_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="nowhere"):
        in_loop(ResultTables(str(tmp_path / "nowhere")).names())
    (tmp_path / "global_1_minute.parquet").write_bytes(b"no parquet")
    with pytest.raises(ResultsError, match="global_1_minute"):
        in_loop(ResultTables(str(tmp_path)).rows(RowSelection("GLOBAL_1_MINUTE", ("WS",))))


def test_the_pages_show_history(results: ResultTables, open_page: OpenPage) -> None:
    with web.running(DashboardOptions(results, results.url, has_ask=True)) as url:
        page = open_page(f"{url}/?window=1_MINUTE")
        expect(page.locator("#tile-usd .value")).to_have_text("$309.00")
        expect(page.locator("#fresh-text")).to_have_text("Results of a recompute")
        expect(page.locator("#ranking tbody th")).to_have_text(["otters", "tsuki"])
        expect(page.locator("#ranking tbody tr").last).to_contain_text("base")
        assert page.locator("nav a").all_inner_texts() == ["Market"]  # there is no server to ask
        page.get_by_role("link", name="otters").click()
        expect(page.locator("#tile-floor .value")).to_have_text("$300.00")
        expect(page.locator("#by-volume a")).to_have_text("Item 2")


def test_an_empty_folder_says_what_to_do(tmp_path: Path, open_page: OpenPage) -> None:
    with web.running(DashboardOptions(ResultTables(str(tmp_path)), "results")) as url:
        page = open_page(url)
        expect(page.locator("#notice")).to_contain_text("There are no results here")
        expect(page.locator("#notice pre")).to_contain_text("opensea-metrics recompute")
