"""Messages arrive whole and in order, however a server cuts them into frames, and a network into pieces."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

from opensea_metrics.producer.text_connection import TextConnection


def cut(message: bytes, chance: random.Random) -> Iterable[bytes]:
    """A message as a server's frames: whole, or in fragments with a ping between them."""
    if chance.random() < 0.8:
        yield Frame(Opcode.TEXT, message).serialize(mask=False)
        return
    middle = chance.randint(0, len(message))
    yield Frame(Opcode.TEXT, message[:middle], fin=False).serialize(mask=False)
    if chance.random() < 0.5:
        yield Frame(Opcode.PING, b"?").serialize(mask=False)
    yield Frame(Opcode.CONT, message[middle:]).serialize(mask=False)


async def received(stream: bytes, pieces: Iterable[int], ending: str) -> tuple[list[bytes], str]:
    """What a client receives of a server that sends these bytes in pieces of these sizes, and why it ends."""

    async def send(socket: ServerConnection) -> None:
        at = 0
        for size in pieces:
            socket.transport.write(stream[at : at + size])
            at += size
            await asyncio.sleep(0)
        if ending == "close":
            await socket.close(1000, "bye")
        else:
            socket.transport.write_eof()

    messages: list[bytes] = []
    async with serve(send, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
        port = server.sockets[0].getsockname()[1]
        url = f"ws://127.0.0.1:{port}"
        socket = await connect(url, create_connection=TextConnection, compression=None, max_queue=(16, 4))
        assert isinstance(socket, TextConnection)
        try:
            while True:
                messages += await socket.messages()
        except ConnectionClosed as error:
            return messages, str(error)


@pytest.mark.parametrize("seed", range(6))
def test_all_messages_arrive_in_order(seed: int) -> None:
    chance = random.Random(seed)
    sizes = (0, 1, 125, 126, 127, 1_100, 1_100, 1_100, 65_535, 65_536, 200_000)
    sent = [str(number).encode().ljust(chance.choice(sizes), b".") for number in range(200)]
    stream = b"".join(frame for message in sent for frame in cut(message, chance))
    most = chance.choice((5_000, 70_000, 1_000_000))
    pieces: list[int] = []
    while sum(pieces) < len(stream):
        pieces.append(chance.randint(1, 8) if chance.random() < 0.3 else chance.randint(1, most))
    messages, reason = asyncio.run(received(stream, pieces, "close"))
    assert messages == sent
    assert "1000 (OK) bye" in reason


@pytest.mark.parametrize("kept", [1, 2, 3, 4, 700])
def test_an_incomplete_frame_at_the_end_is_no_message(kept: int) -> None:
    whole = Frame(Opcode.TEXT, b"x" * 1_100).serialize(mask=False)
    messages, reason = asyncio.run(received(whole + whole[:kept], [len(whole) + kept], "eof"))
    assert messages == [b"x" * 1_100]
    assert reason == "no close frame received or sent"


def test_a_frame_with_a_mask_ends_the_connection() -> None:
    whole = Frame(Opcode.TEXT, b"x" * 1_100)
    stream = whole.serialize(mask=False) + whole.serialize(mask=True)
    messages, reason = asyncio.run(received(stream, [len(stream)], "close"))
    assert messages == [b"x" * 1_100]
    assert "incorrect masking" in reason
