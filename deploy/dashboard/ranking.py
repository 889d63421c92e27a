"""The ranking: collections in an order that a page chose, with the change from the window before."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Any

from opensea_metrics.deploy.dashboard.feeds import Feed
from opensea_metrics.deploy.dashboard.hub import COLLECTION, Hub
from opensea_metrics.deploy.dashboard.stream import PagePart
from opensea_metrics.deploy.dashboard.tables import Values
from opensea_metrics.deploy.dashboard.view import RANKED_COLUMNS, PageView
from opensea_metrics.deploy.dashboard.windows import DeployedWindow

_SALES, _USD, _ETH, _FLOOR, _AVERAGE, _TRANSFERS = (
    COLLECTION.index(name) for name in ("SALES", "USD_VOLUME", "ETH_VOLUME", "FLOOR_USD", "AVG_USD", "TRANSFERS")
)


def ranking_part(hub: Hub, view: PageView, window: DeployedWindow) -> PagePart:
    """The ranked collections of one window."""
    at, rows, chains = ranking_feeds(hub, view, window)

    def message(_: int) -> Any:
        all_rows = rows.rows.all()
        listed = ranked_rows(rows, chains, view)
        return {
            "start": all_rows[0][3] if all_rows else at,
            "size": window.size,
            "total": len(listed),
            "columns": RANKED_COLUMNS,
            "rows": listed[: view.rows],
        }

    return PagePart("ranking", (view, window), (rows, chains), message)


def ranking_feeds(hub: Hub, view: PageView, window: DeployedWindow) -> tuple[int | None, Feed, Feed]:
    """The start of the ranked window (None: the newest), its collections, and their chains."""
    at = view.at
    if at is None and view.end is not None:  # the last window of the period
        at = (view.end - 1) // window.advance * window.advance
    return at, hub.ranking(window, at), hub.chain_names(window, at)


def ranked_rows(rows: Feed, chains: Feed, view: PageView) -> list[list[Any]]:
    """All rows of a ranking, in the order of a view."""
    return ranked(rows.rows.all(), {row[0]: row[1] for row in chains.rows.all()}, view)


def ranked(rows: Iterable[Values], chains: Mapping[str, str], view: PageView) -> list[list[Any]]:
    """All rows that a view shows, in its order: values of RANKED_COLUMNS. ``rows`` come from ``Hub.ranking``.

    Missing values come last in both directions. Rows with equal values are sorted by name.
    """
    shown = [_row(name, chains.get(name, ""), now, before) for name, now, before, _ in rows if now is not None]
    if view.chain:
        shown = [row for row in shown if row[1] == view.chain]
    if view.find:
        shown = [row for row in shown if view.find in row[0].casefold()]
    shown.sort(key=lambda row: row[0])
    at = RANKED_COLUMNS.index(view.sort)
    known = [row for row in shown if row[at] not in (None, "")]
    known.sort(key=lambda row: row[at], reverse=view.is_descending)
    return known + [row for row in shown if row[at] in (None, "")]


def as_csv(rows: Iterable[Values]) -> str:
    """Ranked rows as CSV with a header. Text that a spreadsheet would run as a formula gets an apostrophe in front."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(RANKED_COLUMNS)
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
