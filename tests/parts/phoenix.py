"""A real websocket server that speaks OpenSea's side of the Phoenix protocol, and misbehaves on request.

It runs in a thread. A test gives a script, which runs on each connection once a channel is joined.
"""

from __future__ import annotations

import asyncio
import json
import socket as sockets
import struct
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

KEY = "key/that+must=not leak"


@dataclass
class Session:
    """One connection, as a script sees it."""

    socket: ServerConnection
    number: int
    version: str
    topic: str = ""
    join_ref: str | None = None

    def frame(self, event: str, payload: bytes, topic: str | None = None) -> bytes:
        """The frame of an event, in the version of the protocol that this connection uses."""
        name = json.dumps(topic or self.topic).encode()
        kind = json.dumps(event).encode()
        if self.version == "2.0.0":
            return b"[%b,null,%b,%b,%b]" % (json.dumps(self.join_ref).encode(), name, kind, payload)
        return b'{"topic":%b,"event":%b,"payload":%b,"ref":null}' % (name, kind, payload)

    async def send(self, event: str, payload: bytes, topic: str | None = None) -> None:
        await self.raw(self.frame(event, payload, topic))

    async def raw(self, frame: bytes) -> None:
        """Send any bytes as a text frame, even bytes that are not UTF-8."""
        await self.write(encoded(frame))

    async def write(self, data: bytes) -> None:
        """Send bytes that include the websocket's framing. Returns when the buffer has room again."""
        transport = self.socket.transport
        transport.write(data)
        await asyncio.sleep(0)  # the server must read too
        while transport.get_write_buffer_size() > 256 * 1024:
            await asyncio.sleep(0.001)
        if transport.is_closing():
            raise ConnectionResetError

    def cut(self) -> None:
        """Reset the connection. Bytes in transit are lost."""
        raw = self.socket.transport.get_extra_info("socket")
        raw.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.transport.abort()

    async def half_close(self) -> None:
        """Close the sending side without a close frame. Bytes written before still arrive."""
        self.socket.transport.write_eof()
        with suppress(ConnectionClosed):
            await self.socket.wait_closed()


Script = Callable[[Session], Awaitable[None]]


async def idle(session: Session) -> None:
    """A script that sends nothing."""
    await session.socket.wait_closed()


@dataclass
class Behaviour:
    """The server's behaviour outside of the script."""

    script: Script = idle
    key: str = KEY
    status: int | None = None
    """An HTTP status for every handshake."""
    location: str = ""
    """The address to which such a status redirects."""
    answers_heartbeats: Callable[[Session], bool] = lambda _: True
    join_delay: float = 0.0
    before_join: Script | None = None
    """Runs before the reply to a join."""
    join_reply: Callable[[str, int], Any] = lambda topic, attempt: {"status": "ok", "response": {}}
    """The payload of the reply to a topic's n-th join (from 0). None: no reply."""


@dataclass
class Server:
    """The server as a test sees it."""

    url: str
    behaviour: Behaviour
    handshakes: list[str] = field(default_factory=list)
    """Paths with queries."""
    received: list[Any] = field(default_factory=list)
    """Frames from clients, decoded."""
    sessions: int = 0
    errors: list[BaseException] = field(default_factory=list)
    """The errors of scripts, except closed connections."""


@contextmanager
def running(behaviour: Behaviour, ssl: Any = None) -> Iterator[Server]:
    """A server that runs during a block."""
    loop = asyncio.new_event_loop()
    ended = asyncio.Event()
    ports: list[int] = []
    up = threading.Event()
    server = Server("", behaviour)

    async def main() -> None:
        async with serve(
            lambda socket: _serve(server, socket), "127.0.0.1", 0,
            process_request=lambda socket, request: _checked(server, socket, request),
            compression=None, ping_interval=None, close_timeout=1, ssl=ssl,
        ) as listening:  # fmt: skip
            ports.append(next(iter(listening.sockets)).getsockname()[1])
            up.set()
            await ended.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(main()), daemon=True)
    thread.start()
    assert up.wait(30)
    scheme = "ws" if ssl is None else "wss"
    server.url = f"{scheme}://127.0.0.1:{ports[0]}/socket/websocket"
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(30)
    assert not server.errors, server.errors


def _checked(server: Server, socket: ServerConnection, request: Request) -> Response | None:
    server.handshakes.append(request.path)
    if server.behaviour.status is not None:
        response = socket.respond(HTTPStatus(server.behaviour.status), "no\n")
        if server.behaviour.location:
            response.headers["Location"] = server.behaviour.location
        return response
    query = parse_qs(urlsplit(request.path).query)
    if query.get("token") != [server.behaviour.key]:
        return socket.respond(HTTPStatus.UNAUTHORIZED, "bad token\n")
    return None


async def _serve(server: Server, socket: ServerConnection) -> None:
    assert socket.request is not None
    query = parse_qs(urlsplit(socket.request.path).query)
    number, server.sessions = server.sessions, server.sessions + 1
    session = Session(socket, number, query.get("vsn", ["1.0.0"])[0])
    scripts: list[asyncio.Task[None]] = []
    joins: dict[str, int] = {}
    try:
        async for text in socket:
            frame = json.loads(text)
            server.received.append(frame)
            if session.version == "2.0.0":
                join_ref, ref, topic, event, _ = frame
            else:
                join_ref, ref, topic, event = None, frame["ref"], frame["topic"], frame["event"]
            if event == "heartbeat":
                if server.behaviour.answers_heartbeats(session):
                    await _reply(session, None, ref, topic, {"status": "ok", "response": {}})
            elif event == "phx_join":
                attempt = joins.get(topic, 0)
                joins[topic] = attempt + 1
                reply = server.behaviour.join_reply(topic, attempt)
                await asyncio.sleep(server.behaviour.join_delay)
                if server.behaviour.before_join is not None:
                    await server.behaviour.before_join(session)
                if reply is None:
                    continue
                await _reply(session, join_ref, ref, topic, reply)
                if reply["status"] == "ok":
                    session.topic, session.join_ref = topic, join_ref
                    scripts.append(asyncio.create_task(_run(server, session)))
    except ConnectionClosed:
        pass
    finally:
        for script in scripts:
            script.cancel()
        await asyncio.gather(*scripts, return_exceptions=True)


async def _run(server: Server, session: Session) -> None:
    try:
        await server.behaviour.script(session)
    except (ConnectionClosed, ConnectionResetError):
        pass
    except Exception as error:
        server.errors.append(error)
        session.socket.transport.abort()


async def _reply(session: Session, join_ref: Any, ref: str, topic: str, body: Any) -> None:
    whole: Any = [join_ref, ref, topic, "phx_reply", body]
    if session.version != "2.0.0":
        whole = {"topic": topic, "event": "phx_reply", "payload": body, "ref": ref}
    await session.socket.send(json.dumps(whole))


def encoded(frame: bytes) -> bytes:
    """The bytes of a text frame from a server."""
    size = len(frame)
    if size < 126:
        return b"\x81" + bytes([size]) + frame
    if size < 65_536:
        return b"\x81\x7e" + size.to_bytes(2, "big") + frame
    return b"\x81\x7f" + size.to_bytes(8, "big") + frame


def blocks(frames: Sequence[bytes], size: int = 50) -> list[bytes]:
    """The bytes of frames, several frames per block. Writing them one by one would slow the client down."""
    return [b"".join(map(encoded, frames[i : i + size])) for i in range(0, len(frames), size)]
