"""The demo ends with one screen of 80 × 24 characters."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from opensea_metrics.deploy import demo
from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.output.demo import DemoScreen, number, show_screen

ASSET = '{"NAME":"Salty Goblins #1","SALES":8}'
SCREEN = DemoScreen(
    "30 minutes",
    {"WS": 1_789_466_400_000, "EVENTS": 1_475, "SALES": 294, "TRANSFERS": 405, "USD_VOLUME": 430_731.6,
     "ETH_VOLUME": 172.294},
    {"ORGANIC_USD_VOLUME": 339_317.2, "TRADERS": 73, "MINTS": 9},
    (
        {"COLLECTION": "salty-goblins", "SALES": 27, "USD_VOLUME": 184_192.4, "FLOOR_USD": 3_162.5, "AVG_USD": 6_822.0,
         "TRANSFERS": 38},
        {"COLLECTION": "moths", "SALES": 1, "USD_VOLUME": 541.12, "FLOOR_USD": None, "AVG_USD": None, "TRANSFERS": 0},
    ),
    {"ASSETS_SOLD": 16, "BY_USD_VOLUME": [
        {"KEY": "base/0x7f/236", "VALUE": 45_995.4, "DETAIL": '{"NAME":null,"SALES":1}'},
        {"KEY": "base/0x7f/1", "VALUE": 310.5, "DETAIL": ASSET}]},
)  # fmt: skip
GOLDEN = """
The market: 30 minutes from 2026-09-15 10:00 UTC
    events  sales  transfers      USD     ETH  without wash  traders  mints
     1,475    294        405  430,732  172.29       339,317       73      9
Top collections
                 sales      USD  floor  average  moved
  salty-goblins     27  184,192  3,162    6,822     38
  moths              1   541.12      –        –      0
salty-goblins: 16 assets sold
                         sales     USD
  …/236, without a name      1  45,995
  Salty Goblins #1           8  310.50
Try next
  opensea-metrics demo --keep          the same, and the server stays
  opensea-metrics init my-metrics      a project of your own
  opensea-metrics --help               all commands
"""


def lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines()]


def test_the_screen(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("opensea_metrics.deploy.output.console.PIPED_WIDTH", 80)
    show_screen(SCREEN, None)
    assert lines(capsys.readouterr().out) == lines(GOLDEN)
    show_screen(replace(SCREEN, collections=SCREEN.collections[:1] * 5), "http://127.0.0.1:65535")
    out = lines(capsys.readouterr().out)
    assert out[-4:-3] == ["Try next in another terminal, after  export KSQLDB_URL=http://127.0.0.1:65535"]
    assert max(map(len, out)) <= 80


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0, "0"), (1234567, "1,234,567"), (0.5, "0.50"), (-1234.5, "-1,234"), (1e9, "1,000,000,000")],
)
def test_numbers(value: float | None, text: str) -> None:
    assert number(value) == text


def test_the_demo_shows_what_the_server_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("opensea_metrics.deploy.output.console.PIPED_WIDTH", 80)
    served = []

    def hold(url: str) -> None:
        client = KsqlClient(url)
        newest = max(client.pull("SELECT * FROM global_30_minutes;"), key=lambda row: (row["SALES"] > 0, row["WS"]))
        tops = client.pull("SELECT * FROM top_collections_30_minutes;")
        served.append((newest, next(row for row in tops if row["WS"] == newest["WS"])["BY_USD_VOLUME"]))

    demo.run(tmp_path, 0, hold)
    ((market, tops),) = served
    out = lines(capsys.readouterr().out)
    screen = out[out.index("") + 1 :]
    assert len(screen) <= 22, "two lines are left for what --keep says"
    assert max(map(len, screen)) <= 80
    assert screen[2].split()[:3] == [f"{market[name]:,}" for name in ("EVENTS", "SALES", "TRANSFERS")]
    first = screen.index("Top collections") + 2
    assert [line.split()[0] for line in screen[first : first + 5]] == [entry["KEY"] for entry in tops[:5]]
    assert [line.split()[2] for line in screen[first : first + 5]] == [number(entry["VALUE"]) for entry in tops[:5]]
