"""Limits on every reply: its total time, and its unpacked size.

httpx limits the time of each single read from the socket. A server that sends one byte a second never
exceeds that limit. Here all reads of one reply share one deadline. A push query waits for rows without a
deadline, and TCP keep-alive detects a dead host.
"""

from __future__ import annotations

import math
import socket
import ssl
import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any

import httpcore
import httpx

from opensea_metrics.deploy.shapes import WrongShape

REPLY_BYTES = 64 << 20
"""The largest reply to a statement, and the largest row of a query, unpacked."""
ROWS_BYTES = 256 << 20
"""The largest reply to a query whose rows are finite, unpacked."""
BYTES_PER_SECOND = 100_000
"""The slowest rate at which a reply may arrive once the time-out is over."""

_PIECE = 1 << 20
_TOGETHER = 1 << 16
"""The most bytes of a request that wait for its next part."""
_end: ContextVar[float] = ContextVar("end", default=math.inf)

# After a minute of silence the system probes the other host six times, ten seconds apart.
_KEEP_ALIVE = [
    (level, number, value)
    for level, name, value in (
        (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
        (socket.IPPROTO_TCP, "TCP_KEEPIDLE", 60),
        (socket.IPPROTO_TCP, "TCP_KEEPINTVL", 10),
        (socket.IPPROTO_TCP, "TCP_KEEPCNT", 6),
    )
    if (number := getattr(socket, name, None)) is not None
]


@contextmanager
def until(moment: float) -> Iterator[None]:
    """Make this thread's reads and writes fail with a time-out after ``moment`` (monotonic seconds)."""
    token = _end.set(moment)
    try:
        yield
    finally:
        _end.reset(token)


def limit_time(client: httpx.Client) -> httpx.Client:
    """Apply the deadline that ``until`` sets to all connections of a client."""
    # httpx has no public way to set the backend, and our own transport would ignore proxies.
    for transport in (client._transport, *client._mounts.values()):
        if isinstance(transport, httpx.HTTPTransport):
            transport._pool._network_backend = _Backend()
    return client


def unpacked(response: httpx.Response, most: float) -> Iterator[bytes]:
    """The body of a reply in pieces of at most 1 MiB. Raises WrongShape after ``most`` bytes."""
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip", ""):
        raise WrongShape(f"it is compressed with {encoding}, which the client did not request")
    pieces: Iterable[bytes] = response.iter_raw()
    size = 0
    for piece in _inflated(pieces) if encoding == "gzip" else pieces:
        size += len(piece)
        if size > most:
            raise WrongShape(f"it is larger than {int(most) >> 20} MiB")
        yield piece


def _inflated(pieces: Iterable[bytes]) -> Iterator[bytes]:
    unpack = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        for piece in pieces:
            left, full = piece, True
            while left or full:
                data = unpack.decompress(left, _PIECE)
                left, full = unpack.unconsumed_tail, len(data) == _PIECE
                yield data
    except zlib.error as error:
        raise WrongShape(f"its gzip is broken: {error}") from None
    if not unpack.eof:
        raise WrongShape("its gzip is cut off")


class _Backend(httpcore.NetworkBackend):
    def __init__(self) -> None:
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        options = [*(socket_options or ()), *_KEEP_ALIVE]
        left = _left(timeout, httpcore.ConnectTimeout)
        return _Stream(self._inner.connect_tcp(host, port, left, local_address, options))


class _Stream(httpcore.NetworkStream):
    """A connection that sends the head and the body of a small request together.

    httpcore writes them one by one, and a server would wake up for each. It reads after the last write of a request.
    """

    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner
        self._unsent = b""
        self._write_timeout: float | None = None

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._unsent:
            with suppress(httpcore.WriteError):  # as httpcore does: the server may have sent its answer before
                self._send()
        return self._inner.read(max_bytes, _left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._unsent += buffer
        self._write_timeout = timeout
        if len(self._unsent) > _TOGETHER:
            self._send()

    def _send(self) -> None:
        unsent, self._unsent = self._unsent, b""
        self._inner.write(unsent, _left(self._write_timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        left = _left(timeout, httpcore.ConnectTimeout)
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, left))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


def _left(timeout: float | None, late: type[Exception]) -> float | None:
    """How many seconds a single operation may take. Raises ``late`` if the deadline is over."""
    end = _end.get()
    if end == math.inf:
        return timeout
    left = end - time.monotonic()
    if left <= 0:
        raise late("the time is up")
    return left if timeout is None else min(left, timeout)
