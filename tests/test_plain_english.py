"""Sentences are short, and names say what a value is (docs/architecture.md, Names and sentences)."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator

import pytest

from tests.plain_english import (
    FOLDERS,
    ROOT,
    SHARE,
    Count,
    count,
    docstrings,
    group_names,
    groups,
    messages,
    source_files,
)

VAGUE = {"found", "made", "each", "told", "what"}
"""They say when or how a value came about, not what it is."""
VAGUE_MODULES = {"certainty", "chain", "work", "live", "variants", "ahead", "parts", "texts", "facts"}
NAMES = [str(path.relative_to(ROOT)) for path in source_files()]


@pytest.fixture(scope="module")
def texts() -> dict[str, list[str]]:
    return groups()


@pytest.fixture(scope="module")
def trees() -> dict[str, ast.Module]:
    return {name: ast.parse((ROOT / name).read_text(encoding="utf-8")) for name in NAMES}


@pytest.mark.parametrize("group", group_names())
def test_sentences_are_short(texts: dict[str, list[str]], group: str) -> None:
    counted = count(texts[group])
    assert counted.too_long == []
    assert counted.share < SHARE, counted.long


def _names(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """The names that a module gives, with the lines."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name, node.lineno
            case ast.arg(arg=name):
                yield name, node.lineno
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield name, node.lineno
            case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                yield name, node.lineno
            case ast.ExceptHandler(name=str(name)):
                yield name, node.lineno


def test_no_name_is_vague(trees: dict[str, ast.Module]) -> None:
    vague = [
        f"{path}:{line} {name}" for path, tree in trees.items() for name, line in _names(tree) if name in VAGUE
    ]
    assert vague == []


def test_no_two_classes_have_one_name(trees: dict[str, ast.Module]) -> None:
    places = defaultdict(list)
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(f"{path}:{node.lineno}")
    assert {name: lines for name, lines in places.items() if len(lines) > 1} == {}


def test_no_module_is_named_for_how_it_came_about() -> None:
    assert [name for name in NAMES if VAGUE_MODULES & set(re.split(r"[/.]", name))] == []


def test_the_folders_are_all_of_the_package() -> None:
    folders = {path.resolve() for path in (ROOT / "opensea_metrics").iterdir() if path.is_dir()}
    assert folders - {ROOT / "opensea_metrics/__pycache__"} == {ROOT / folder for folder in FOLDERS}


MODULE = '''"""A module.

>>> run("never", "counted")
"""
LIMIT = 3
"""Megabytes."""

def run(one: str, two: int = typer.Option(help="First. Second sentence.")) -> None:
    """Does `a b c` things.

    one: a name
    two: a number
    """
    if two:
        raise Bad(f"{one} is {two + 1} wrong" + ". Do this" if one else "", hint="Try that.")
    say("It is done:\\n  hint: go on")
    log.warning("a log line", path=one)
    one.split("not a message")
'''


def test_texts_of_a_module() -> None:
    tree = ast.parse(MODULE)
    words = sorted(sentence for _, sentence in count(messages(tree)).sentences)
    assert words == [
        "Do this", "First.", "It is done:", "Second sentence.", "Try that.", "Try that.", "a log line", "hint: go on",
        "x is x wrong.",
    ]  # fmt: skip
    assert count(docstrings(tree)).sentences == (
        (2, "A module."), (1, "Megabytes."), (3, "Does x things."), (3, "one: a name"), (3, "two: a number"),
    )  # fmt: skip


def test_a_count_knows_long_sentences() -> None:
    counted = Count(((25, "a"), (26, "b"), (31, "c"), (1, "d")))
    assert counted.long == [(31, "c"), (26, "b")]
    assert counted.too_long == [(31, "c")]
    assert counted.share == 0.5
