"""The parts of each page: which feeds each part reads, and what data the page gets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from opensea_metrics.deploy.dashboard import windows
from opensea_metrics.deploy.dashboard.feeds import Feed
from opensea_metrics.deploy.dashboard.hub import COLLECTION, MARKET, TRADING, Hub
from opensea_metrics.deploy.dashboard.options import DashboardOptions, safe_url
from opensea_metrics.deploy.dashboard.ranking import ranking_part
from opensea_metrics.deploy.dashboard.stream import PagePart
from opensea_metrics.deploy.dashboard.tables import RowSelection, Values
from opensea_metrics.deploy.dashboard.view import PageView
from opensea_metrics.deploy.dashboard.windows import DeployedWindow, Problem, chosen_window


def catalog_part(hub: Hub, view: PageView) -> PagePart:
    """The windows and chains of the pickers. If there is no window to show: the reason."""
    names, chains = hub.names(), hub.chains()

    def message(_: int) -> Any:
        listed = [row[0] for row in names.rows.all()]
        chosen = chosen_window(listed, view.window, hub.tables.is_live)
        window = chosen if isinstance(chosen, DeployedWindow) else None
        return {
            "windows": [{"suffix": w.suffix, "label": w.label, "size": w.size} for w in windows.deployed(listed)],
            "window": window.suffix if window else None,
            "chains": [row[0] for row in chains.rows.all()],
            "missing": windows.missing(listed, window) if window else [],
            "problem": chosen.as_json() if isinstance(chosen, Problem) else None,
            "isComplete": window is not None,
        }

    return PagePart("catalog", view, (names, chains), message)


def market_parts(hub: Hub, view: PageView, window: DeployedWindow, names: frozenset[str]) -> tuple[PagePart, ...]:
    """The market's tiles and chart, and the ranked collections."""
    scope = ("chain", view.chain) if view.chain else ("market", "all")
    parts = [] if view.chain else [_series(hub, view, window, "market", "GLOBAL", MARKET, ())]
    if window.table("TRADING") in names:
        parts.append(_trading(hub, view, window, *scope))
    return (*parts, ranking_part(hub, view, window))


def collection_parts(hub: Hub, view: PageView, window: DeployedWindow, names: frozenset[str]) -> tuple[PagePart, ...]:
    """The charts of a collection, and its top assets."""
    equal = (("COLLECTION", view.name),)
    parts = [_series(hub, view, window, "collection", "COLLECTION", COLLECTION, equal)]
    if window.table("TRADING") in names:
        parts.append(_trading(hub, view, window, "collection", view.name))
    if window.table("TOP_ASSETS") in names:
        assets = hub.top_assets(window, view.name, view.at)

        def message(_: int) -> Any:
            row = assets.rows.newest()
            return None if row is None else _top_assets(row, hub.options)

        parts.append(PagePart("assets", (view, window), (assets,), message))
    return tuple(parts)


def lineage_parts(hub: Hub) -> tuple[PagePart, ...]:
    """The lineage of a server, its migrations and its processing log."""
    graph, migrations, log = hub.graph(), hub.migrations(), hub.log()
    return (
        PagePart("lineage", "", (graph,), lambda _: graph.rows.all()[0][1]),
        PagePart("lag", "", (graph,), lambda _: {"behind": graph.rows.all()[0][2]}),
        PagePart("migrations", "", (migrations,), lambda _: migrations.rows.all()[0][1]),
        PagePart("log", "", (log,), lambda _: {"rows": [row[1:] for row in reversed(log.rows.all())]}),
    )


def newest_part(hub: Hub, window: DeployedWindow) -> PagePart:
    """The time of the newest event, for the status of a page that shows nothing else of the market."""
    return PagePart("fresh", window, (hub.market(window),), lambda _: None)


def lag_part(hub: Hub, window: DeployedWindow) -> PagePart:
    """How many records the queries of a window have not read."""
    lag = hub.lag(window)
    return PagePart("lag", window, (lag,), lambda _: {"behind": lag.rows.all()[0][1]})


def _trading(hub: Hub, view: PageView, window: DeployedWindow, scope: str, name: str) -> PagePart:
    equal = (("SCOPE", scope), ("NAME", name))
    return _series(hub, view, window, "trading", "TRADING", TRADING, equal)


def _series(
    hub: Hub,
    view: PageView,
    window: DeployedWindow,
    name: str,
    family: str,
    columns: tuple[str, ...],
    equal: tuple[tuple[str, str], ...],
) -> PagePart:
    """A row for each window in the view's range."""
    if view.end is not None:
        selection = RowSelection(window.table(family), columns, equal, view.start, view.end)
        feed = hub.period(selection, window)
    elif family == "COLLECTION":
        feed = hub.collection(window, view.name)
    elif family == "TRADING":
        feed = hub.trading(window, equal[0][1], equal[1][1])
    else:
        feed = hub.market(window)
    return PagePart(name, (view, window), (feed,), _message(feed, view, window, columns))


def _message(feed: Feed, view: PageView, window: DeployedWindow, columns: tuple[str, ...]) -> Callable[[int], Any]:
    def message(seen: int) -> Any:
        is_full, rows = feed.rows.since(seen)
        newest = feed.rows.newest()
        first = newest[0] - view.span if view.span and view.end is None and newest else 0
        return {
            "full": is_full,
            "columns": columns,
            "size": window.size,
            "advance": window.advance,
            "first": first,
            "rows": [row[: len(columns)] for row in rows if row[0] >= first],
        }

    return message


def _top_assets(row: Values, options: DashboardOptions) -> dict[str, Any]:
    """A row of TOP_ASSETS: the window's start, the number of assets sold, and the two lists.

    Names and addresses of assets are untrusted.
    """
    start, sold, by_volume, by_transfers = row
    return {
        "start": start,
        "sold": sold,
        "byVolume": [_asset(entry, options) for entry in by_volume or () if isinstance(entry, dict)],
        "byTransfers": [_asset(entry, options) for entry in by_transfers or () if isinstance(entry, dict)],
    }


def _asset(entry: dict[str, Any], options: DashboardOptions) -> dict[str, Any]:
    fields = {str(name).upper(): value for name, value in entry.items()}
    detail = _detail(fields.get("DETAIL"))
    return {
        "id": fields.get("KEY"),
        "value": fields.get("VALUE"),
        "name": detail.get("NAME"),
        "sales": detail.get("SALES"),
        "url": safe_url(detail.get("URL")),
        "image": options.picture(detail.get("IMAGE")),
    }


def _detail(text: Any) -> dict[str, Any]:
    """The JSON object in a text. Empty if there is none."""
    try:
        detail = orjson.loads(text)
    except (TypeError, orjson.JSONDecodeError):
        return {}
    return {str(name).upper(): value for name, value in detail.items()} if isinstance(detail, dict) else {}
