"""Colours SQL while the user types."""

from __future__ import annotations

import re
from collections.abc import Callable

from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.lexers import Lexer
from prompt_toolkit.styles import Style

from opensea_metrics.deploy.query.user_statements import STATEMENTS
from opensea_metrics.deploy.shell.completion import KEYWORDS

_WORDS = frozenset(word for phrase in (*KEYWORDS, *STATEMENTS) for word in phrase.split())
_PART = re.compile(
    r"(?P<comment>--.*|/\*.*?(?:\*/|$))|(?P<text>'(?:[^']|'')*'?)|(?P<name>`[^`]*`?)"
    r"|(?P<number>\b\d+(?:\.\d+)?(?:[eE][+-]?\d+)?\b)|(?P<word>[A-Za-z_]\w*)|(?P<rest>.)"
)
STYLE = Style.from_dict(
    {"keyword": "bold ansiblue", "text": "ansigreen", "number": "ansicyan", "comment": "ansibrightblack italic",
     "name": "ansimagenta", "prompt": "bold", "bottom-toolbar": "noreverse ansibrightblack"}
)  # fmt: skip


class SqlLexer(Lexer):
    """Colours one line at a time, so that a long text costs no more than its visible lines."""

    def lex_document(self, document: Document) -> Callable[[int], StyleAndTextTuples]:
        lines = document.lines

        def line(number: int) -> StyleAndTextTuples:
            return [(_style(match), match[0]) for match in _PART.finditer(lines[number])] if number < len(lines) else []

        return line


def _style(part: re.Match[str]) -> str:
    kind = part.lastgroup or ""
    if kind == "word":
        return "class:keyword" if part[0].upper() in _WORDS else ""
    return "" if kind == "rest" else f"class:{kind}"
