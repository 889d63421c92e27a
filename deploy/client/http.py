"""The module ``ksql`` over a connection pool, with limits on replies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import httpx
from ksql import KSQLAPI, SimplifiedAPI

from opensea_metrics.deploy.client.limits import REPLY_BYTES, unpacked
from opensea_metrics.deploy.shapes import WrongShape
from opensea_metrics.sql.language.dialect.lexical import with_safe_comments

# Without it, ksqlDB 7.9.1 answers /query in the format of /query-stream (observed).
MEDIA_TYPE = "application/vnd.ksql.v1+json"


class HttpError(Exception):
    """The status of the reply to a statement or query is not 200."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(status)
        self.status = status
        self.body = body


class Body:
    """A reply as the module reads it: its status, and at most ``most`` bytes of its body."""

    def __init__(self, response: httpx.Response, most: float) -> None:
        if 300 <= response.status_code < 400:
            response.close()
            raise WrongShape(f"it redirects to another address (HTTP {response.status_code})")
        self.status_code = response.status_code
        self._response = response
        self._most = most

    def read(self) -> bytes:
        """The whole body. Raises WrongShape."""
        try:
            return b"".join(unpacked(self._response, self._most))
        finally:
            self._response.close()

    def iter_bytes(self) -> Iterator[bytes]:
        """The body in pieces, as they arrive. Raises WrongShape."""
        return unpacked(self._response, self._most)

    def refuse(self) -> None:
        """Raise HttpError unless the status is 200."""
        if self.status_code != 200:
            raise HttpError(self.status_code, self.read().decode(errors="replace"))


class Pooled(SimplifiedAPI):  # type: ignore[misc]
    """The module's API over a connection pool, with limits on replies.

    The module itself opens a connection and reads all CA certificates (20 ms of CPU) for each request. It
    has no time-out for GET, and parses a reply before it looks at the status.

    ``sequence`` is the greatest commandSequenceNumber so far. Each request sends this number. Another server of the
    same cluster then waits until it has seen this client's earlier commands.
    """

    def __init__(self, url: str, http: httpx.Client, timeout: httpx.Timeout, most: float) -> None:
        super().__init__(url, timeout=timeout)
        self._http = http
        self._most = most
        self.sequence: int | None = None

    def get_request(self, endpoint: str) -> Body:
        request = self._http.build_request("GET", endpoint, timeout=self.timeout)
        return self._sent(request, REPLY_BYTES)

    def post(self, endpoint: str, body: Mapping[str, str]) -> Body:
        """POST JSON to an endpoint that the module does not know, and return the reply."""
        url = f"{self.url}/{endpoint}"
        request = self._http.build_request("POST", url, json=body, timeout=self.timeout)
        return self._sent(request, REPLY_BYTES)

    def _http1_request(
        self, endpoint: str, sql_string: str, stream_properties: Mapping[str, str]
    ) -> Body:
        return self._sent(self._request(endpoint, sql_string, stream_properties), REPLY_BYTES)

    @staticmethod
    def _raise_for_status(response: Body, text: str) -> None:
        if response.status_code != 200:
            raise HttpError(response.status_code, text)

    @contextmanager
    def _http1_stream(
        self, endpoint: str, sql_string: str, stream_properties: Mapping[str, str]
    ) -> Iterator[Body]:
        request = self._request(endpoint, sql_string, stream_properties)
        response = self._http.send(request, stream=True)
        try:
            body = Body(response, self._most)
            body.refuse()
            yield body
        finally:
            response.close()

    def _sent(self, request: httpx.Request, most: float) -> Body:
        return Body(self._http.send(request, stream=True), most)

    def _request(self, endpoint: str, text: str, properties: Mapping[str, str]) -> httpx.Request:
        sent = with_safe_comments(self._validate_sql_string(text))
        body: dict[str, object] = {"ksql": sent, "streamsProperties": properties}
        if self.sequence is not None:
            body["commandSequenceNumber"] = self.sequence
        return self._http.build_request(
            "POST",
            f"{self.url}/{endpoint}",
            headers={**self.headers, "Accept": MEDIA_TYPE},
            json=body,
            timeout=self.timeout,
        )


def api(url: str, http: httpx.Client, timeout: httpx.Timeout, most: float) -> KSQLAPI:
    """The module's API for a server, over ``http``. A query's rows may have at most ``most`` bytes."""
    client = KSQLAPI(url, check_version=False)
    client.sa = Pooled(url, http, timeout, most)
    return client
