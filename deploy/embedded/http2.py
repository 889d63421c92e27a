"""A fault of Hypercorn (0.18), put right: https://github.com/pgjones/hypercorn/issues/329.

Data that arrives for a stream after its reply has ended is legal in HTTP/2: a server may answer before
it has the whole request. Hypercorn looks the stream up, does not find it, and ends the connection with
all other streams on it.
"""

from __future__ import annotations

from typing import Any

import hypercorn.protocol
from hypercorn.protocol.h2 import H2Protocol


class _Ended:
    """Stands for a stream whose reply has ended: nobody reads what still arrives for it."""

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
    """Make Hypercorn, in this process, ignore data of streams that have ended."""
    hypercorn.protocol.H2Protocol = _Protocol  # type: ignore[attr-defined, assignment]
