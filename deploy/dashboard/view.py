"""Reads what a page shows from the query of its URL. Every value is untrusted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from opensea_metrics.core.errors import OpenSeaMetricsError
from opensea_metrics.deploy.dashboard.windows import DeployedWindow, window_of

SPANS = {"1h": 3_600_000, "6h": 21_600_000, "24h": 86_400_000, "2d": 172_800_000, "all": 0}
"""The ranges of charts, in ms back from the newest window. 0 is all windows of a feed."""
RANKED_COLUMNS = (
    "name", "chain", "usd", "usd_change", "eth", "sales", "sales_change", "floor", "average", "transfers",
)  # fmt: skip
"""The values of a row of the ranking, which can be sorted by each of them.

Changes are fractions: 0.5 means plus 50 %. None: there was no value before.
"""
ROWS = (25, 100, 500)
_NUMBER = re.compile(r"[0-9]{1,15}")


class BadView(OpenSeaMetricsError):
    """A page's URL has an invalid value. The message names the value."""


@dataclass(frozen=True)
class PageView:
    """The choices of a page. ``window`` is None for the default; ``at`` is the start of a window, None for the newest.

    If both are set, ``start`` and ``end`` are the bounds of the charts. Otherwise the charts cover ``span``, counted
    back from the newest window. ``chain`` is empty for all chains. Times are in epoch ms.
    """

    window: DeployedWindow | None = None
    chain: str = ""
    span: int = SPANS["24h"]
    start: int | None = None
    end: int | None = None
    at: int | None = None
    sort: str = "usd"
    is_descending: bool = True
    find: str = ""
    rows: int = ROWS[0]
    name: str = ""

    @classmethod
    def of(cls, query: Mapping[str, str]) -> PageView:
        """Read the query of a URL. Raises BadView."""
        suffix = query.get("window", "")
        window = window_of(suffix.upper()) if suffix else None
        if suffix and window is None:
            raise BadView(f"{suffix[:40]!r} is not a window; write it as 30_MINUTES or 1_HOUR")
        start, end = _time(query, "from"), _time(query, "to")
        if (start is None) != (end is None) or (start is not None and end is not None and start >= end):
            raise BadView("a period needs both from and to, and from must be before to")
        rows = query.get("rows", "")
        return cls(
            window,
            query.get("chain", "")[:100],
            SPANS[_choice(query, "range", tuple(SPANS), "24h")],
            start,
            end,
            _time(query, "at"),
            _choice(query, "sort", RANKED_COLUMNS, "usd"),
            _choice(query, "order", ("desc", "asc"), "desc") == "desc",
            query.get("find", "")[:200].casefold(),
            int(rows) if rows in map(str, ROWS) else ROWS[0],
            query.get("name", ""),
        )


def _choice(query: Mapping[str, str], name: str, choices: tuple[str, ...], default: str) -> str:
    value = query.get(name, default)
    if value not in choices:
        raise BadView(f"{name}={value[:40]!r} is not one of {', '.join(choices)}")
    return value


def _time(query: Mapping[str, str], name: str) -> int | None:
    value = query.get(name, "")
    if value and not _NUMBER.fullmatch(value):
        raise BadView(f"{name}={value[:40]!r} is not a time in milliseconds since 1970")
    return int(value) if value else None
