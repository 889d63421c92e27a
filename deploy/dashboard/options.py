"""Options of the dashboard: where its rows come from, and what it allows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from opensea_metrics.core.errors import OpenSeaMetricsError
from opensea_metrics.deploy.dashboard.tables import Tables

_HOST = re.compile(r"[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})+", re.IGNORECASE)


class BadImageHost(OpenSeaMetricsError):
    """A host for pictures is not a host name."""


@dataclass(frozen=True)
class DashboardOptions:
    """``tables``: where the rows come from. ``label``: the name of that server or folder on the pages.

    ``has_ask``: the pages have a query box.
    ``root``: the folder of the migrations (None: ./sql, else the packaged one). ``variables`` override its settings.
    ``image_hosts``: hosts whose pictures the pages show.
    """

    tables: Tables
    label: str
    has_ask: bool = False
    root: Path | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    image_hosts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for host in self.image_hosts:
            if not _HOST.fullmatch(host):
                raise BadImageHost(
                    f"{host!r} is not a host name for pictures\n"
                    "  hint: set OPENSEA_METRICS_DASHBOARD_IMAGE_HOSTS to a JSON list such as"
                    ' ["i.seadn.io"], without scheme, port and path'
                )

    def policy(self) -> str:
        """The Content-Security-Policy of every response."""
        hosts = "".join(f" https://{host}" for host in self.image_hosts)
        return (
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; font-src 'self';"
            f" img-src 'self'{hosts}; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
        )

    def picture(self, url: object) -> str | None:
        """The URL of a picture if a page may show it. None for other hosts and schemes, and for SVG."""
        return safe_url(url, self.image_hosts)


def safe_url(url: object, hosts: tuple[str, ...] | None = None) -> str | None:
    """The URL if it is an https URL.

    With ``hosts``, it must also be at one of these hosts and no SVG. Otherwise None.
    """
    if not isinstance(url, str) or len(url) > 2000 or not url.isprintable() or " " in url:
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    if parts.scheme != "https" or not parts.hostname or parts.username is not None or "\\" in url:
        return None
    if hosts is None:
        return url
    is_svg = parts.path.lower().endswith((".svg", ".svgz"))
    return url if parts.hostname in hosts and parts.port is None and not is_svg else None
