"""Names that an attacker might choose to break out of quotes or to reach other data."""

from __future__ import annotations

from hypothesis import strategies as st

_ENDS = ("'", '"', "`", "''", '""', "``", "\\'", '\\"', "\\")
_ATTACKS = (
    "; COPY (SELECT 1) TO 'OUTSIDE/written';--",
    " VARCHAR); COPY (SELECT 1) TO 'OUTSIDE/written'; SELECT (1 AS x",
    "; DROP TABLE meta.commands;--",
    "; INSERT INTO meta.records VALUES ('VICTIM', 0, 0, 0, 0, NULL, '{}');--",
    "; SET memory_limit = '1GB';--",
    "; ATTACH 'OUTSIDE/attached' AS x;--",
    ", (SELECT content FROM read_text('/etc/passwd')), ",
    " OR 1 = 1;--",
    "/*",
)
NAMES: tuple[str, ...] = (
    *(f"a{end}{attack}" for end in _ENDS for attack in _ATTACKS),
    *_ENDS, ";", "--", "/*", "*/", "\n", "\r\n", "\t", "a\nb", "\0", "a\0b", "\x01", "\x1b[31m", "\x7f", "",
    " ", "a b", "{", "}", "{0}", "{a}", "{n}", "{off}", "{*}", "{{", "}}", "%s", "%(x)s", "?", "$1", "$", "$$x$$",
    "A$0", "${env:HOME}", "${x}", "é", "É", "ß", "K", "日本", "😀", "\u202e", "\ud800", "\udfff", "a\ud83d",
    "x" * 10_000, "😀" * 300, ".", "..", "../x", "/etc/passwd", "a/b", "~", "~1", "*", "a*", "[0]", "$.x", "k[12]",
    "_off", "_ts", "_ws", "_k0", "_a0", "_d0", "_s0", "_f0", "_e", "_e0", "_i", "_line", "_path", "_failed", "_text",
    "_late", "_src", "_row", "_l0", "rowid", "ROWID", "e", "E", "i", "k", "v", "l", "n", "k0", "a0", "line", "path",
    "key", "ts", "file", "exact", "_offset", "_time", "delta", "batch", "chunk", "select", "SELECT", "NULL", "true",
    "rowtime", "windowstart", "ROWTIME", "WINDOWEND", "ROWPARTITION", "current_date", "1", "-1", "1e5", "E'x'",
)  # fmt: skip
"""OUTSIDE stands for a folder to which nothing may write."""


def is_text(name: str) -> bool:
    """True if UTF-8 can encode the name. It cannot encode half of a surrogate pair."""
    return not any("\ud800" <= character <= "\udfff" for character in name)


def names() -> st.SearchStrategy[str]:
    """The names above, combinations of their parts, and any text."""
    anything = st.text(st.characters(exclude_categories=()), max_size=30)
    return st.one_of(
        st.sampled_from(NAMES),
        st.lists(st.one_of(st.sampled_from((*_ENDS, *_ATTACKS, "a", ";", "--", "\n", "{0}")), anything), max_size=4)
        .map("".join),
        anything,
    )
