"""The module ``ksql`` over a pool of connections: authentication, TLS, headers, time-outs."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx
from ksql import KSQLAPI, SimplifiedAPI

from deploy.client.errors import AccessError

# Without it, /query of ksqlDB 7.9.1 replies as /query-stream does (observed).
MEDIA_TYPE = "application/vnd.ksql.v1+json"
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER = re.compile(r"[\x21-\x7e]([\x20-\x7e\t]*[\x21-\x7e])?|")


@dataclass(frozen=True)
class Access:
    """How a server lets one in; nothing of it is ever shown.

    ``user`` and ``password`` are sent as basic authentication, ``token`` as a bearer token.
    ``ca_file``: the certificates (PEM) to trust instead of the system's; ``cert_file`` with
    ``key_file`` (and ``key_password``): the client's own certificate. ``headers`` go with every
    request.
    """

    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    key_password: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def as_user(self, user: str, password: str) -> Access:
        """The same with this user and password."""
        return replace(self, user=user, password=password)

    def http(self) -> httpx.Client:
        """A pool of connections. Raises AccessError if a file or a combination cannot be used."""
        if self.token is not None and self.user is not None:
            raise AccessError("give either a user and password or a token, not both")
        headers = dict(self.headers)
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        for name, value in headers.items():
            # The library would show the value.
            if not _HEADER.fullmatch(value) or not _NAME.fullmatch(name):
                raise AccessError(f"header {name!r} has characters that HTTP forbids")
        auth = (self.user, self.password or "") if self.user is not None else None
        return httpx.Client(auth=auth, headers=headers, verify=self._tls())

    def _tls(self) -> ssl.SSLContext | bool:
        if self.ca_file is None and self.cert_file is None:
            return True
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except OSError as error:
            raise AccessError(f"cannot use the CA file {self.ca_file}: {_why(error)}") from error
        if self.cert_file is not None:
            try:
                # A password is always given: without one OpenSSL would ask on the terminal.
                context.load_cert_chain(
                    self.cert_file, self.key_file, password=self.key_password or ""
                )
            except OSError as error:
                raise AccessError(
                    f"cannot use the client certificate {self.cert_file} with the key"
                    f" {self.key_file or 'in it'}: {_why(error)}"
                ) from error
        return context


class Pooled(SimplifiedAPI):  # type: ignore[misc]
    """The module's API over a connection pool.

    Of itself it opens a connection and reads all CA certificates (20 ms of CPU) for each request,
    and has no time-out of its own for GET.

    ``sequence`` is the greatest commandSequenceNumber seen: sent along, it makes another server
    of the same cluster wait until it knows what this client has done.
    """

    def __init__(self, url: str, http: httpx.Client, timeout: httpx.Timeout) -> None:
        super().__init__(url, timeout=timeout)
        self._http = http
        self.sequence: int | None = None

    def get_request(self, endpoint: str) -> httpx.Response:
        return self._http.get(endpoint, timeout=self.timeout)

    def _http1_request(
        self, endpoint: str, sql_string: str, stream_properties: Mapping[str, str]
    ) -> httpx.Response:
        return self._http.send(self._request(endpoint, sql_string, stream_properties))

    @contextmanager
    def _http1_stream(
        self, endpoint: str, sql_string: str, stream_properties: Mapping[str, str]
    ) -> Iterator[httpx.Response]:
        request = self._request(endpoint, sql_string, stream_properties)
        response = self._http.send(request, stream=True)
        try:
            yield response
        finally:
            response.close()

    def _request(self, endpoint: str, text: str, properties: Mapping[str, str]) -> httpx.Request:
        body = {"ksql": self._validate_sql_string(text), "streamsProperties": properties}
        if self.sequence is not None:
            body["commandSequenceNumber"] = self.sequence
        return self._http.build_request(
            "POST",
            f"{self.url}/{endpoint}",
            headers={**self.headers, "Accept": MEDIA_TYPE},
            json=body,
            timeout=self.timeout,
        )


def api(url: str, http: httpx.Client, timeout: httpx.Timeout) -> KSQLAPI:
    """The module's API of a server, over ``http``."""
    made = KSQLAPI(url, check_version=False)
    made.sa = Pooled(url, http, timeout)
    return made


def _why(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__
