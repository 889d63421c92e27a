"""Top assets of a collection for a page. Their names and addresses are untrusted."""

from __future__ import annotations

from typing import Any

import orjson

from opensea_metrics.deploy.dashboard.options import DashboardOptions, safe_url
from opensea_metrics.deploy.dashboard.push import Values


def top_assets(row: Values, options: DashboardOptions) -> dict[str, Any]:
    """A row of TOP_ASSETS: the window's start, the number of assets sold, and the two lists."""
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
