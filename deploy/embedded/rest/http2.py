"""A workaround for a bug of Hypercorn 0.18: https://github.com/pgjones/hypercorn/issues/329.

In HTTP/2 a server may answer before it has the whole request, so data may legally arrive for a stream after its
reply has ended. Hypercorn does not find this stream, and closes the connection with all other streams on it.
"""

from __future__ import annotations

from typing import Any

import hypercorn.protocol
from hypercorn.protocol.h2 import H2Protocol


class _Ended:
    """Replaces a stream whose reply has ended. It ignores data that still arrives for the stream."""

    async def handle(self, event: Any) -> None:
        pass


class _Streams(dict[int, Any]):
    def __missing__(self, stream_id: int) -> _Ended:
        return _Ended()


class _Protocol(H2Protocol):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.streams = _Streams()


def repair() -> None:
    """Make Hypercorn ignore data for streams that have ended, in this process."""
    hypercorn.protocol.H2Protocol = _Protocol  # type: ignore[attr-defined, assignment]
