"""The pure parts: windows, rankings, recent rows, the graph, and the words for a place without metrics."""

from __future__ import annotations

from typing import Any

import pytest

from opensea_metrics.deploy.dashboard import windows
from opensea_metrics.deploy.dashboard.lineage import behind, graph, log_entry
from opensea_metrics.deploy.dashboard.ranking import as_csv, ranked
from opensea_metrics.deploy.dashboard.recent_rows import RecentRows
from opensea_metrics.deploy.dashboard.tables import RowSelection
from opensea_metrics.deploy.dashboard.view import BadView, PageView
from opensea_metrics.deploy.replies import Description, Offsets, ServerQuery


@pytest.mark.parametrize(
    ("suffix", "size", "advance", "label"),
    [
        ("30_SECONDS", 30_000, 30_000, "30 s"),
        ("1_MINUTE", 60_000, 60_000, "1 min"),
        ("2_MINUTES_BY_30_SECONDS", 120_000, 30_000, "2 min every 30 s"),
        ("14_DAYS", 1_209_600_000, 1_209_600_000, "14 d"),
    ],
)
def test_windows_come_from_names(suffix: str, size: int, advance: int, label: str) -> None:
    window = windows.window_of(suffix)
    assert window
    assert (window.size, window.advance, window.label) == (size, advance, label)


@pytest.mark.parametrize("suffix", ["", "MINUTE", "0_MINUTES", "1_MINUTE_CHANGES", "1_MINUTE; DROP", "9999999_DAYS"])
def test_other_names_are_no_windows(suffix: str) -> None:
    assert windows.window_of(suffix) is None


def test_windows_need_both_tables_and_the_longest_of_an_hour_is_first() -> None:
    names = {f"{family}_{size}" for family in ("GLOBAL", "COLLECTION") for size in ("1_DAY", "1_HOUR", "5_MINUTES")}
    deployed = windows.deployed({*names, "GLOBAL_2_HOURS"})
    assert [window.suffix for window in deployed] == ["5_MINUTES", "1_HOUR", "1_DAY"]
    assert windows.default(deployed).suffix == "1_HOUR"
    assert windows.default(deployed[2:]).suffix == "1_DAY"


def test_a_place_without_metrics_names_the_migrations() -> None:
    empty = windows.chosen_window(set(), None, True)
    assert isinstance(empty, windows.Problem)
    assert "V002, V003, V005" in empty.text
    part = windows.chosen_window({"COLLECTION_1_MINUTE", "TRADING_1_MINUTE", "TOP_ASSETS_1_MINUTE"}, None, True)
    assert isinstance(part, windows.Problem)
    assert "missing: V002." in part.text


@pytest.mark.parametrize(
    "query",
    [{"window": "1_FORTNIGHT"}, {"range": "3d"}, {"sort": "__class__"}, {"at": "-1"}, {"at": "1e3"}, {"from": "5"},
     {"from": "5", "to": "5"}, {"order": "up"}],
)  # fmt: skip
def test_a_bad_view_is_refused(query: dict[str, str]) -> None:
    with pytest.raises(BadView):
        PageView.of(query)


def test_names_are_quoted_in_queries() -> None:
    selection = RowSelection("COLLECTION_1_MINUTE", ("WS",), (("COLLECTION", "a' OR '1'='1"),), 1, 2)
    assert selection.pull() == (
        "SELECT WS FROM COLLECTION_1_MINUTE WHERE COLLECTION = 'a'' OR ''1''=''1' AND WINDOWSTART >= 1"
        " AND WINDOWSTART < 2;"
    )


def row(usd: float | None, sales: int, floor: float | None = None) -> list[Any]:
    return [0, sales, usd, 0.0, floor, None, 0, sales, 0]


def test_ranked_rows_have_changes_and_missing_values_last() -> None:
    rows: list[Any] = [
        ("b", row(10.0, 1, 2.0), row(5.0, 2), 0),
        ("a", row(10.0, 3), None, 0),
        ("c", row(20.0, 1, 1.0), row(0.0, 1), 0),
        ("gone", None, row(9.0, 1), 0),
    ]
    by_volume = ranked(rows, {"a": "base"}, PageView())
    assert [(r[0], r[3], r[6]) for r in by_volume] == [("c", None, 0.0), ("a", None, None), ("b", 1.0, -0.5)]
    assert [r[0] for r in ranked(rows, {}, PageView(sort="floor", is_descending=False))] == ["c", "b", "a"]
    assert [r[0] for r in ranked(rows, {}, PageView(sort="floor"))] == ["b", "c", "a"]
    assert [r[0] for r in ranked(rows, {"a": "base"}, PageView(chain="base"))] == ["a"]
    assert [r[0] for r in ranked(rows, {}, PageView(find="b"))] == ["b"]


def test_csv_holds_no_formula() -> None:
    header, row = as_csv([["=1+1", "-2", -2.5, None]]).splitlines()
    assert header.startswith("name,chain,usd,")
    assert row == "'=1+1,'-2,-2.5,"


def test_a_page_gets_what_changed_since_its_last_message() -> None:
    rows = RecentRows(3)
    rows.replace([[1, "a"], [2, "b"]])
    first = rows.version
    assert rows.since(-1) == (True, [[1, "a"], [2, "b"]])
    assert not rows.update([[2, "b"]])
    assert rows.update([[2, "c"], [3, "d"]])
    assert rows.since(first) == (False, [[2, "c"], [3, "d"]])
    rows.update([[4, "e"]])
    assert [row[0] for row in rows.all()] == [2, 3, 4]
    rows.replace([[9, "z"]])
    assert rows.since(first) == (True, [[9, "z"]])


def test_the_graph_has_edges_of_queries_and_of_shared_topics() -> None:
    def query(name: str, state: str = "RUNNING") -> ServerQuery:
        return ServerQuery(f"CTAS_{name}", (name,), state, "SQL", state == "PAUSED")

    sources = [
        Description("RAW", "STREAM", "raw", (), (query("T"),), ()),
        Description("T", "TABLE", "t", (), (), (query("T", "ERROR"),), offsets=(Offsets("x_CTAS_T", "raw", 0, 9, 4),)),
        Description("T_CHANGES", "STREAM", "t", (), (), ()),
    ]
    drawn = graph(sources)
    assert drawn["edges"] == [["RAW", "T"], ["T", "T_CHANGES"]]
    assert [(node["name"], node["state"], node["lag"]) for node in drawn["nodes"]] == [
        ("RAW", None, 0), ("T", "ERROR", 5), ("T_CHANGES", None, 0),
    ]  # fmt: skip
    assert behind(sources) == 5


def test_a_log_row_has_the_text_of_its_error() -> None:
    message = {"TYPE": 0, "DESERIALIZATIONERROR": {"ERRORMESSAGE": "broken", "CAUSE": []}, "PRODUCTIONERROR": None}
    assert log_entry([5, "logger", "ERROR", message]) == [5, "ERROR", "logger", "broken"]
    assert log_entry([5, "logger", "ERROR", None]) == [5, "ERROR", "logger", ""]
