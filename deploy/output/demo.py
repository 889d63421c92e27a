"""The last screen of the demo: the metrics of one window, and what to try next. It fits 80 × 24 characters."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table
from rich.text import Text  # for types

from opensea_metrics.deploy.output.console import console, shown
from opensea_metrics.deploy.output.plain import one_line

Row = Mapping[str, Any]


@dataclass(frozen=True)
class DemoScreen:
    """The rows of one window, whose size is ``window``: rows of GLOBAL, TRADING, COLLECTION and TOP_ASSETS.

    ``assets`` are the top assets of the first collection.
    """

    window: str
    market: Row
    trading: Row
    collections: tuple[Row, ...]
    assets: Row


_MARKET = {"events": "EVENTS", "sales": "SALES", "transfers": "TRANSFERS", "USD": "USD_VOLUME", "ETH": "ETH_VOLUME"}
_TRADING = {"without wash": "ORGANIC_USD_VOLUME", "traders": "TRADERS", "mints": "MINTS"}
_COLLECTION = {"sales": "SALES", "USD": "USD_VOLUME", "floor": "FLOOR_USD", "average": "AVG_USD", "moved": "TRANSFERS"}
_ENDED = """\
  opensea-metrics demo --keep          the same, and the server stays
  opensea-metrics init my-metrics      a project of your own
  opensea-metrics --help               all commands"""
_RUNNING = """\
  opensea-metrics query "SELECT * FROM global_1_minute"
  opensea-metrics query "SELECT collection, usd FROM sales EMIT CHANGES LIMIT 5"
  opensea-metrics status"""


def show_screen(screen: DemoScreen, url: str | None) -> None:
    """Print the screen. ``url`` is the server's address, or None if the server stops now."""
    out = console()
    start = time.strftime("%Y-%m-%d %H:%M", time.gmtime(screen.market["WS"] / 1000))
    out.print()
    out.print(shown(f"The market: {screen.window} from {start} UTC", "bold"))
    numbers = [*(screen.market[name] for name in _MARKET.values()), *(screen.trading[n] for n in _TRADING.values())]
    out.print(_table(["", *_MARKET, *_TRADING], [["", *map(number, numbers)]]))
    out.print(shown("Top collections", "bold"))
    rows = [[row["COLLECTION"], *(number(row[name]) for name in _COLLECTION.values())] for row in screen.collections]
    out.print(_table(["", *_COLLECTION], rows))
    assets = screen.assets["BY_USD_VOLUME"][:3]
    out.print(shown(f"{screen.collections[0]['COLLECTION']}: {screen.assets['ASSETS_SOLD']} assets sold", "bold"))
    out.print(_table(["", "sales", "USD"], [_asset(entry) for entry in assets]))
    where = f"Try next in another terminal, after  export KSQLDB_URL={url}" if url else "Try next"
    out.print(shown(where, "bold"))
    out.print(shown(_RUNNING if url else _ENDED))


def number(value: float | None) -> str:
    """A number for people: thousands are separated, and small amounts have cents."""
    if value is None:
        return "–"
    return f"{value:,.2f}" if isinstance(value, float) and abs(value) < 1_000 else f"{value:,.0f}"


def _asset(entry: Row) -> list[str]:
    detail = json.loads(entry["DETAIL"])
    name = detail.get("NAME") or f"…/{entry['KEY'].rpartition('/')[2]}, without a name"
    return [name, number(detail.get("SALES")), number(entry["VALUE"])]


def _table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    for position, _ in enumerate(names):
        is_name = position == 0
        table.add_column(justify="left" if is_name else "right", no_wrap=True, overflow="ellipsis")
    table.add_row(*(shown(name, "dim") for name in names))
    for row in rows:
        table.add_row(*_cells(row))
    return table


def _cells(row: Sequence[str]) -> list[Text]:
    return [shown("  " * (not position) + one_line(text)) for position, text in enumerate(row)]
