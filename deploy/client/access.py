"""The address of a server, and the credentials of a client: user, token, headers, certificates."""

from __future__ import annotations

import functools
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar
from urllib.request import getproxies

import httpx

from opensea_metrics.core.errors import os_reason
from opensea_metrics.deploy.client.errors import AccessError, BadAddress
from opensea_metrics.deploy.client.limits import limit_time

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER = re.compile(r"[\x21-\x7e]([\x20-\x7e\t]*[\x21-\x7e])?|")

_AnyClient = TypeVar("_AnyClient", httpx.Client, httpx.AsyncClient)


@dataclass(frozen=True)
class Access:
    """The credentials and certificates of a client. Its repr shows no secret.

    ``user`` and ``password`` are sent as basic authentication, ``token`` as a bearer token. ``ca_file``
    holds the certificates (PEM) to trust instead of the system's. ``cert_file`` with ``key_file`` (and
    ``key_password``) is the client's own certificate. ``headers`` go with every request. ``pinned_file`` is
    the server's own certificate (PEM): the client then trusts only this certificate, under any host name.
    """

    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    key_password: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    pinned_file: Path | None = None

    def as_user(self, user: str, password: str) -> Access:
        """A copy with this user and password."""
        return replace(self, user=user, password=password)

    @property
    def has_credentials(self) -> bool:
        """True if a user, token, certificate or further headers could identify the client."""
        return bool(self.user or self.token or self.cert_file or self.headers)

    def http(self, url: str) -> httpx.Client:
        """A pool of connections to a server. Raises AccessError if a file or a combination cannot be used."""
        return limit_time(self._opened(httpx.Client, url))

    def async_http(self, url: str) -> httpx.AsyncClient:
        """The same for asyncio, without limits on the time of a reply."""
        return self._opened(httpx.AsyncClient, url)

    def _opened(self, kind: type[_AnyClient], url: str) -> _AnyClient:
        if self.token is not None and self.user is not None:
            raise AccessError("give either a user and password or a token, not both")
        # Only gzip can be unpacked within limits.
        headers = {"Accept-Encoding": "gzip", **self.headers}
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        for name, value in headers.items():
            # The library's own message would show the value.
            if not _HEADER.fullmatch(value) or not _NAME.fullmatch(name):
                raise AccessError(f"header {name!r} has characters that HTTP forbids")
        auth = (self.user, self.password or "") if self.user is not None else None
        try:
            return kind(auth=auth, headers=headers, verify=self._tls(url))
        except ValueError:  # the message would show the proxy's URL
            raise AccessError(
                "the proxy that HTTP_PROXY, HTTPS_PROXY or ALL_PROXY names cannot be used: "
                "give http://host:port, or name this server in NO_PROXY"
            ) from None

    def _tls(self, url: str) -> ssl.SSLContext:
        if self.ca_file is None and self.cert_file is None and self.pinned_file is None:
            return default_tls(url)
        trusted = self.pinned_file or self.ca_file
        try:
            context = ssl.create_default_context(cafile=trusted)
        except OSError as error:
            raise AccessError(f"cannot use the CA file {trusted}: {os_reason(error)}") from error
        if self.pinned_file is not None:
            context.check_hostname = False
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        if self.cert_file is not None:
            try:
                # Without a password OpenSSL would ask for one on the terminal.
                context.load_cert_chain(
                    self.cert_file, self.key_file, password=self.key_password or ""
                )
            except OSError as error:
                raise AccessError(
                    f"cannot use the client certificate {self.cert_file} with the key"
                    f" {self.key_file or 'in it'}: {os_reason(error)}"
                ) from error
        return context


def default_tls(url: str) -> ssl.SSLContext:
    """Trusts the usual certificates, or those of SSL_CERT_FILE. They are not read for connections without TLS."""
    is_plain = url.startswith("http:") and not getproxies()  # a proxy may use TLS
    return _trusting_nobody() if is_plain else _usual_certificates()


@functools.cache
def _usual_certificates() -> ssl.SSLContext:
    """Reading them takes 30 ms, so they are read once."""
    return httpx.create_ssl_context()


def _trusting_nobody() -> ssl.SSLContext:
    """For connections without TLS. Without any context, httpx would read the usual certificates."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


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
