"""Messages of the Phoenix channels protocol, to and from the bytes of a websocket frame.

With ``vsn=2.0.0`` a message is an array ``[join_ref, ref, topic, event, payload]``. Before that, and
with ``vsn=1.0.0``, a message is an object ``{topic, event, payload, ref}``. Both forms are always decoded,
because recordings hold both. Nothing here does I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

Version = Literal["2.0.0", "1.0.0"]

SOCKET_TOPIC = "phoenix"
"""The topic of heartbeats and their replies."""


class FrameError(Exception):
    """A frame is not a message. The text says why."""


class ArrayMessage(msgspec.Struct, array_like=True, forbid_unknown_fields=True, gc=False):
    """A message of version 2. ``payload`` is the JSON text, unchanged."""

    join_ref: Any
    ref: Any
    topic: str
    event: str
    payload: msgspec.Raw


class ObjectMessage(msgspec.Struct, gc=False):
    """A message of version 1, or a line of the archive, which also has ``event_time`` (epoch ms)."""

    topic: str
    event: str
    payload: msgspec.Raw
    ref: Any = None
    join_ref: Any = None
    event_time: Any = None


Message = ArrayMessage | ObjectMessage

_decode_array = msgspec.json.Decoder(ArrayMessage).decode
_decode_object = msgspec.json.Decoder(ObjectMessage).decode


def decode(frame: bytes) -> Message:
    """The message in a frame. Raises FrameError, and nothing else, whatever the bytes are.

    Checks that the whole frame is JSON in UTF-8, but decodes only its header.
    """
    try:
        if not frame.isascii():
            frame.decode()  # msgspec does not validate the text that it skips
        if frame[:1] == b"[" or frame.lstrip()[:1] == b"[":
            return _decode_array(frame)
        return _decode_object(frame)
    except UnicodeDecodeError as error:
        raise FrameError(f"not UTF-8: {error.reason} at byte {error.start}") from None
    except msgspec.ValidationError as error:
        raise FrameError(f"not a frame: {error}") from None
    except msgspec.DecodeError as error:
        raise FrameError(f"not JSON: {error}") from None
    except RecursionError:
        raise FrameError("nested too deeply") from None


def is_control(message: Message) -> bool:
    """Whether a message belongs to the protocol: a reply, an answered heartbeat, the end of a channel."""
    return message.event.startswith("phx_") or message.topic == SOCKET_TOPIC


def encode(
    version: Version,
    join_ref: str | None,
    ref: str,
    topic: str,
    event: str,
    payload: Mapping[str, Any],
) -> str:
    """A message as the text of a frame."""
    if version == "2.0.0":
        return msgspec.json.encode((join_ref, ref, topic, event, payload)).decode()
    whole = {"topic": topic, "event": event, "payload": payload, "ref": ref}
    return msgspec.json.encode(whole).decode()


def join(version: Version, ref: str, topic: str, event_types: tuple[str, ...]) -> str:
    """The request to join a channel. Its ``ref`` is the channel's join_ref.

    The server sends only events of ``event_types``, or all events if it is empty. OpenSea does not document this.
    """
    payload = {"event_types": event_types} if event_types else {}
    return encode(version, ref, ref, topic, "phx_join", payload)


def heartbeat(version: Version, ref: str) -> str:
    """The heartbeat that is due every 30 seconds. The answer is a ``phx_reply`` with its ``ref``."""
    return encode(version, None, ref, SOCKET_TOPIC, "heartbeat", {})


def refusal(reply: Message) -> str | None:
    """The reason in a refusing ``phx_reply``, as short text. None if the reply is ok."""
    try:
        body = msgspec.json.decode(reply.payload)
    except (msgspec.DecodeError, RecursionError):
        return "a reply that is not JSON"
    if not isinstance(body, dict) or body.get("status") != "ok":
        response = body.get("response") if isinstance(body, dict) else body
        reason = response.get("reason") if isinstance(response, dict) else None
        text = reason if isinstance(reason, str) else msgspec.json.encode(response).decode()
        return text[:200]
    return None
