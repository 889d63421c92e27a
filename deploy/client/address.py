"""Splits a server's URL into its address and the user and password in it."""

from __future__ import annotations

import httpx

from opensea_metrics.deploy.client.errors import BadAddress


def server_address(url: str) -> tuple[str, tuple[str, str] | None]:
    """The URL without its user and password, and (user, password) if it has them.

    Raises BadAddress if the URL cannot be used. The message shows the URL only if it cannot hold a
    password.
    """
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        raise _unusable(url) from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise _unusable(url)
    if parsed.query or parsed.fragment:
        raise _unusable(url, "it has a query or a fragment (? or #)")
    plain = str(parsed.copy_with(userinfo=b"")).rstrip("/")
    return plain, (parsed.username, parsed.password) if parsed.username else None


def _unusable(url: str, reason: str = "it is not http://host:port or https://host:port") -> BadAddress:
    hidden = "@" in url or "?" in url or "#" in url
    shown = "the server's URL (--server or KSQLDB_URL)" if hidden else repr(url)
    hint = "give --server or KSQLDB_URL such as http://127.0.0.1:8088"
    if "@" in url:
        hint += "; in a user or password write : / ? # @ as %3A %2F %3F %23 %40"
    return BadAddress(f"{shown} cannot be used: {reason}\n  hint: {hint}")
