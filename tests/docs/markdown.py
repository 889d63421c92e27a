"""Reads Markdown pages: their code blocks, headings and links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^( *)(```+)\s*(\S*)\s*$")
_NOT_RUN = re.compile(r"<!-- not run: (.+?) -->\s*$", re.DOTALL)
_FIGURE = re.compile(r"<!-- figure -->\s*$")
_LINK = re.compile(r"(?<!\\)\[(?:[^\[\]]|!\[[^\]]*\]\([^)]*\))*\]\(([^)\s]+)\)")
_PATH = re.compile(r"^(?:--|#|//) ([\w.-]+(?:/[\w.-]+)*\.\w+)\s*$")
RUN = ("sh", "sql", "python")
"""Languages of blocks that run. A ``text``, ``json`` or ``csv`` block after one of them is its output."""


@dataclass(frozen=True)
class Block:
    """A code block. ``not_run`` is the reason in the comment above it, if there is one."""

    language: str
    text: str
    line: int
    not_run: str | None
    is_figure: bool

    @property
    def path(self) -> str | None:
        """The file that the first line names: the block is the contents of this file."""
        match = _PATH.match(self.text.partition("\n")[0])
        return match[1] if match else None


def blocks(text: str) -> Iterator[Block]:
    """The code blocks of a page, in order."""
    lines = text.splitlines()
    number = 0
    while number < len(lines):
        fence = _FENCE.match(lines[number])
        if fence is None:
            number += 1
            continue
        start = number + 1
        end = next(n for n in range(start, len(lines)) if lines[n].strip() == fence[2])
        body = "".join(line.removeprefix(fence[1]) + "\n" for line in lines[start:end])
        above = "\n".join(lines[:number]).rstrip()
        not_run = _NOT_RUN.search(above[above.rfind("<!--") :]) if above.endswith("-->") else None
        yield Block(fence[3], body, start, not_run[1] if not_run else None, bool(_FIGURE.search(above)))
        number = end + 1


def prose(text: str) -> str:
    """A page without its code blocks and comments."""
    return re.sub(r"^( *)(```+).*?^ *\2\s*$|<!--.*?-->", "", text, flags=re.DOTALL | re.MULTILINE)


def headings(text: str) -> list[tuple[int, str]]:
    """The level and text of each heading."""
    return [(len(marks), title.strip()) for marks, title in re.findall(r"^(#+) (.*)$", prose(text), re.MULTILINE)]


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    names: set[str] = set()
    for _, title in headings(text):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).lower()
        base = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        repeats = (f"{base}-{count}" for count in range(1, 100))
        names.add(base if base not in names else next(name for name in repeats if name not in names))
    return names


def links(text: str) -> list[str]:
    """The targets of the links and pictures of a page."""
    plain = re.sub(r"`[^`\n]*`", "", prose(text))
    return [*dict.fromkeys(_LINK.findall(plain) + re.findall(r"!\[[^\]]*\]\(([^)\s]+)\)", plain))]


def first_paragraph(text: str) -> str:
    """The paragraph after the first heading, or '' if something else comes there."""
    body = prose(text).partition("\n")[2].strip()
    paragraph = body.partition("\n\n")[0]
    return "" if paragraph.startswith(("#", "|", "-", "!")) else paragraph


def pages() -> list[Path]:
    """Every Markdown page that a reader may open: at the root, in docs/ and beside the code."""
    folders = ("docs", "deploy", ".github")
    nested = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.md"))]
    return [*sorted(ROOT.glob("*.md")), *nested]
