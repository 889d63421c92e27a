"""A server that answers every request in one wrong way, byte by byte as it is told."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

Answer = Callable[[], Iterator[bytes]]
"""The bytes of a reply, from the status line on; a pause between two of them is an empty one."""
PAUSE = 0.05  # seconds


def reply(
    body: bytes, status: str = "200 OK", headers: Mapping[str, str] | None = None
) -> Answer:
    """A reply with a correct length."""
    lines = {"Content-Length": str(len(body)), "Content-Type": "application/json", **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    whole = f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body
    return lambda: iter([whole])


def of_json(value: Any, status: str = "200 OK") -> Answer:
    """A reply of JSON."""
    return reply(json.dumps(value).encode(), status)


def endless(first: bytes, more: bytes) -> Answer:
    """A reply in chunks that does not end."""

    def answer() -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        yield b"%x\r\n%s\r\n" % (len(first), first)
        while True:
            yield b"%x\r\n%s\r\n" % (len(more), more)

    return answer


def slow(head: bytes) -> Answer:
    """A reply that begins well, and goes on with a byte now and then."""

    def answer() -> Iterator[bytes]:
        yield head
        while True:
            yield b""
            yield b" "

    return answer


def raw(whole: bytes) -> Answer:
    """Any bytes; then the connection is closed."""
    return lambda: iter([whole])


def bomb(megabytes: int) -> bytes:
    """Gzip of a list of JSON with a very long text."""
    packer = zlib.compressobj(9, wbits=31)
    parts = [packer.compress(b'[{"@type":"')]
    parts += [packer.compress(b"a" * (1 << 20)) for _ in range(megabytes)]
    return b"".join([*parts, packer.compress(b'"}]'), packer.flush()])


DEEP = b'{"a":' * 100_000
HTML = b"<html><head><title>Sign in</title></head><body>\x1b[2J please</body></html>"
GZIP = {"Content-Encoding": "gzip"}
ANSWERS: dict[str, Answer] = {
    "null": of_json(None),
    "a number": of_json(7),
    "a text": of_json("hello"),
    "true": of_json(True),
    "an object": of_json({}),
    "an empty list": of_json([]),
    "a list of null": of_json([None] * 4),
    "a list of lists": of_json([[]]),
    "an object that says nothing": of_json([{}]),
    "types that are no text": of_json([{"@type": 5, "streams": 5, "commandStatus": 5}] * 4),
    "lists that are null": of_json([{"@type": "x", "streams": None, "tables": None}] * 4),
    "names that are numbers": of_json(
        [{"@type": "x", each: [{"name": 7}]} for each in ("streams", "tables", "queries", "topics")]
    ),
    "an error as 200": of_json({"@type": "generic_error", "error_code": 40001, "message": "no"}),
    "an error without a text": of_json({"@type": "generic_error", "message": None}, "400 Bad"),
    "an error of wrong types": of_json({"error_code": "x", "message": [1]}, "500 Internal"),
    "an error that is a list": of_json([1], "400 Bad Request"),
    "HTML": reply(HTML, headers={"Content-Type": "text/html"}),
    "HTML with 403": reply(HTML, "403 Forbidden", {"Content-Type": "text/html"}),
    "HTML with 502": reply(HTML, "502 Bad Gateway", {"Content-Type": "text/html"}),
    "a redirect": reply(b"", "302 Found", {"Location": "http://anna:s3cret@elsewhere/"}),
    "a permanent redirect": reply(b"", "308 Moved", {"Location": "/"}),
    "not modified": raw(b"HTTP/1.1 304 Not Modified\r\n\r\n"),
    "no content": raw(b"HTTP/1.1 204 No Content\r\n\r\n"),
    "switching protocols": raw(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"),
    "nothing": reply(b""),
    "no JSON": reply(b"hello"),
    "JSON cut short": reply(b'[{"@type": "str'),
    "JSON and more": reply(b"[{}] and more"),
    "no UTF-8": reply(b'[{"@type":"\xff\xfe"}]'),
    "half a surrogate": reply(rb'[{"header":{"schema":"`A` STRING","queryId":"\ud800"}}]'),
    "too deep": reply(b"[" + DEEP + b"1" + b"}" * 100_000 + b"]"),
    "deep and cut short": reply(b"[" + DEEP),
    "rather deep": reply(b"[" + b'{"a":' * 400 + b"1" + b"}" * 400 + b"]"),
    "a number of 9,000 digits": reply(b'[{"a":' + b"9" * 9_000 + b"}]"),
    "a bomb of gzip": reply(bomb(20), headers=GZIP),
    "gzip cut short": reply(gzip.compress(b"[{}]" * 99)[:-9], headers=GZIP),
    "no gzip": reply(b"[{}]", headers=GZIP),
    "brotli": reply(b"[{}]", headers={"Content-Encoding": "br"}),
    "endless text": endless(b'[{"@type":"', b"a" * 65_536),
    "endless space": endless(b"[", b" " * 65_536),
    "endless errors": endless(b'[{"errorMessage":{"message":"', b"a" * 65_536),
    "too short": raw(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n[{"),
    "a wrong length": raw(b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n[]"),
    "no HTTP": raw(b"SSH-2.0-OpenSSH_9.2\r\n"),
    "closed at once": raw(b""),
    "endless headers": lambda: iter([b"HTTP/1.1 200 OK\r\nX: " + b"a" * 300_000]),
    "slow headers": slow(b"HTTP/1.1 200 OK\r\nX: "),
    "a slow body": slow(b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n["),
    "a slow start": slow(b""),
}


@contextmanager
def serving(answer: Answer) -> Iterator[str]:
    """A server that gives this answer to each request; gives its URL. At the end none of its threads runs."""
    answering: list[tuple[threading.Thread, socket.socket]] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        stop = threading.Event()
        thread = threading.Thread(target=_accept, args=(listening, answer, stop, answering), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            stop.set()
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()
            for thread, connection in answering:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
                thread.join(60)
            assert not any(thread.is_alive() for thread, _ in answering)


def _accept(
    listening: socket.socket,
    answer: Answer,
    stop: threading.Event,
    answering: list[tuple[threading.Thread, socket.socket]],
) -> None:
    while not stop.is_set():
        try:
            connection, _ = listening.accept()
        except OSError:
            return
        thread = threading.Thread(target=_answer, args=(connection, answer, stop), daemon=True)
        answering.append((thread, connection))
        thread.start()


def _answer(connection: socket.socket, answer: Answer, stop: threading.Event) -> None:
    with connection, suppress(OSError):
        received = b""
        while b"\r\n\r\n" not in received:
            if not (some := connection.recv(65_536)):
                return  # the client has left
            received += some
        for part in answer():
            if not part:
                stop.wait(PAUSE)
            if stop.is_set():
                return
            connection.sendall(part)
