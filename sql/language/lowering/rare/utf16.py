"""Texts as Java stores them: sequences of UTF-16 units. A character beyond U+FFFF counts twice."""

from __future__ import annotations


def units(text: str) -> str:
    """A text with one character for each UTF-16 unit."""
    if not text or max(text) <= "\uffff":
        return text
    raw = text.encode("utf-16-le", "surrogatepass")
    return "".join(chr(int.from_bytes(raw[at : at + 2], "little")) for at in range(0, len(raw), 2))


def joined(text: str) -> str:
    """The inverse of :func:`units`. Half a surrogate pair is not valid in UTF-8, so it becomes ``?``, as in Java."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass").encode(
        "utf-8", "replace"
    ).decode()
