"""The folders import one another only as docs/architecture.md allows."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
_TABLES = PAGE.split("Inside `deploy/embedded/`")
ROWS, EMBEDDED = (re.findall(r"^\| `([\w/]+)/` \|[^|]*\|([^|]*)\|$", part, re.MULTILINE) for part in _TABLES)
NAMES = [folder.rsplit("/")[-1] for folder, _ in ROWS]
ALLOWED = {
    name: set(NAMES[:index]) if "all of the above" in allowed else set(re.findall(r"`(\w+)`", allowed))
    for index, (name, (_, allowed)) in enumerate(zip(NAMES, ROWS, strict=True))
}


def _imported(path: Path) -> Iterator[str]:
    """The folders that a module imports, at the top or inside functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.ImportFrom(module="opensea_metrics", names=names):
                yield from (name.name for name in names)
            case ast.ImportFrom(module=str(module)) if module.startswith("opensea_metrics."):
                yield module.split(".")[1]
            case ast.Import(names=names):
                yield from (n.name.split(".")[1] for n in names if n.name.startswith("opensea_metrics."))


def test_the_page_lists_every_folder() -> None:
    folders = {path.name for path in (ROOT / "opensea_metrics").iterdir() if path.is_dir()}
    assert set(ALLOWED) == folders - {"__pycache__"}


@pytest.mark.parametrize("folder", NAMES)
def test_a_folder_imports_what_the_page_allows(folder: str) -> None:
    # A new project's own files use the public names of the package.
    paths = sorted((ROOT / "opensea_metrics" / folder).resolve().rglob("*.py"))
    files = [path for path in paths if "project_template" not in path.parts]
    used = {(name, str(path.relative_to(ROOT))) for path in files for name in _imported(path)}
    assert files
    assert {(name, path) for name, path in used if name not in ALLOWED[folder] | {folder}} == set()


def _modules_of_the_server(path: Path) -> Iterator[str]:
    """The folders of the embedded server that a module of it imports."""
    prefix = "opensea_metrics.deploy.embedded."
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith(prefix):
            yield f"{node.module}.".removeprefix(prefix).split(".")[0]


@pytest.mark.parametrize("folder", [folder for folder, _ in EMBEDDED])
def test_a_folder_of_the_embedded_server_imports_what_the_page_allows(folder: str) -> None:
    folders = {name: set(re.findall(r"`(\w+)`", allowed)) for name, allowed in EMBEDDED}
    assert set(folders) == {path.parent.name for path in (ROOT / "deploy/embedded").glob("*/__init__.py")}
    paths = sorted((ROOT / "deploy/embedded" / folder).rglob("*.py"))
    used = {(name, path.name) for path in paths for name in _modules_of_the_server(path) if name in folders}
    assert {(name, path) for name, path in used if name not in folders[folder] | {folder}} == set()
