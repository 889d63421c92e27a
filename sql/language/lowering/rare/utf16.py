"""Texts as Java has them: of UTF-16 units. A character beyond U+FFFF counts twice there."""

from __future__ import annotations


def units(text: str) -> str:
    """A text with a character for each of Java's units."""
    if not text or max(text) <= "\uffff":
        return text
    raw = text.encode("utf-16-le", "surrogatepass")
    return "".join(chr(int.from_bytes(raw[at : at + 2], "little")) for at in range(0, len(raw), 2))


def joined(text: str) -> str:
    """A text of units as Python has it. Half a character is none of UTF-8: ``?`` stands for it, as in Java."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass").encode(
        "utf-8", "replace"
    ).decode()
