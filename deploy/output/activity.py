"""The status line of the embedded server."""

from __future__ import annotations

import time

from opensea_metrics.deploy.embedded.activity import Activity
from opensea_metrics.deploy.output.console import time_text


class ServerStatusLine:
    """Text such as ``4,103 events/s · newest 2026-11-30 10:31:02 UTC · 0 records behind · disk …``.

    Rates cover the time since the previous line.
    """

    def __init__(self) -> None:
        self._before: tuple[float, int] | None = None

    def text(self, activity: Activity) -> str:
        """The line for the activity now."""
        now = time.monotonic()
        at, read = self._before or (now, activity.read)
        rate = (activity.read - read) / max(now - at, 1e-9)
        self._before = now, activity.read
        newest = f"newest {time_text(activity.newest)} UTC" if activity.newest is not None else "no event yet"
        return " · ".join(
            (
                f"{max(rate, 0):,.0f} events/s",
                newest,
                f"{activity.behind:,} behind",
                f"disk {activity.database / 1e6:,.0f} MB, {activity.free / 1e9:,.0f} GB free",
            )
        )
