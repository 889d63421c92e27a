"""Table functions: one row in, several out."""

from __future__ import annotations

import msgspec

from udfs import udtf


@udtf
def json_items(array: str) -> list[str | None]:
    """The items of a JSON array, one row each: texts as they are, anything else as JSON text.

    NULL items stay NULL; what is no JSON array gives no rows.

    array: JSON text, such as a list of traits

    >>> json_items('["a", 1, {"b": 2}]')
    ['a', '1', '{"b":2}']
    """
    try:
        items = msgspec.json.decode(array, type=list[msgspec.Raw])
    except (msgspec.DecodeError, UnicodeEncodeError):
        return []
    return [_text(item) for item in items]


def _text(item: msgspec.Raw) -> str | None:
    raw = bytes(item)
    if raw == b"null":
        return None
    if raw[:1] == b'"':
        return msgspec.json.decode(raw, type=str)
    return msgspec.json.format(raw, indent=-1).decode()
