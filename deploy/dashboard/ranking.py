"""Collections in an order that a page chose, with the change from the window before."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Any

from opensea_metrics.deploy.dashboard.hub import COLLECTION
from opensea_metrics.deploy.dashboard.push import Values
from opensea_metrics.deploy.dashboard.view import PageView

COLUMNS = ("name", "chain", "usd", "usd_change", "eth", "sales", "sales_change", "floor", "average", "transfers")
"""The values of a ranked row. Changes are fractions: 0.5 is half as much again. None: there was nothing before."""

_SALES, _USD, _ETH, _FLOOR, _AVERAGE, _TRANSFERS = (
    COLLECTION.index(name) for name in ("SALES", "USD_VOLUME", "ETH_VOLUME", "FLOOR_USD", "AVG_USD", "TRANSFERS")
)


def ranked(rows: Iterable[Values], chains: Mapping[str, str], view: PageView) -> list[list[Any]]:
    """All rows that a view shows, in its order: values of COLUMNS. ``rows`` are those of ``Hub.ranking``.

    Missing values come last in both directions. Rows with equal values are sorted by name.
    """
    shown = [_row(name, chains.get(name, ""), now, before) for name, now, before, _ in rows if now is not None]
    if view.chain:
        shown = [row for row in shown if row[1] == view.chain]
    if view.find:
        shown = [row for row in shown if view.find in row[0].casefold()]
    shown.sort(key=lambda row: row[0])
    at = COLUMNS.index(view.sort)
    known = [row for row in shown if row[at] not in (None, "")]
    known.sort(key=lambda row: row[at], reverse=view.is_descending)
    return known + [row for row in shown if row[at] in (None, "")]


def as_csv(rows: Iterable[Values], names: Iterable[str] = COLUMNS) -> str:
    """Rows as CSV with a header. Text that a spreadsheet would run as a formula gets an apostrophe in front."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(names)
    writer.writerows([_harmless(value) for value in row] for row in rows)
    return text.getvalue()


def _row(name: str, chain: str, now: Values, before: Values | None) -> list[Any]:
    return [
        name, chain, now[_USD], _change(now, before, _USD), now[_ETH], now[_SALES], _change(now, before, _SALES),
        now[_FLOOR], now[_AVERAGE], now[_TRANSFERS],
    ]  # fmt: skip


def _change(now: Values, before: Values | None, at: int) -> float | None:
    old = before[at] if before is not None else None
    return (now[at] or 0) / old - 1 if old else None


def _harmless(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t\r" and value else value
