"""A websocket client that reads whole text messages in a quarter of the library's time.

OpenSea's messages are single text frames of 126 to 65,535 bytes. This module reads such frames. The library reads all
other frames, and all frames after an incomplete one of another form.
"""

from __future__ import annotations

from websockets.asyncio.client import ClientConnection
from websockets.frames import Frame, Opcode
from websockets.protocol import State

_WHOLE_TEXT = b"\x81\x7e"
"""The first bytes of such a frame: a whole text without a mask, whose length is in the next two bytes."""
_HEADER = 4
_MOST_AT_ONCE = 64
"""Messages that :meth:`TextConnection.messages` returns at most, so that other tasks run in between."""


class TextConnection(ClientConnection):
    """A connection that returns several messages at a time."""

    _rest = b""
    """The beginning of a frame that this class reads."""

    async def messages(self) -> list[bytes]:
        """The next messages, at least one. Raises ConnectionClosed, as ``recv`` does."""
        taken = [await self.recv(decode=False)]
        assembler = self.recv_messages
        waiting = assembler.frames.queue
        while waiting and waiting[0].fin and len(taken) < _MOST_AT_ONCE:
            taken.append(bytes(waiting.popleft().data))
        assembler.maybe_resume()
        return taken

    def data_received(self, data: bytes) -> None:
        protocol = self.protocol
        is_idle = protocol.state is State.OPEN and not protocol.reader.buffer and protocol.current_size is None
        if self._rest:
            data, self._rest = self._rest + data, b""
        if not is_idle:
            super().data_received(data)
            return
        start, end = 0, len(data)
        put = self.recv_messages.put
        while data.startswith(_WHOLE_TEXT, start) and start + _HEADER <= end:
            first = start + _HEADER
            last = first + (data[start + 2] << 8) + data[start + 3]
            if last > end:
                break
            put(Frame(Opcode.TEXT, data[first:last]))
            start = last
        self._rest = data[start:]
        if self._rest and not _WHOLE_TEXT.startswith(self._rest[:2]):
            self._pass_on()

    def eof_received(self) -> None:
        self._pass_on()
        super().eof_received()

    def _pass_on(self) -> None:
        """Pass other bytes on to the library, which also handles incomplete frames."""
        rest, self._rest = self._rest, b""
        if rest:
            super().data_received(rest)
