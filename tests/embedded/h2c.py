"""A client of HTTP/2 without TLS that sends and reads single frames, which no library supports."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

import h2.config
import h2.connection
import h2.events


@dataclass
class Reply:
    """The part of a reply that has arrived on a stream so far."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    is_over: bool = False
    frames: int = 0


class Connection:
    """One connection. The number of its stream identifies each request."""

    def __init__(self, raw: socket.socket, authority: str) -> None:
        self._raw = raw
        self._authority = authority
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self._h2.initiate_connection()
        self._flush()
        self.replies: dict[int, Reply] = {}
        self._ended: str | None = None

    def request(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        *,
        body: bytes | None = None,
        is_over: bool = True,
    ) -> int:
        """Send a request's head, and its body in a separate DATA frame. Returns the stream's number."""
        number = self._h2.get_next_available_stream_id()
        self.replies[number] = Reply()
        pseudo = {
            ":method": method, ":path": path, ":scheme": "http", ":authority": self._authority
        }  # fmt: skip
        head = [*pseudo.items(), *(headers or {}).items()]
        self._h2.send_headers(number, head, end_stream=is_over and body is None)
        self._flush()
        if body is not None:
            self.send(number, body, is_over=is_over)
        return number

    def send(self, number: int, data: bytes, *, is_over: bool = False) -> None:
        """Send a part of a request's body."""
        self._h2.send_data(number, data, end_stream=is_over)
        self._flush()

    def finished(self, number: int) -> Reply:
        """The complete reply. Raises TimeoutError, or ConnectionError if the connection ends first."""
        while not self.replies[number].is_over:
            self.read()
        return self.replies[number]

    def line(self, number: int) -> bytes:
        """The next line of a reply, or its end without a newline."""
        reply = self.replies[number]
        while b"\n" not in reply.body and not reply.is_over:
            self.read()
        line, _, reply.body = reply.body.partition(b"\n")
        return line

    def read(self) -> None:
        """Process the next data that arrives."""
        if self._ended is not None:
            raise ConnectionError(self._ended)
        data = self._raw.recv(65536)
        if not data:
            raise ConnectionError("the server has closed the connection")
        for event in self._h2.receive_data(data):
            self._take(event)
        self._flush()

    def _take(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.ResponseReceived():
                headers = dict(cast("list[tuple[str, str]]", event.headers))  # by header_encoding
                self.replies[event.stream_id].status = int(headers[":status"])
                self.replies[event.stream_id].headers = headers
            case h2.events.DataReceived():
                self.replies[event.stream_id].body += event.data
                self.replies[event.stream_id].frames += bool(event.data)
                self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case h2.events.StreamEnded():
                self.replies[event.stream_id].is_over = True
            case h2.events.ConnectionTerminated():
                self._ended = str(event)  # replies that have come before it are whole
            case h2.events.StreamReset():
                raise ConnectionError(str(event))

    def _flush(self) -> None:
        self._raw.sendall(self._h2.data_to_send())


@contextmanager
def connected(url: str, timeout: float = 20) -> Iterator[Connection]:
    """A connection to a server. TimeoutError is raised after ``timeout`` seconds without data."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout) as raw:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield Connection(raw, parts.netloc)
