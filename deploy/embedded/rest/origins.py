"""Refuses requests for foreign hosts, and requests that a browser sends for foreign web pages.

A browser lets every page that a user opens send requests to this machine. Two headers reveal such requests:
``Origin`` and ``Sec-Fetch-Site`` name the page's site. A page can also point a name of its own at this machine (DNS
rebinding). Then the ``Host`` header has this name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address

from starlette.types import Scope

from opensea_metrics.deploy.embedded.rest.denials import Check, Refusal

_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]/@\\\s]+)(?::([0-9]*))?")
_DEFAULT_PORTS = {"http": "80", "https": "443"}


def is_loopback(host: str) -> bool:
    """True for names and addresses that only programs on this machine can reach."""
    address = _address(host)
    return host.lower() == "localhost" if address is None else address.is_loopback


def is_address(host: str) -> bool:
    """True for an IP address. An IPv6 address may have brackets."""
    return _address(host) is not None


def check(allowed: Iterable[str], listens_on: str, allow_links: bool = False) -> Check:
    """A check that refuses foreign hosts and foreign pages with 403.

    ``allow_links``: a foreign page may have links to this server, which a user follows. The page itself sees nothing.

    ``allowed`` are names of this server, in addition to the loopback names. ``listens_on`` is the address that the
    server listens on. If it is all addresses (0.0.0.0 or ::), the address at which a connection arrives is allowed
    too. This is safe, because a page can rebind a name but not an address.
    """
    names = {_plain(name) for name in (*allowed, listens_on)}
    address = _address(listens_on)
    is_everywhere = address is not None and address.is_unspecified

    def refusal(scope: Scope) -> Refusal | None:
        headers = scope["headers"]
        is_link = allow_links and _is_link(scope)
        hosts = [value.decode("latin-1") for name, value in headers if name == b"host" and value]
        arrived = (scope.get("server") or ("",))[0] or ""
        for authority in hosts:
            match = _AUTHORITY.fullmatch(authority)
            name = _plain(match[1]) if match else None
            if name is None or not (
                name in names or is_loopback(name) or (is_everywhere and name == _plain(arrived))
            ):
                return _forbidden(
                    f"This server does not answer to the host {authority!r}. Use one of its own names,"
                    " or start it with --allow-host NAME"
                )
        client = (scope.get("client") or ("",))[0] or ""
        if not hosts and not is_loopback(_plain(client)):
            return _forbidden("A request from another machine must have a Host header")
        for name, value in headers:
            text = value.decode("latin-1")
            if name == b"origin" and not (hosts and _is_origin_of(text, hosts[0])):
                return _forbidden(f"Pages of {text!r} may not use this server")
            is_foreign = name == b"sec-fetch-site" and text.strip().lower() not in ("same-origin", "none")
            if is_foreign and not is_link:
                return _forbidden("Pages of another origin may not use this server")
        return None

    return refusal


def _is_link(scope: Scope) -> bool:
    """Whether a browser opens a whole page, with a request that changes nothing."""
    headers = dict(scope["headers"])
    return (
        scope.get("method") == "GET"
        and headers.get(b"sec-fetch-mode") == b"navigate"
        and headers.get(b"sec-fetch-dest") == b"document"
    )


def _forbidden(message: str) -> Refusal:
    return Refusal(403, 40300, message)


def _plain(host: str) -> str:
    """A host in a normal form, so that two hosts can be compared."""
    host = host.lower().removesuffix(".").removeprefix("[").removesuffix("]")
    address = _address(host)
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address or host)


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None


def _is_origin_of(origin: str, host: str) -> bool:
    """Whether a page of ``origin`` came from ``host`` itself, including the port."""
    scheme, separator, authority = origin.strip().partition("://")
    default = _DEFAULT_PORTS.get(scheme.lower())
    ours, theirs = _AUTHORITY.fullmatch(host), _AUTHORITY.fullmatch(authority)
    if not (separator and default and ours and theirs):
        return False
    return (_plain(ours[1]), ours[2] or default) == (_plain(theirs[1]), theirs[2] or default)
