"""Counts long sentences: ``python -m tests.plain_english`` for README, docs and the command's help.

The goal (docs/architecture.md): no sentence over 30 words, and fewer than 5 % over 25.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from opensea_metrics.deploy import cli

ROOT = Path(__file__).parents[1]
LONG, TOO_LONG = 25, 30
_CODE = re.compile(r"```.*?```", re.DOTALL)
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
_INLINE = re.compile(r"`[^`]*`")
_END = re.compile(r"(?<=[.!?])[)\"']?\s+(?=[A-Z0-9(\"'x])")


def paragraphs(text: str) -> Iterator[str]:
    """The paragraphs, list items and table cells of a Markdown text, with each piece of code as one word."""
    block: list[str] = []
    for line in [*_CODE.sub("", text).splitlines(), ""]:
        line = line.strip()
        is_item = re.match(r"([-*]|\d+\.) ", line) is not None
        if not line or is_item or line.startswith(("#", "|")):
            if block:
                yield " ".join(block)
            block = []
        if line.startswith("|"):
            yield from (cell.strip() for cell in line.strip("|").split("|"))
        elif line and not line.startswith("#"):
            block.append(re.sub(r"^([-*]|\d+\.) ", "", line))


def sentences(text: str) -> Iterator[str]:
    """The sentences of a Markdown text."""
    for paragraph in paragraphs(text):
        plain = _INLINE.sub("x", _LINK.sub(r"\1", paragraph))
        yield from filter(None, (each.strip() for each in _END.split(plain)))


def helps() -> Iterator[str]:
    """What the command's help says."""
    app = cli.whole_app()
    groups = [app, *(group.typer_instance for group in app.registered_groups if group.typer_instance)]
    for group in groups:
        for command in group.registered_commands:
            yield (command.callback.__doc__ or "") if command.callback else ""


def lengths(texts: Iterator[str] | list[str]) -> list[tuple[int, str]]:
    """Each sentence with its number of words."""
    return [(len(each.split()), each) for text in texts for each in sentences(text)]


def main() -> int:
    """Print the counts for each file, and the sentences that are too long."""
    failed = False
    files = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    texts = {str(path.relative_to(ROOT)): [path.read_text(encoding="utf-8")] for path in files}
    for name, content in {**texts, "help": list(helps())}.items():
        counted = lengths(content)
        long = [each for each in counted if each[0] > LONG]
        too_long = [each for each in counted if each[0] > TOO_LONG]
        share = 100 * len(long) / max(len(counted), 1)
        print(f"{name}: {len(counted)} sentences, {share:.1f} % over {LONG} words, {len(too_long)} over {TOO_LONG}")
        if name in sys.argv[1:]:
            print(*(f"  {number}: {text}" for number, text in sorted(long, reverse=True)), sep="\n")
        failed = failed or bool(too_long) or share >= 5
    return failed


if __name__ == "__main__":
    sys.exit(main())
