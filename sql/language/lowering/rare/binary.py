"""Functions of BYTES, and texts as bytes: ENCODE, TO_BYTES, FROM_BYTES and the rest."""

from __future__ import annotations

import base64
import re
import struct
from uuid import UUID

from opensea_metrics.udfs.api import udf

_HEX = re.compile(r"(?:[0-9a-fA-F]{2})*")
_PREFIXED_HEX = re.compile(r"0x([0-9a-fA-F]*)|[xX]'([0-9a-fA-F]*)'|([0-9a-fA-F]*)")
_NO_BASE64 = re.compile(r"[^A-Za-z0-9+/_-]")
_ORDERS = {"BIG_ENDIAN": ">", "LITTLE_ENDIAN": "<"}


def _as_bytes(text: str, encoding: str) -> bytes | None:
    match encoding:
        case "hex":
            return bytes.fromhex(text) if _HEX.fullmatch(text) else None
        case "utf8":
            return text.encode()
        case "ascii":
            return text.encode("ascii", "replace")
        case "base64":
            return _base64(text)
    return None


def _base64(text: str) -> bytes | None:
    """Decode base64 like Java: padding may be missing, and other characters are not allowed."""
    bare = text.rstrip("=")
    if re.search(r"[^A-Za-z0-9+/]", bare) or len(bare) % 4 == 1 or (text != bare and len(text) % 4):
        return None
    return base64.b64decode(bare + "=" * (-len(bare) % 4))


def _as_text(value: bytes, encoding: str) -> str | None:
    match encoding:
        case "hex":
            return value.hex()
        case "utf8":
            return value.decode("utf-8", "replace")
        case "ascii":
            return "".join(chr(byte) if byte < 128 else "\ufffd" for byte in value)
        case "base64":
            return base64.b64encode(value).decode()
    return None


@udf(name="ksql_to_bytes")
def to_bytes(text: str, encoding: str) -> bytes | None:
    """The bytes that a text encodes as hex, utf8, ascii or base64."""
    return _as_bytes(text, encoding.lower())


@udf(name="ksql_from_bytes")
def from_bytes(value: bytes, encoding: str) -> str | None:
    """Bytes encoded as hex, utf8, ascii or base64."""
    return _as_text(value, encoding.lower())


@udf(name="ksql_encode")
def encode(text: str, given: str, wanted: str) -> str | None:
    """A text converted from one encoding to another; NULL if both are the same."""
    given, wanted = given.lower(), wanted.lower()
    if given == wanted:
        return None
    if given == "hex":
        value = _prefixed_hex(text)
    elif given == "base64":
        # ksqlDB's decoder for this function skips characters that are not base64.
        bare = _NO_BASE64.sub("", text).replace("-", "+").replace("_", "/")
        value = _base64(bare)
    else:
        value = _as_bytes(text, given)
    if value is None:
        return None
    if given == "utf8" and wanted == "ascii":
        return _as_text(value, "ascii")
    return _as_text(value, wanted)


def _prefixed_hex(text: str) -> bytes | None:
    """Decode hexadecimal digits, with or without 0x… or X'…'. After 0x, a missing first digit is 0."""
    match = _PREFIXED_HEX.fullmatch(text)
    if match is None:
        return None
    digits = match[1] or match[2] or match[3] or ""
    if len(digits) % 2:
        return bytes.fromhex(f"0{digits}") if match[1] else None
    return bytes.fromhex(digits)


def _number(value: bytes, order: str, code: str) -> int | float | None:
    if order not in _ORDERS or len(value) != struct.calcsize(f">{code}"):
        return None
    (number,) = struct.unpack(_ORDERS[order] + code, value)
    return number  # type: ignore[no-any-return]


@udf(name="ksql_int_from_bytes")
def int_from_bytes(value: bytes, order: str) -> int | None:
    """The INTEGER that four bytes encode."""
    return _number(value, order, "i")  # type: ignore[return-value]


@udf(name="ksql_bigint_from_bytes")
def bigint_from_bytes(value: bytes, order: str) -> int | None:
    """The BIGINT that eight bytes encode."""
    return _number(value, order, "q")  # type: ignore[return-value]


@udf(name="ksql_double_from_bytes")
def double_from_bytes(value: bytes, order: str) -> float | None:
    """The DOUBLE that eight bytes encode."""
    return _number(value, order, "d")


@udf(name="ksql_sub_bytes")
def sub_bytes(value: bytes, position: int, length: int) -> bytes:
    """The bytes starting at a position. Position 0 counts as 1, and a negative position counts from the end."""
    start = position - 1 if position > 0 else max(0, len(value) + position) if position < 0 else 0
    return value[start : start + max(0, length)]


@udf(name="ksql_lpad_bytes")
def lpad_bytes(value: bytes, length: int, padding: bytes) -> bytes | None:
    """Bytes padded on the left."""
    added = _padding(value, length, padding)
    return None if added is None else (added + value)[:length] if added else value[:length]


@udf(name="ksql_rpad_bytes")
def rpad_bytes(value: bytes, length: int, padding: bytes) -> bytes | None:
    """Bytes padded on the right."""
    added = _padding(value, length, padding)
    return None if added is None else (value + added)[:length]


def _padding(value: bytes, length: int, padding: bytes) -> bytes | None:
    if length < 0 or not padding:
        return None
    missing = max(0, length - len(value))
    return (padding * (missing // len(padding) + 1))[:missing]


@udf(name="ksql_split_bytes")
def split_bytes(value: bytes, separator: bytes) -> list[bytes]:
    """The parts between separators; single bytes if the separator is empty."""
    return value.split(separator) if separator else [value[at : at + 1] for at in range(len(value))] or [b""]


@udf(name="ksql_concat_bytes")
def concat_bytes(values: list[bytes | None]) -> bytes:
    """The arguments that are not NULL, concatenated."""
    return b"".join(value for value in values if value is not None)


@udf(name="ksql_concat_ws_bytes")
def concat_ws_bytes(separator: bytes, values: list[bytes | None]) -> bytes:
    """The arguments that are not NULL, concatenated with a separator between them."""
    return separator.join(value for value in values if value is not None)


@udf(name="ksql_uuid_of_bytes")
def uuid_of_bytes(value: bytes) -> str | None:
    """The UUID that 16 bytes encode."""
    return str(UUID(bytes=value)) if len(value) == 16 else None
