"""Counts long sentences: ``python -m tests.plain_english [GROUP…]``, with the long ones of the groups named.

Groups are each page at the root and in docs/, the command's help, and the messages and docstrings of each source
folder. The goal (docs/architecture.md, Names and sentences): no sentence over 30 words, and fewer than 5 % over 25.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from inspect import cleandoc
from pathlib import Path

from opensea_metrics.deploy import cli

ROOT = Path(__file__).parents[1]
FOLDERS = ("opensea_metrics/core", "deploy", "producer", "spark_batch", "sql", "udfs")
LONG, TOO_LONG = 25, 30
SHARE = 0.05
_CODE = re.compile(r"```.*?```|^::\n(?:\n| [^\n]*\n)+", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
_INLINE = re.compile(r"(`+)[^`]+\1")
_END = re.compile(r"(?<=[.!?])[)\"']?\s+(?=[A-Z0-9(\"'x])")
_SHOWN = ("debug", "info", "warning", "error", "exception", "critical", "failed")
"""Methods that show their arguments: those of loggers, and those of doctor's checks."""
_PARAMETER = re.compile(r"^(?=[a-z_]+: )", re.MULTILINE)
_NAMED = re.compile(r"(help|hint|advice|message|reason)s?$", re.IGNORECASE)


@dataclass(frozen=True)
class Count:
    """The sentences of one group, each with its number of words."""

    sentences: tuple[tuple[int, str], ...]

    @property
    def long(self) -> list[tuple[int, str]]:
        """Those over 25 words, the longest first."""
        return sorted((pair for pair in self.sentences if pair[0] > LONG), reverse=True)

    @property
    def too_long(self) -> list[tuple[int, str]]:
        """Those over 30 words."""
        return [pair for pair in self.long if pair[0] > TOO_LONG]

    @property
    def share(self) -> float:
        """The share of long sentences, from 0 to 1."""
        return len(self.long) / max(len(self.sentences), 1)


def count(texts: Iterable[str]) -> Count:
    """The sentences of Markdown texts."""
    return Count(tuple((len(sentence.split()), sentence) for text in texts for sentence in sentences(text)))


def paragraphs(text: str) -> Iterator[str]:
    """The paragraphs, list items and table cells of a Markdown text, with each piece of code as one word."""
    block: list[str] = []
    for line in [*_CODE.sub("", text).splitlines(), ""]:
        line = line.strip()
        is_item = re.match(r"([-*]|\d+\.) ", line) is not None
        if not line or is_item or line.startswith(("#", "|", ">>>")):
            if block:
                yield " ".join(block)
            block = []
        if line.startswith("|"):
            yield from (cell.strip() for cell in line.strip("|").split("|"))
        elif line and not line.startswith(("#", ">>>")):
            block.append(re.sub(r"^([-*]|\d+\.) ", "", line))


def sentences(text: str) -> Iterator[str]:
    """The sentences of a Markdown text."""
    for paragraph in paragraphs(text):
        plain = _INLINE.sub("x", _LINK.sub(r"\1", paragraph))
        yield from filter(None, (sentence.strip() for sentence in _END.split(plain)))


def help_texts() -> Iterator[str]:
    """The docstrings of the verbs. The help of their options counts as messages."""
    app = cli.whole_app()
    groups = [app, *(group.typer_instance for group in app.registered_groups if group.typer_instance)]
    for group in groups:
        for command in group.registered_commands:
            yield (command.callback.__doc__ or "") if command.callback else ""


def source_files() -> list[Path]:
    """The Python files of the source folders, without the project template."""
    files = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
    return [path for path in files if "project_template" not in path.parts]


def messages(tree: ast.Module) -> Iterator[str]:
    """The texts that a module shows: errors that it raises, ``say``, log lines, help and hints.

    A hole of an f-string is one word. A line break ends a sentence.
    """
    for node in ast.walk(tree):
        shown: list[ast.expr] = []
        match node:
            case ast.Raise(exc=ast.Call(args=args, keywords=keywords)):
                shown = [*args, *(keyword.value for keyword in keywords)]
            case ast.Call(func=ast.Name(id="say") | ast.Attribute(attr="__init__"), args=args):
                shown = args
            case ast.Call(func=ast.Attribute(attr=name), args=args) if name in _SHOWN:
                shown = args
            case ast.keyword(arg=str(name), value=value) if _NAMED.search(name):
                shown = [value]
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if _NAMED.search(name):
                shown = [*value.values] if isinstance(value, ast.Dict) else [value]
            case ast.AugAssign(target=ast.Name(id=name), value=value) if _NAMED.search(name):
                shown = [value]
        for expression in shown:
            yield _text(expression).replace("\n", "\n\n")


def _text(expression: ast.expr) -> str:
    match expression:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(map(_text, parts))
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _text(left) + _text(right)
        case ast.IfExp(body=body, orelse=orelse):
            return max(_text(body), _text(orelse), key=len)
    return "x"


def docstrings(tree: ast.Module) -> Iterator[str]:
    """The docstrings of a module, its classes and functions, and the texts below its constants.

    A line such as ``name: text`` describes a parameter, so it counts as a list item.
    """
    for node in ast.walk(tree):
        match node:
            case ast.Expr(value=ast.Constant(value=str(text))):
                yield _PARAMETER.sub("- ", cleandoc(text))


def group_names() -> list[str]:
    """The names of the groups: the pages, the help, and the messages and docstrings of each folder."""
    pages = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
    of_folders = [f"{kind} {folder}" for kind in ("messages", "docstrings") for folder in FOLDERS]
    return [*(str(path.relative_to(ROOT)) for path in pages), "help", *of_folders]


def groups() -> dict[str, list[str]]:
    """The texts of each group."""
    texts: dict[str, list[str]] = {name: [] for name in group_names()}
    for name in texts:
        if name.endswith(".md"):
            texts[name] = [(ROOT / name).read_text(encoding="utf-8")]
    texts["help"] = list(help_texts())
    for path in source_files():
        name = str(path.relative_to(ROOT))
        folder = next(folder for folder in FOLDERS if name.startswith(folder))
        tree = ast.parse(path.read_text(encoding="utf-8"))
        texts[f"messages {folder}"] += messages(tree)
        texts[f"docstrings {folder}"] += docstrings(tree)
    return texts


def main() -> int:
    """Print the counts of each group. Returns 1 if a group misses the goal."""
    failed = False
    for name, texts in groups().items():
        counted = count(texts)
        print(
            f"{name}: {len(counted.sentences)} sentences, {100 * counted.share:.1f} % over {LONG} words,"
            f" {len(counted.too_long)} over {TOO_LONG}"
        )
        if name in sys.argv[1:]:
            print(*(f"  {number}: {text}" for number, text in counted.long), sep="\n")
        failed = failed or bool(counted.too_long) or counted.share >= SHARE
    return failed


if __name__ == "__main__":
    sys.exit(main())
